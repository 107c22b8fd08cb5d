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
    values = known.group_by("group", "_value").agg(pl.len().alias("_runs"))
    # The largest and the smallest value of each group, each with the one that is next to it.
    ends = [
        values.group_by("group").agg(
            _value=pl.col("_value").sort(descending=largest).first(),
            _next=pl.col("_value").sort(descending=largest).get(1, null_on_oob=True),
            _last=pl.col("_value").sort(descending=largest).last(),
            _kinds=pl.len() - 1,
            _others=pl.col("_runs").sort_by("_value", descending=largest).slice(1).sum(),
        )
        for largest in (True, False)
    ]
    ratio = pl.col("_value") / pl.col("_next")
    beyond = pl.concat(ends).filter((ratio >= _FARTHEST) | (ratio <= 1 / _FARTHEST))
    standard = pl.col("_value").is_in(list(_FALLBACKS))
    low, high = pl.min_horizontal("_next", "_last"), pl.max_horizontal("_next", "_last")
    named = pl.col("_value").replace_strict(_FALLBACKS, default="", return_dtype=pl.String)
    return (
        known.join(beyond, on=["group", "_value"], nulls_equal=True)
        .filter((pl.col("_count") >= FEW) & ((pl.col("_kinds") >= FEW) | standard))
        .select(
            "at",
            evidence=pl.format(
                "its carbon is {} g CO2e per kWh, as that of {} other runs, where the other {} runs{} have {} to {}{}",
                rounded(pl.col("_value")),
                pl.col("_count") - 1,
                "_others",
                "_where",
                rounded(low),
                rounded(high),
                named,
            ),
            confidence=pl.when(pl.col("_kinds") >= FEW).then(pl.lit("medium")).otherwise(pl.lit("low")),
        )
    )
