"""The rule about intensities of carbon that look like a default."""

from __future__ import annotations

import polars as pl

from lightning_pepr.auditing.cohorts import FEW
from lightning_pepr.auditing.evidence import sentence

_FARTHEST = 1.5  # a fallback is this factor beyond all other intensities
_FALLBACKS = {
    475.0: "; it is the IEA's world average of 2019, which CodeCarbon and CarbonTracker take where they know no better",
    294.2: "; it is the EU's average of 2017, which CarbonTracker took where it knew no better",
}


def fallback_intensity(runs: pl.DataFrame) -> pl.DataFrame:
    """Find an intensity that several runs share, beyond all that the others of the group have, where these vary."""
    value = pl.col("_intensity").round_sig_figs(4)
    known = runs.drop_nulls("_intensity").with_columns(_value=value, _same=pl.len().over(value) - 1)
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
    found = known.join(beyond, on=["group", "_value"], nulls_equal=True)
    found = found.with_columns(_named=value.replace_strict(_FALLBACKS, default="", return_dtype=pl.String))
    return found.filter((pl.col("_same") >= FEW - 1) & ((pl.col("_kinds") >= FEW) | standard)).select(
        "at",
        evidence=sentence(
            "its carbon is {~_value} g CO2e per kWh, as that of {_same} other runs, where the other {_others} "
            "runs{_where} have {~_low} to {~_high}{_named}"
        ),
        confidence=pl.when(pl.col("_kinds") >= FEW).then(pl.lit("medium")).otherwise(pl.lit("low")),
    )
