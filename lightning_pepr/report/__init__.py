"""Shows runs: a page for a browser, written or served, tables for terminals and notebooks."""

from lightning_pepr import runs as runs  # before the modules that import polars: it says how to install it
