"""The rule about energy over time."""

from __future__ import annotations

import polars as pl

from lightning_pepr.auditing.cohorts import COHORT, far
from lightning_pepr.auditing.evidence import sentence, sure_if

_NO_HOST = 100.0  # times the power of the others: more boards than hosts hold


def implausible_power(runs: pl.DataFrame) -> pl.DataFrame:
    """Find mean power above what the device can draw, or far from that of the cohort."""
    power, limit = pl.col("_power"), pl.col("_limit")
    unlike, usual = far(power, COHORT, up=2.0, down=5.0)
    start = "{~_energy} kWh over {~_time} s make a mean power of {~_power} W, where "
    too_much = sentence(start + "{device} can draw {~_limit} W at most")
    too_far = sentence(start + "the median of its cohort{_where} is {~_usual} W")
    known = runs.drop_nulls("_power").with_columns(_far=unlike, _usual=usual, _above=(power > limit).fill_null(False))
    return known.filter(pl.col("_far") | pl.col("_above")).select(
        "at",
        evidence=pl.when("_above").then(too_much).otherwise(too_far),
        confidence=sure_if(pl.col("_above") | (power > _NO_HOST * pl.col("_usual"))),
    )
