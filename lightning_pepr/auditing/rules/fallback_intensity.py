"""The rule about intensities of carbon that look like a default."""

from __future__ import annotations

import polars as pl

from lightning_pepr.auditing.cohorts import FEW
from lightning_pepr.auditing.evidence import rounded

_FARTHEST = 1.5  # a fallback is this factor beyond all other intensities
_FALLBACKS = {
    475.0: "; it is the IEA's world average of 2019, which CodeCarbon and CarbonTracker take where they know no better",
    294.2: "; it is the EU's average of 2017, which CarbonTracker took where it knew no better",
}


def fallback_intensity(runs: pl.DataFrame) -> pl.DataFrame:
    """Find an intensity that several runs share, beyond all that the others of the group have, where these vary."""
    value = pl.col("_intensity").round_sig_figs(4)
    known = runs.drop_nulls("_intensity").with_columns(_value=value, _count=pl.len().over(value))
    values = known.group_by("group", "_value").agg(_runs=pl.len()).sort("_value")
    value, runs_of = pl.col("_value"), pl.col("_runs")
    lower, higher = value.shift(1).over("group"), value.shift(-1).over("group")
    largest, smallest = higher.is_null(), lower.is_null()
    beyond = values.with_columns(
        _far=(largest & (value / lower >= _FARTHEST)) | (smallest & (value / higher <= 1 / _FARTHEST)),
        _low=pl.when(largest).then(value.min().over("group")).otherwise(higher),
        _high=pl.when(largest).then(lower).otherwise(value.max().over("group")),
        _kinds=pl.len().over("group") - 1,
        _others=(runs_of.sum() - runs_of).over("group"),
    ).filter("_far")
    standard = value.is_in(list(_FALLBACKS))
    named = value.replace_strict(_FALLBACKS, default="", return_dtype=pl.String)
    return (
        known.join(beyond, on=["group", "_value"], nulls_equal=True)
        .filter((pl.col("_count") >= FEW) & ((pl.col("_kinds") >= FEW) | standard))
        .select(
            "at",
            evidence=pl.format(
                "its carbon is {} g CO2e per kWh, as that of {} other runs, where the other {} runs{} have {} to {}{}",
                rounded(value),
                pl.col("_count") - 1,
                "_others",
                "_where",
                rounded(pl.col("_low")),
                rounded(pl.col("_high")),
                named,
            ),
            confidence=pl.when(pl.col("_kinds") >= FEW).then(pl.lit("medium")).otherwise(pl.lit("low")),
        )
    )
