"""The rule about energies that were measured beside others that were estimated."""

from __future__ import annotations

import polars as pl

from lightning_pepr.runs.checks import energy_kind


def mixed_quality(runs: pl.DataFrame) -> pl.DataFrame:
    """Find groups in which some energy was measured and some estimated, at the first run of the rarer kind."""
    kinds = (
        runs.with_columns(_kind=energy_kind())
        .drop_nulls("_kind")
        .group_by("group", "_kind")
        .agg(pl.len().alias("_count"), pl.col("at").min())
        .sort("_count", "_kind")
    )
    mixed = kinds.group_by("group", maintain_order=True).agg("at", "_kind", "_count")
    kind, count = pl.col("_kind").list, pl.col("_count").list
    return mixed.filter(kind.len() > 1).select(
        pl.col("at").list.first(),
        evidence=pl.format(
            "energy is {} in {} runs, this the first of them, and {} in {}; an estimate may be off by half, and R "
            "takes the two for alike",
            *(kind.first(), count.first(), kind.last(), count.last()),
        ),
        confidence=pl.lit("medium"),
    )
