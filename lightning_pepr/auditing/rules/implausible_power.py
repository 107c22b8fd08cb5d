"""The rule about energy over time."""

from __future__ import annotations

import polars as pl

from lightning_pepr.auditing.cohorts import COHORT, far
from lightning_pepr.auditing.evidence import rounded, sure_if

_NO_HOST = 100.0  # times the power of the others: more boards than hosts hold


def implausible_power(runs: pl.DataFrame) -> pl.DataFrame:
    """Find mean power above what the device can draw, or far from that of the cohort."""
    unlike_others, middle = far(pl.col("_power"), COHORT, up=2.0, down=5.0)
    start = pl.format(
        "{} kWh over {} s make a mean power of {} W, ",
        rounded(pl.col("_energy")),
        rounded(pl.col("_time")),
        rounded(pl.col("_power")),
    )
    too_much = pl.format("where {} can draw {} W at most", pl.col("device"), rounded(pl.col("_limit")))
    unlike = pl.format("where the median of its cohort{} is {} W", "_where", rounded(pl.col("_median")))
    return (
        runs.drop_nulls("_power")
        .with_columns(_far=unlike_others, _median=middle, _above=(pl.col("_power") > pl.col("_limit")).fill_null(False))
        .filter(pl.col("_far") | pl.col("_above"))
        .select(
            "at",
            evidence=start + pl.when("_above").then(too_much).otherwise(unlike),
            confidence=sure_if(pl.col("_above") | (pl.col("_power") > _NO_HOST * pl.col("_median"))),
        )
    )
