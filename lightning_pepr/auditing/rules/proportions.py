"""Rules about proportions: energy over time, carbon over energy, and costs of one model's runs."""

from __future__ import annotations

from typing import TypeAlias

import polars as pl

from lightning_pepr.auditing.rules.cohorts import COHORT, FEW, far, positive, rounded
from lightning_pepr.auditing.rules.values import sure_if
from lightning_pepr.cost import ENERGY, TIME

_Check: TypeAlias = "tuple[pl.Expr, str, list[pl.Expr]]"  # what is wrong, a text, and what the text tells
_NO_HOST = 100.0  # times the power of the others: more boards than hosts hold
_REPEATS = 5  # runs of one model that make a cohort of their own
_FARTHEST = 1.5  # a fallback is this factor beyond all other intensities
_GRID = (1.0, 3000.0)  # g CO2e per kWh; coal has about 1000, times a PUE
_FALLBACKS = {
    475.0: "; it is the IEA's world average of 2019, which CodeCarbon and CarbonTracker take where they know no better",
    294.2: "; it is the EU's average of 2017, which CarbonTracker took where it knew no better",
}


def implausible_power(runs: pl.DataFrame) -> pl.DataFrame:
    """Mean power above what the device can draw, or far from that of the cohort."""
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


def out_of_proportion(runs: pl.DataFrame) -> pl.DataFrame:
    """Carbon against energy and time, and costs against those of the same model's other runs."""
    lowest, highest = _GRID
    intensity, no_grid = pl.col("_intensity"), ~pl.col("_intensity").is_between(lowest, highest)
    unlike, middle = far(intensity, ["group"], up=10.0, down=10.0)
    rate = pl.when(pl.col("_energy").is_null()).then(pl.col("_carbon") / pl.col("_time"))
    unlike_rate, middle_rate = far(rate, ["group"], up=30.0, down=30.0)
    by_carbon = _tell(
        runs,
        [
            (
                no_grid,
                f"carbon over energy is {{}} g CO2e per kWh, where grids have {lowest:g} to {highest:g}",
                [intensity],
            ),
            (
                unlike & ~no_grid,
                "carbon over energy is {} g CO2e per kWh, where the median{} is {}",
                [intensity, middle],
            ),
            (unlike_rate, "carbon over time is {} g CO2e per s, where the median{} is {}", [rate, middle_rate]),
        ],
        # Of a whole column in another unit nothing is known but that.
        impossible=no_grid & middle.is_between(lowest, highest) & (intensity.count().over("group") >= FEW),
    )
    return (
        pl.concat([by_carbon, _unlike_repeats(runs)])
        .group_by("at")
        .agg(
            pl.col("evidence").str.join("; "),
            pl.col("confidence").min(),  # "high" is before "medium"
        )
    )


def _unlike_repeats(runs: pl.DataFrame) -> pl.DataFrame:
    """Runs whose energy or time is far from that of the same model's other runs, by sample where these are counted."""
    # Of runs that broke off, what it takes to start is most of the cost.
    whole = pl.col("status").is_null() | (pl.col("status") == "finished")
    runs = runs.filter((pl.len().over("_key") >= _REPEATS) & whole)
    samples = positive(pl.col("data_samples"))
    checks = []
    for resource, amount in ((ENERGY, pl.col("_energy")), (TIME, pl.col("_time"))):
        for cost, times, unit in (
            (amount / samples, 5.0, f"{resource.unit} per sample"),
            (pl.when(samples.is_null()).then(amount), 20.0, resource.unit),
        ):
            unlike, middle = far(cost, ["_key", *COHORT[1:]], up=times, down=times, least=_REPEATS)
            text = f"its {resource.name} is {{}} {unit}, where the median of the model's runs{{}} is {{}}"
            checks.append((unlike, text, [cost, middle]))
    return _tell(runs, checks, impossible=pl.lit(False))


def _tell(runs: pl.DataFrame, checks: list[_Check], impossible: pl.Expr) -> pl.DataFrame:
    """Findings of several checks, one for each run that fails any."""
    found = [f"_found_{i}" for i in range(len(checks))]
    known = [check.alias(name) for name, (check, _, _) in zip(found, checks, strict=True)]
    amounts = [
        amount.alias(f"{name}_{j}")
        for name, (_, _, each) in zip(found, checks, strict=True)
        for j, amount in enumerate(each)
    ]
    told = []
    for name, (_, text, each) in zip(found, checks, strict=True):
        amount, *middle = [rounded(pl.col(f"{name}_{j}")) for j in range(len(each))]
        where = [pl.col("_where")] if middle else []
        told.append(pl.when(name).then(pl.format(text, amount, *where, *middle)))
    return (
        runs.select("at", "_where", *known, *amounts, _impossible=impossible)
        .filter(pl.any_horizontal(found))
        .select(
            "at",
            evidence=pl.concat_str(told, separator="; ", ignore_nulls=True),
            confidence=sure_if(pl.col("_impossible")),
        )
    )


def fallback_intensity(runs: pl.DataFrame) -> pl.DataFrame:
    """An intensity that several runs share, beyond all that the others of the group have, where these vary."""
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
