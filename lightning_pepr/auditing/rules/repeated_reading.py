"""The rule about readings that are another run's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

from lightning_pepr.auditing.chance import JOULES, repeated
from lightning_pepr.auditing.cohorts import COHORT, MANY, normal_power
from lightning_pepr.auditing.evidence import sentence


def repeated_reading(runs: pl.DataFrame) -> pl.DataFrame:
    """Find readings of energy, or of carbon where energy is unknown, that are those of another run.

    Of the runs that share one, those of implausible power are rejected. A single one that remains has it by right;
    of several it is not known which.
    """
    energies, carbons = runs.drop_nulls("_energy"), runs.filter(pl.col("_energy").is_null()).drop_nulls("_carbon")
    shared = pl.concat([_shared(energies, "_energy", JOULES), _shared(carbons, "_carbon", (1.0,))])
    own = runs.join(shared, on="at", how="anti").drop_nulls("_power")
    normal = normal_power(own, runs.select("at", *COHORT))
    tied = _judge(runs.join(shared, on="at", maintain_order="left").join(normal, on="at", maintain_order="left"))
    found = tied.filter(pl.col("_wrong") | (pl.col("_candidates") > 1))
    return found.select(
        "at",
        evidence=_whose() + "; " + pl.when("_wrong").then(_too_far()).otherwise(_either()),
        confidence=pl.when("_wrong").then(pl.lit("high")).otherwise(pl.lit("low")),
    )


def _shared(runs: pl.DataFrame, reading: str, units: Sequence[float]) -> pl.DataFrame:
    """The runs that share a reading, by more than chance; `_tie` is the first of them."""
    same = [reading]
    mask = repeated(runs[reading], None, units)
    if not mask.any():
        same.append("_model")
        mask = repeated(runs[reading], runs["_model"], units)
    shared = runs.filter(mask).with_columns(
        _tie=pl.col("at").first().over(same),
        _carbon_too=pl.col("carbon_g").is_not_null() & (pl.col("carbon_g").n_unique().over(same) == 1),
    )
    if len(shared) and not repeated(runs["_time"].drop_nulls()).any():
        # Times are equal by chance, and where energy was computed from time, so are energies.
        shared = shared.filter(pl.col("_time").drop_nulls().n_unique().over("_tie") != 1)
    return shared.select("at", "_tie", "_carbon_too")


def _judge(tied: pl.DataFrame) -> pl.DataFrame:
    """Tell of each run that shares a reading whether its power is plausible, and of each another that shares it."""
    floor = pl.when(pl.col("_n") >= MANY).then(math.log(1.4)).otherwise(math.log(2.0))
    low = pl.col("_mid") - pl.max_horizontal(floor, 6 * pl.col("_down"))
    high = pl.min_horizontal(pl.col("_mid") + pl.max_horizontal(floor, 6 * pl.col("_up")), pl.col("_limit").log())
    plausible = pl.col("_power").log().is_between(low, high)
    tied = tied.with_columns(_plausible=plausible, _lowest=low.exp(), _highest=high.exp(), _usual=pl.col("_mid").exp())
    wrong, at = pl.col("_plausible").not_().fill_null(False), pl.col("at")
    tied = tied.with_columns(
        _wrong=wrong,
        _candidates=(~wrong).sum().over("_tie"),
        _runs=pl.len().over("_tie"),
        # The first two, those before that may have it by right.
        _first=at.sort_by(wrong, at).first().over("_tie"),
        _second=at.sort_by(wrong, at).get(1).over("_tie"),
    )
    other = pl.when(pl.col("_first") == at).then("_second").otherwise("_first")
    same = {f"_other{name}": name for name in ("_power", "_time")}
    others = tied.select(_other="at", _other_model="model", _other_place=pl.col("_place") + pl.col("_where"), **same)
    return tied.with_columns(_other=other).join(others, on="_other", how="left", maintain_order="left")


def _whose() -> pl.Expr:
    """Tell the reading, and who else has it."""
    energy, more = pl.col("_energy").is_not_null(), pl.col("_runs") - 2
    reading = (
        pl.when(energy & pl.col("_carbon_too"))
        .then(sentence("energy ({_energy} kWh) and its carbon are, to the last digit, those"))
        .when(energy)
        .then(sentence("energy ({_energy} kWh) is, to the last digit, that"))
        .otherwise(sentence("carbon ({_carbon} g) is, to the last digit, that"))
    )
    same = pl.col("_other_model").eq_missing(pl.col("model"))
    model = pl.when(same).then(pl.lit("the same model")).otherwise(pl.col("_other_model").fill_null("another model"))
    others = pl.when(more > 0).then(pl.format(", and {} more", more)).otherwise(pl.lit(""))
    return pl.format("its {} of {}, {}{}", reading, model, "_other_place", others)


def _too_far() -> pl.Expr:
    """Tell why the power is not plausible."""
    nowhere = pl.lit("; it is plausible in none of them")
    return sentence(
        "over {~_time} s that makes {~_power} W, where {~_lowest} to {~_highest} W would be plausible ({_n} runs with "
        "a reading of their own have {~_usual} W in the median)"
    ) + pl.when(pl.col("_candidates") == 0).then(nowhere).otherwise(pl.lit(""))


def _either() -> pl.Expr:
    """Tell why it cannot be known whose the reading is."""
    return (
        pl.when(pl.any_horizontal(pl.col("_plausible", "_other_power").is_null()))
        .then(pl.lit("whether the power that follows is plausible is not known, so that either may be its own"))
        .when(pl.col("_time") == pl.col("_other_time"))
        .then(sentence("their times are equal, too, and the power is plausible ({~_power} W)"))
        .otherwise(sentence("their times differ, and both {~_power} W here and {~_other_power} W there are plausible"))
    )
