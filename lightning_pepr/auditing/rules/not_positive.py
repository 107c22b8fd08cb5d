"""The rule about costs that are no cost."""

from __future__ import annotations

import polars as pl

from lightning_pepr.auditing.evidence import tell
from lightning_pepr.cost import ENERGY, MEMORY, RESOURCES, TIME
from lightning_pepr.runs.checks import can_be


def not_positive(runs: pl.DataFrame) -> pl.DataFrame:
    """Find costs that are zero or cannot be; sure where `rank` refuses one, or it says that nothing was spent."""
    checks, worst = [], []
    for resource in RESOURCES:
        amount, impossible = pl.col(resource.field), ~can_be(resource.field)
        checks.append((impossible | (amount == 0), f"{resource.field} is {{{resource.field}}}"))
        worst.append(impossible | ((amount == 0) if resource in (ENERGY, TIME, MEMORY) else False))
    expected = "; expected a finite amount above 0, or an empty cell where it was not measured"
    return tell(runs, checks, pl.any_horizontal(worst), separator=", ", ending=expected)
