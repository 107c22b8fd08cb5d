"""`python -m lightning_pepr.cli` is the same as `lightning-pepr`."""

import sys

from lightning_pepr.cli import main

if __name__ == "__main__":
    sys.exit(main())
