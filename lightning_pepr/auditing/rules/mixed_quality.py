"""The rule about energies that were measured beside others that were estimated."""

from __future__ import annotations

import polars as pl

from lightning_pepr.auditing.evidence import sentence
from lightning_pepr.runs.checks import energy_kind


def mixed_quality(runs: pl.DataFrame) -> pl.DataFrame:
    """Find groups in which some energy was measured and some estimated, at the first run of the rarer kind."""
    known = runs.with_columns(_kind=energy_kind()).drop_nulls("_kind")
    kinds = known.group_by("group", "_kind").agg(pl.col("at").min(), _count=pl.len()).sort("_count", "_kind")
    mixed = kinds.group_by("group", maintain_order=True).agg(
        pl.first("at", "_kind", "_count"), pl.last("_kind", "_count").name.suffix("_else"), _kinds=pl.len()
    )
    text = (
        "energy is {_kind} in {_count} runs, this the first of them, and {_kind_else} in {_count_else}; an estimate "
        "may be off by half, and R takes the two for alike"
    )
    return mixed.filter(pl.col("_kinds") > 1).select("at", evidence=sentence(text), confidence=pl.lit("medium"))
