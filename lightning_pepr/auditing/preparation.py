"""Runs as the rules of the audit take them."""

from __future__ import annotations

import polars as pl

from lightning_pepr.auditing.boards import power_limit
from lightning_pepr.auditing.cohorts import positive
from lightning_pepr.cost import CARBON, ENERGY, TIME
from lightning_pepr.runs.table import COLUMNS, Runs


def prepare(table: Runs) -> pl.DataFrame:
    """Add what the rules ask for: places in words, mean power, intensity, and what tells models apart."""
    at = pl.col("at")
    row = pl.format("row {}", pl.col("row"))
    if table["source"].n_unique() > 1:
        row = pl.when(pl.col("source").is_null()).then(row).otherwise(pl.format("{} of {}", row, pl.col("source")))
    hardware = table.select("device", "boards").unique()
    limits = hardware.with_columns(_limit=pl.Series([power_limit(*each) for each in hardware.rows()], dtype=pl.Float64))
    energy, carbon, time = (positive(pl.col(each.field)) for each in (ENERGY, CARBON, TIME))
    rest = pl.struct(pl.exclude(list(COLUMNS))) if table.width > len(COLUMNS) else pl.lit(0)
    return (
        table.select(*COLUMNS, _rest=rest, at=pl.int_range(pl.len(), dtype=pl.Int64))
        .with_columns(
            _place=pl.coalesce(row, "source", pl.format("run {}", at)),
            _where=pl.format(" in {}", pl.col("group")).fill_null(""),
            _gpus=pl.col("boards").str.count_matches("gpu:", literal=True),
            _energy=energy,
            _carbon=carbon,
            _time=time,
            _power=positive(energy * 3.6e6 / time),
            _intensity=positive(carbon / energy),
            # Models, and models in their groups, by the first run of each; a run without a name is a model of its own.
            _model=pl.when(pl.col("model").is_null()).then(at).otherwise(at.first().over("model")),
        )
        .with_columns(_key=at.first().over("group", "_model"))
        .join(limits, on=["device", "boards"], how="left", nulls_equal=True, maintain_order="left")
    )
