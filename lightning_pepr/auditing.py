"""Finds costs in a table of runs that cannot be true, or that hardly can."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_pepr.boards import power_limit
from lightning_pepr.cost import CARBON, ENERGY, MEMORY, RESOURCES, TIME, Resource
from lightning_pepr.functional import PERFORMANCE_TOLERANCE
from lightning_pepr.sources import _KINDS, COLUMNS, Runs, load_runs

import polars as pl  # isort: skip, after sources, which says how to install it

from lightning_pepr.chance import are_repeats  # after polars, which it needs

if TYPE_CHECKING:
    from lightning_pepr.columns import Columns
    from lightning_pepr.sources import Source

RULES = {
    "repeated-reading": "energy and carbon are, to the last digit, those of another run",
    "implausible-power": "energy over time is above what the device can draw, or far from the other runs'",
    "out-of-proportion": "carbon does not fit the energy, or a cost not the runs of the same model",
    "fallback-intensity": "several runs share an intensity of carbon that the others never come near",
    "dominant-high": "one model costs at least three times what the next does, and sets R of all",
    "not-positive": "a cost is zero, negative or no number",
    "performance-range": "a performance is outside of [0, 1], or no number",
    "duplicate-run": "a run is in the table twice",
    "mixed-quality": "measured energies stand beside estimated ones",
}
"""The rules by name, with what each finds."""

FINDINGS = {
    "row": pl.Int64,
    "source": pl.String,
    "group": pl.String,
    "model": pl.String,
    "rule": pl.String,
    "evidence": pl.String,
    "confidence": pl.String,
}
"""The columns of what `audit` returns."""

_COSTS = [resource.field for resource in RESOURCES]
_PERFORMANCES = ["performance", "val_performance", "last_performance"]
_COHORT = ["group", "device", "_gpus"]  # runs whose mean powers compare
_JOULES = (1.0, 3.6e6)  # a kWh in the units in which energy is written

_FEW, _MANY = 3, 8  # runs that a reference takes at least, and runs that make a good one
_DOMINANT = 3.0  # times the second
_FARTHEST = 1.5  # a fallback is this factor beyond all other intensities
_GRID = (1.0, 3000.0)  # g CO2e per kWh; coal has about 1000, times a PUE
_FALLBACKS = {
    475.0: "; it is the world's average of 2019, which CodeCarbon and CarbonTracker put in where they know no better",
    294.2: "; it is the EU's average of 2017, which CarbonTracker put in where it knew no better",
}


def audit(runs: Source, *, group: str | None = None, columns: Columns | None = None) -> pl.DataFrame:
    """Find costs that cannot be true, with the evidence and how sure it is.

    Unlike `rank` it takes tables with values that are impossible: to find these is what it is for.

    Args:
        runs: A folder of records, a CSV table, several of them in a list, or what `load_runs` returned.
        group: The column whose values are spaces of their own, such as "dataset"; by default the column `group` (or
            `dataset`) of the runs, where they have one.
        columns: As of `load_runs`, for tables with names of their own.

    Returns:
        One row a finding, in the order of the runs: `row` (of the table, from 0 without the header; null for a record),
        `source` (the file), `group`, `model`, `rule` (see `RULES`), `evidence` (a sentence), and `confidence`: "high"
        is condemned, "medium" is most likely wrong or made up, "low" is ambiguous. A table without findings is empty.

    Raises:
        FileNotFoundError: If a path does not exist.
        ValueError: If there is no column `group`, or what `load_runs` refuses.

    >>> runs = pl.DataFrame({"model": ["a", "b"], "performance": [0.75, 1.5], "energy_kwh": [1.0, -2.0]})
    >>> audit(runs).select("row", "rule", "confidence").rows()
    [(1, 'not-positive', 'high'), (1, 'performance-range', 'high')]
    """
    return find(load_runs(runs, columns=columns), group).drop("at")


def drop_condemned(runs: Source, *, group: str | None = None, columns: Columns | None = None) -> Runs:
    """The runs without those that the audit condemns, as `rank` and `ModelSpace.from_runs` take them.

    Args:
        runs: As of `audit`.
        group: As of `audit`.
        columns: As of `audit`.

    Returns:
        What `load_runs` returns, without the rows that have a finding of high confidence.

    Raises:
        FileNotFoundError: As of `audit`.
        ValueError: As of `audit`.

    >>> runs = pl.DataFrame({"model": ["a", "b"], "performance": [0.75, 1.5], "energy_kwh": [1.0, 2.0]})
    >>> drop_condemned(runs)["model"].to_list()
    ['a']
    """
    table = load_runs(runs, columns=columns)
    return table.filter(~condemned(table, find(table, group)))


def condemned(table: Runs, findings: pl.DataFrame) -> pl.Series:
    """Which runs of a table have a finding of high confidence, among those of `find`."""
    at = findings.filter(pl.col("confidence") == "high")["at"].unique()
    return pl.int_range(len(table), dtype=pl.Int64, eager=True).is_in(at.implode())


def find(table: Runs, group: str | None = None) -> pl.DataFrame:
    """As `audit`, of what `load_runs` returned, with `at`, the place in it, as the first column."""
    runs = _prepare(table, group)
    copies = _duplicates(runs)
    once = runs.join(copies, on="at", how="anti", maintain_order="left")
    repeated, reference = _repeats(once)
    sure = repeated.filter(pl.col("confidence") == "high")
    power = _implausible_power(once.join(sure, on="at", how="anti", maintain_order="left"), reference)
    fallback = _fallback_intensity(once)
    found = [
        repeated.with_columns(rule=pl.lit("repeated-reading")),
        power.with_columns(rule=pl.lit("implausible-power")),
        _out_of_proportion(once.join(fallback, on="at", how="anti")).with_columns(rule=pl.lit("out-of-proportion")),
        fallback.with_columns(rule=pl.lit("fallback-intensity")),
        _dominant_high(once, table).with_columns(rule=pl.lit("dominant-high")),
        _not_positive(runs).with_columns(rule=pl.lit("not-positive")),
        _performance_range(runs).with_columns(rule=pl.lit("performance-range")),
        copies.with_columns(rule=pl.lit("duplicate-run")),
        _mixed_quality(once).with_columns(rule=pl.lit("mixed-quality")),
    ]
    findings = pl.concat([frame.select("at", "rule", "evidence", "confidence") for frame in found])
    order = pl.col("rule").replace_strict({rule: i for i, rule in enumerate(RULES)}, return_dtype=pl.Int64)
    return (
        findings.sort("at", order)
        .join(runs.select("at", "row", "source", "group", "model"), on="at", maintain_order="left")
        .select("at", *(pl.col(name).cast(dtype) for name, dtype in FINDINGS.items()))
    )


def _prepare(table: Runs, group: str | None) -> pl.DataFrame:
    """The runs with what the rules ask for: places in words, mean power, intensity, and what tells models apart."""
    if group is not None:
        if group not in table.columns:
            raise ValueError(f"there is no column {group!r} to group by; the runs have {', '.join(table.columns)}.")
        table = table.with_columns(group=pl.col(group).cast(pl.String))
    at = pl.int_range(pl.len(), dtype=pl.Int64)
    row = pl.format("row {}", pl.col("row"))
    if table["source"].n_unique() > 1:
        row = pl.when(pl.col("source").is_null()).then(row).otherwise(pl.format("{} of {}", row, pl.col("source")))
    named = table.select("device", "boards").unique()
    limits = named.with_columns(
        _limit=pl.Series([power_limit(*each) for each in named.rows()], dtype=pl.Float64),
    )
    energy, carbon, time = (_positive(pl.col(each.field)) for each in (ENERGY, CARBON, TIME))
    others = [name for name in table.columns if name not in COLUMNS]
    return (
        table.select(*COLUMNS, _rest=pl.struct(others) if others else pl.lit(0))
        .with_columns(
            at=at,
            _place=pl.coalesce(row, "source", pl.format("run {}", at)),
            _where=pl.when(pl.col("group").is_not_null())
            .then(pl.format(" in {}", pl.col("group")))
            .otherwise(pl.lit("")),
            _gpus=pl.col("boards").str.count_matches("gpu:", literal=True),
            _energy=energy,
            _carbon=carbon,
            _time=time,
            _power=energy * 3.6e6 / time,
            _intensity=carbon / energy,
            _model=pl.when(pl.col("model").is_null()).then(at).otherwise(at.first().over("model")),
        )
        .join(limits, on=["device", "boards"], how="left", nulls_equal=True, maintain_order="left")
    )


def _positive(amount: pl.Expr) -> pl.Expr:
    return pl.when(amount.is_finite() & (amount > 0)).then(amount)


# Rules about single values


def _not_positive(runs: pl.DataFrame) -> pl.DataFrame:
    """Costs that are no cost. Rows with one that `rank` refuses, or that says that nothing was spent, are condemned."""
    told, worst = [], []
    for resource in RESOURCES:
        amount = pl.col(resource.field)
        impossible = ~amount.is_finite() | (amount < 0)
        told.append(pl.when(impossible | (amount == 0)).then(pl.format(f"{resource.field} is {{}}", amount)))
        worst.append(impossible | ((amount == 0) if resource in (ENERGY, TIME, MEMORY) else False))
    return (
        runs.filter(pl.any_horizontal(each.is_not_null() for each in told))
        .with_columns(
            evidence=pl.concat_str(told, separator=", ", ignore_nulls=True)
            + "; expected a finite amount above 0, or an empty cell where it was not measured",
            confidence=_confidence(high=pl.any_horizontal(each.fill_null(False) for each in worst)),
        )
        .select("at", "evidence", "confidence")
    )


def _performance_range(runs: pl.DataFrame) -> pl.DataFrame:
    slack = PERFORMANCE_TOLERANCE
    told = []
    for name in _PERFORMANCES:
        p = pl.col(name)
        hint = pl.when(p.is_between(1, 100, closed="right")).then(pl.lit(" (a percentage?)")).otherwise(pl.lit(""))
        # A NaN is in no range.
        bad = p.is_not_null() & ~p.is_between(-slack, 1 + slack).fill_null(False)
        told.append(pl.when(bad).then(pl.format(f"{name} is {{}}{{}}", p, hint)))
    return (
        runs.filter(pl.any_horizontal(each.is_not_null() for each in told))
        .with_columns(
            evidence=pl.concat_str(told, separator=", ", ignore_nulls=True)
            + "; expected a number in [0, 1] where higher is better",
            confidence=pl.lit("high"),
        )
        .select("at", "evidence", "confidence")
    )


# Rules about equal values


def _duplicates(runs: pl.DataFrame) -> pl.DataFrame:
    """Runs of one model that are equal in all that was measured, or have one `run_id`; all but the first."""
    key = pl.col("at").first().over("group", "model")
    measured = [*_COSTS, *_PERFORMANCES]
    first = pl.col("at").first()
    place = pl.col("_place").first()
    known = runs.filter(pl.col("model").is_not_null() & pl.any_horizontal("_energy", "_time", "_carbon"))
    known = known.with_columns(_key=key)
    times = known.drop_nulls("_time")
    precise = (
        are_repeats(times["_time"], times["_key"])
        if len(times)
        else are_repeats(known["_energy"], known["_key"], _JOULES)
    ) or (_is_varied(known["_power"]) and are_repeats(known["_energy"], known["_key"], _JOULES))
    if precise:
        same = ["group", "model", *measured]
        confidence = "high"
        text = "it has all its costs and its performance, to the last digit, from {}: it is the same run"
    else:
        # With so few digits two runs may be equal by chance, where runs of one model are common.
        same = ["group", "model", *measured, "quality", "device", "boards", "_rest"]
        confidence = "medium"
        text = "it is the same as {} in every column, and no other model has two runs"
        distinct = known.unique(same).group_by("_key").len()
        if (distinct["len"] > 1).any():
            known = known.clear()
    equal = (
        known.with_columns(_first=first.over(same), _other=place.over(same))
        .filter(pl.col("_first") != pl.col("at"))
        .select("at", evidence=pl.format(text, "_other"), confidence=pl.lit(confidence))
    )
    ids = (
        runs.drop_nulls("run_id")
        .with_columns(_first=first.over("run_id"), _other=place.over("run_id"))
        .filter(pl.col("_first") != pl.col("at"))
        .select("at", evidence=pl.format("its run_id is that of {}", "_other"), confidence=pl.lit("medium"))
    )
    return pl.concat([equal, ids]).unique("at", keep="first", maintain_order=True)


def _is_varied(power: pl.Series) -> bool:
    """Whether power was measured, rather than a constant by which time was multiplied."""
    known = power.drop_nulls()
    return known.round_sig_figs(9).n_unique() > len(known) / 2


def _repeats(runs: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Readings that are those of another run, and the power of the runs whose reading is their own, for each run."""
    readings = pl.concat(
        [
            _tied(runs.drop_nulls("_energy"), "_energy", _JOULES),
            _tied(runs.filter(pl.col("_energy").is_null()).drop_nulls("_carbon"), "_carbon", (1.0,)),
        ]
    )
    tied = runs.join(readings, on="at", maintain_order="left")
    reference = _reference(runs.join(readings, on="at", how="anti").drop_nulls("_power"), runs)
    tied = tied.join(reference, on="at", maintain_order="left")
    log_power = pl.col("_power").log()
    floor = pl.when(pl.col("_n") >= _MANY).then(math.log(1.4)).otherwise(math.log(2.0))
    low = pl.col("_mid") - pl.max_horizontal(floor, 6 * pl.col("_down"))
    high = pl.min_horizontal(pl.col("_mid") + pl.max_horizontal(floor, 6 * pl.col("_up")), pl.col("_limit").log())
    tied = tied.with_columns(_plausible=log_power.is_between(low, high), _lowest=low.exp(), _highest=high.exp())
    may_be = pl.col("_plausible").fill_null(True)
    tie = "_tie"
    tied = tied.with_columns(
        _may_be=may_be.sum().over(tie),
        _size=pl.len().over(tie),
        # Another run that shares the reading: the first that may be its own, else the first of all.
        _one=pl.col("at").sort_by(~may_be, "at").first().over(tie),
        _two=pl.col("at").sort_by(may_be, "at").last().over(tie),
    ).with_columns(_other=pl.when(pl.col("_one") == pl.col("at")).then("_two").otherwise("_one"))
    partner = runs.select(
        pl.col("at").alias("_other"),
        _other_place=pl.col("_place") + pl.col("_where"),
        _other_model=pl.col("model"),
        _other_power=pl.col("_power"),
        _other_time=pl.col("_time"),
    )
    tied = tied.join(partner, on="_other", how="left", maintain_order="left")
    wrong = pl.col("_plausible").not_().fill_null(False)
    found = tied.filter(wrong | (pl.col("_may_be") > 1))
    more = pl.when(pl.col("_size") > 2).then(pl.format(" (and {} more)", pl.col("_size") - 2)).otherwise(pl.lit(""))
    whose = (
        pl.when(pl.col("_other_model").eq_missing(pl.col("model")))
        .then(pl.lit("the same model"))
        .otherwise(pl.coalesce("_other_model", pl.lit("a model without a name")))
    )
    carbon = pl.when(pl.col("_energy").is_not_null() & pl.col("_carbon_too")).then(pl.lit(" and its carbon"))
    shared = pl.format(
        "its {}{} {}, to the last digit, {} of {}, {}{}",
        pl.when(pl.col("_energy").is_not_null())
        .then(pl.format("energy ({} kWh)", "_energy"))
        .otherwise(pl.format("carbon ({} g)", "_carbon")),
        carbon.fill_null(""),
        pl.when(carbon.is_null()).then(pl.lit("is")).otherwise(pl.lit("are")),
        pl.when(carbon.is_null()).then(pl.lit("that")).otherwise(pl.lit("those")),
        whose,
        "_other_place",
        more,
    )
    normal = pl.format(
        "over {} s that makes {} W, where {} to {} W is plausible (median of the {} runs with their own reading: {} W)",
        pl.col("_time").round_sig_figs(4),
        _watts(pl.col("_power")),
        _watts(pl.col("_lowest")),
        _watts(pl.col("_highest")),
        "_n",
        _watts(pl.col("_mid").exp()),
    )
    orphan = pl.when(pl.col("_may_be") == 0).then(pl.lit("; nor is it plausible in another run")).otherwise(pl.lit(""))
    same_time = pl.col("_time").eq_missing(pl.col("_other_time")) & pl.col("_time").is_not_null()
    both = (
        pl.when(pl.col("_plausible").is_null() | pl.col("_other_power").is_null())
        .then(pl.lit("what power that makes, or what is normal, is not known, so that it may be its own"))
        .when(same_time)
        .then(pl.format("their times are the same, too, and the power is plausible ({} W)", _watts(pl.col("_power"))))
        .otherwise(
            pl.format(
                "their times differ, and the power is plausible in both ({} and {} W): it may be its own",
                _watts(pl.col("_power")),
                _watts(pl.col("_other_power")),
            )
        )
    )
    findings = found.select(
        "at",
        evidence=shared + "; " + pl.when(wrong).then(normal + orphan).otherwise(both),
        confidence=pl.when(wrong).then(pl.lit("high")).otherwise(pl.lit("low")),
    )
    return findings, reference


def _tied(runs: pl.DataFrame, reading: str, units: tuple[float, ...]) -> pl.DataFrame:
    """The runs that share a reading, more often than chance has it; `_tie` is the first of them."""
    same = [reading]
    if not are_repeats(runs[reading], units=units):
        same.append("_model")
        if not are_repeats(runs[reading], runs["_model"], units):
            runs = runs.clear()
    tied = runs.filter(pl.len().over(same) > 1).with_columns(
        _tie=pl.col("at").first().over(same),
        _carbon_too=(pl.col("carbon_g").n_unique() == 1).over(same) & pl.col("carbon_g").is_not_null(),
    )
    if len(tied) and not are_repeats(runs["_time"].drop_nulls()) and not _is_varied(runs["_power"]):
        # Energy was computed from time, whose steps are coarse: equal times make equal energies.
        differ = pl.col("_time").drop_nulls().n_unique().over("_tie") != 1
        tied = tied.filter(differ)
    return tied.select("at", "_tie", "_carbon_too")


def _reference(own: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """What power is normal for each run: of its cohort, else of all on its device, else of all.

    Args:
        own: Runs whose reading is their own.
        runs: All.

    Returns:
        For each run `_n`, the number of runs that tell it, `_mid`, the median of the logarithm, and `_up` and `_down`,
        one standard deviation in each direction.
    """
    levels = [_COHORT, _COHORT[1:], []]
    structs = []
    frame = runs.select("at", *_COHORT)
    for i, level in enumerate(levels):
        name = f"_level_{i}"
        spread = own.group_by(level).agg(_spread(pl.col("_power"))) if level else own.select(_spread(pl.col("_power")))
        spread = spread.select(*level, pl.struct("_n", "_mid", "_up", "_down").alias(name))
        if level:
            frame = frame.join(spread, on=level, how="left", nulls_equal=True, maintain_order="left")
        else:
            frame = frame.join(spread, how="cross")
        structs.append(pl.col(name))
    enough = [pl.when(each.struct.field("_n") >= least).then(each) for least in (_MANY, _FEW) for each in structs]
    return frame.select("at", pl.coalesce(enough).alias("_reference")).unnest("_reference")


def _spread(amount: pl.Expr) -> list[pl.Expr]:
    """Median and one standard deviation to each side of the logarithm, which one run in ten may spoil."""
    log = amount.log()
    middle = log.median()
    return [
        log.count().cast(pl.Int64).alias("_n"),
        middle.alias("_mid"),
        ((log.quantile(0.9, "lower") - middle) / 1.2816).alias("_up"),
        ((middle - log.quantile(0.1, "higher")) / 1.2816).alias("_down"),
    ]


def _watts(power: pl.Expr) -> pl.Expr:
    return power.round_sig_figs(4).cast(pl.String).str.strip_suffix(".0")


# Rules about proportions


def _far(amount: pl.Expr, within: Sequence[str], up: float, down: float, least: int = _MANY) -> tuple[pl.Expr, pl.Expr]:
    """Whether an amount is far from the others', and the others' median.

    Far is eight standard deviations and a factor of at least `up` or `down`, which few runs must exceed by more.
    """
    log = amount.log()
    n, middle, above, below = (_over(each, within) for each in _spread(amount))
    slack = pl.when(n < 20).then(math.log(5 / 3)).otherwise(0.0)
    away = log - middle
    far = (away > pl.max_horizontal(math.log(up) + slack, 8 * above)) | (
        -away > pl.max_horizontal(math.log(down) + slack, 8 * below)
    )
    return (far & (n >= least)).fill_null(False), middle.exp()


def _over(expression: pl.Expr, within: Sequence[str]) -> pl.Expr:
    return expression.over(within) if within else expression


def _implausible_power(runs: pl.DataFrame, reference: pl.DataFrame) -> pl.DataFrame:
    """Mean power above what the device can draw, or far from that of the cohort."""
    runs = runs.drop_nulls("_power")
    far, middle = _far(pl.col("_power"), _COHORT, up=3.0, down=4.0)
    above = (pl.col("_power") > pl.col("_limit")).fill_null(False)
    start = pl.format(
        "{} kWh over {} s make a mean power of {} W, ",
        pl.col("_energy").round_sig_figs(4),
        pl.col("_time").round_sig_figs(4),
        _watts(pl.col("_power")),
    )
    too_much = pl.format("where {} can draw {} W at most", pl.col("device"), _watts(pl.col("_limit")))
    unlike = pl.format("where the median of its cohort{} is {} W", "_where", _watts(pl.col("_median")))
    return (
        runs.with_columns(_far=far, _median=middle, _above=above)
        .filter(pl.col("_far") | pl.col("_above"))
        .select(
            "at",
            evidence=start + pl.when("_above").then(too_much).otherwise(unlike),
            confidence=_confidence(high=pl.col("_above")),
        )
    )


def _out_of_proportion(runs: pl.DataFrame) -> pl.DataFrame:
    """Carbon against energy and time, and costs against those of the same model's other runs."""
    told, wrong = [], []
    far, middle = _far(pl.col("_intensity"), ["group"], up=10.0, down=10.0)
    lowest, highest = _GRID
    beyond = ~pl.col("_intensity").is_between(lowest, highest)
    told.append(
        pl.when(far | beyond).then(
            pl.format(
                "carbon over energy is {} g CO2e per kWh, where {}",
                pl.col("_intensity").round_sig_figs(4),
                pl.when(beyond)
                .then(pl.lit(f"grids have {lowest:g} to {highest:g}"))
                .otherwise(pl.format("the median{} is {}", "_where", middle.round_sig_figs(4))),
            )
        )
    )
    wrong.append(far & beyond)
    rate = pl.when(pl.col("_energy").is_null()).then(pl.col("_carbon") / pl.col("_time"))
    far, middle = _far(rate, ["group"], up=30.0, down=30.0)
    told.append(
        pl.when(far).then(
            pl.format(
                "carbon over time is {} g CO2e per s, where the median{} is {}",
                rate.round_sig_figs(4),
                "_where",
                middle.round_sig_figs(4),
            )
        )
    )
    # Of runs that broke off, what it takes to start is most of the cost.
    whole = pl.col("status").is_null() | (pl.col("status") == "finished")
    samples = _positive(pl.col("data_samples"))
    for resource, amount in ((ENERGY, "_energy"), (TIME, "_time")):
        for per, times, unit in ((samples, 5.0, " per sample"), (pl.lit(1.0), 20.0, "")):
            cost = pl.when(whole & (samples.is_not_null() if unit else samples.is_null())).then(pl.col(amount) / per)
            far, middle = _far(cost, [*_COHORT, "_model"], up=times, down=times, least=5)
            told.append(
                pl.when(far & pl.col("model").is_not_null()).then(
                    pl.format(
                        f"{resource.name} is {{}} {resource.unit}{unit}, where the median of the model's runs{{}} is {{}}",
                        cost.round_sig_figs(4),
                        "_where",
                        middle.round_sig_figs(4),
                    )
                )
            )
    names = [f"_told_{i}" for i in range(len(told))]
    return (
        runs.with_columns(*(each.alias(name) for name, each in zip(names, told, strict=True)), _wrong=wrong[0])
        .filter(pl.any_horizontal(pl.col(name).is_not_null() for name in names))
        .select(
            "at",
            evidence=pl.concat_str(names, separator="; ", ignore_nulls=True),
            confidence=_confidence(high=pl.col("_wrong").fill_null(False)),
        )
    )


def _fallback_intensity(runs: pl.DataFrame) -> pl.DataFrame:
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
        .filter((pl.col("_count") >= _FEW) & ((pl.col("_kinds") >= _FEW) | standard))
        .select(
            "at",
            evidence=pl.format(
                "its carbon is {} g CO2e per kWh, as that of {} other runs, where the other {} runs{} have {} to {}{}",
                "_value",
                pl.col("_count") - 1,
                "_others",
                "_where",
                low,
                high,
                named,
            ),
            confidence=pl.when(pl.col("_kinds") >= _FEW).then(pl.lit("medium")).otherwise(pl.lit("low")),
        )
    )


# Rules about whole groups


def _dominant_high(runs: pl.DataFrame, table: Runs) -> pl.DataFrame:
    """The one model that sets the high of its space alone, and the ranking without it."""
    found = []
    for resource in (ENERGY, CARBON, TIME, MEMORY):
        models = (
            runs.with_columns(_amount=_positive(pl.col(resource.field)))
            .drop_nulls("_amount")
            .group_by("group", "_model")
            .agg(pl.col("_amount").max(), pl.col("at").sort_by("_amount").last())
        )
        amounts = pl.col("_amount").sort(descending=True)
        found.append(
            models.group_by("group")
            .agg(
                pl.col("at").sort_by("_amount").last(),
                _first=amounts.first(),
                _second=amounts.get(1, null_on_oob=True),
                _models=pl.len(),
            )
            .filter((pl.col("_models") >= _FEW) & (pl.col("_first") >= _DOMINANT * pl.col("_second")))
            .with_columns(
                pl.format(
                    "{} {} ({} times the {} of the next of {} models)",
                    pl.lit(resource.name),
                    pl.format("{} {}", pl.col("_first").round_sig_figs(4), pl.lit(resource.unit)),
                    (pl.col("_first") / pl.col("_second")).round_sig_figs(2),
                    pl.col("_second").round_sig_figs(4),
                    "_models",
                ).alias("_told"),
                _ratio=pl.col("_first") / pl.col("_second"),
                _by=pl.lit(resource.field),
            )
        )
    dominant = (
        pl.concat(found)
        .group_by("at", maintain_order=True)
        .agg(
            pl.col("group").first(),
            pl.col("_by"),
            _told=pl.col("_told").str.join(", "),
        )
    )
    without = [
        _without(runs, table, group, Resource.of(by[0])) for group, by in dominant.select("group", "_by").iter_rows()
    ]
    return dominant.select(
        "at",
        evidence=pl.format("it alone sets the high: {}{}", "_told", pl.Series("_without", without, dtype=pl.String)),
        # A model that takes as long as it is dear may well be what it says.
        confidence=pl.when(pl.col("_by").list.contains(TIME.field) & (pl.col("_by").list.len() > 1))
        .then(pl.lit("low"))
        .otherwise(pl.lit("medium")),
    )


def _without(runs: pl.DataFrame, table: Runs, group: str | None, resource: Resource) -> str:
    """What the ranking of a group would be without the model that sets its high; empty if it cannot be ranked."""
    from lightning_pepr.ranking import leverage

    at = runs.filter(pl.col("group").eq_missing(group), _rankable())["at"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ends = leverage(table[at].with_columns(group=pl.lit(group, dtype=pl.String)), by=resource)
    except ValueError:  # no performance, or an error that is none
        return ""
    high = ends.filter(pl.col("end") == "high")
    if high.is_empty():
        return ""
    end = high.row(0, named=True)
    first = (
        f"{end['first']} stays first"
        if end["first"] == end["first_without"]
        else f"{end['first_without']} and not {end['first']} is first"
    )
    return (
        f"; without it, {first} of the others by PePR-{resource.letter}, and {end['changed']} of {end['models']} "
        "change places"
    )


def _rankable() -> pl.Expr:
    """Whether `rank` takes a run."""
    slack = PERFORMANCE_TOLERANCE
    costs = [(pl.col(name).is_finite() & (pl.col(name) >= 0)).fill_null(True) for name in _COSTS]
    performances = [pl.col(name).is_between(-slack, 1 + slack).fill_null(True) for name in _PERFORMANCES]
    return pl.all_horizontal(*costs, *performances)


def _mixed_quality(runs: pl.DataFrame) -> pl.DataFrame:
    """Groups in which some energy was measured and some estimated; told at the first run of the rarer kind."""
    kind = pl.col("quality").replace_strict(_KINDS, default=None, return_dtype=pl.String)
    kinds = (
        runs.drop_nulls("energy_kwh")
        .with_columns(_kind=kind)
        .drop_nulls("_kind")
        .group_by("group", "_kind")
        .agg(pl.len().alias("_count"), pl.col("at").min())
        .sort("_count", "_kind")
    )
    mixed = kinds.group_by("group", maintain_order=True).agg("at", "_kind", "_count")
    return mixed.filter(pl.col("_kind").list.len() > 1).select(
        pl.col("at").list.first(),
        evidence=pl.format(
            "energy is {} in {} runs, this the first of them, and {} in {}; an estimate may be off by half, and R "
            "takes the two for alike",
            pl.col("_kind").list.first(),
            pl.col("_count").list.first(),
            pl.col("_kind").list.last(),
            pl.col("_count").list.last(),
        ),
        confidence=pl.lit("medium"),
    )


def _confidence(high: pl.Expr) -> pl.Expr:
    return pl.when(high).then(pl.lit("high")).otherwise(pl.lit("medium"))
