"""Where the project and its reference data are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The project: children of the tests run here, so that they find `tests` and `lightning_pepr`."""

PAPER = ROOT.parent / "shared" / "paper"
"""The paper's published measurements; a user's clone has none, and tests that need them skip."""
