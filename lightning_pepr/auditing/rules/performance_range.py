"""The rule about performances that `rank` refuses."""

from __future__ import annotations

import polars as pl

from lightning_pepr.auditing.evidence import tell
from lightning_pepr.runs.checks import can_be
from lightning_pepr.runs.table import PERFORMANCES


def performance_range(runs: pl.DataFrame) -> pl.DataFrame:
    """Find performances that cannot be."""
    checks = []
    for name in PERFORMANCES:
        percentage = pl.col(name).is_between(1, 100, closed="right")
        checks.append((~can_be(name) & percentage, f"{name} is {{{name}}} (a percentage?)"))
        checks.append((~can_be(name) & ~percentage, f"{name} is {{{name}}}"))
    expected = "; expected a number in [0, 1] where higher is better"
    return tell(runs, checks, pl.lit(True), separator=", ", ending=expected)
