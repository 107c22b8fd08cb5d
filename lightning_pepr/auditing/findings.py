"""Finds costs in a table of runs that cannot be true, or that hardly can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_pepr.cost import CARBON, ENERGY, TIME
from lightning_pepr.runs.load import COLUMNS, Runs, load_runs

import polars as pl  # isort: skip, after sources, which says how to install it

from lightning_pepr.auditing.rules.boards import power_limit
from lightning_pepr.auditing.rules.cohorts import positive
from lightning_pepr.auditing.rules.dominance import dominant_high
from lightning_pepr.auditing.rules.equality import duplicates, repeats
from lightning_pepr.auditing.rules.proportions import fallback_intensity, implausible_power, out_of_proportion
from lightning_pepr.auditing.rules.values import mixed_quality, not_positive, performance_range

if TYPE_CHECKING:
    from lightning_pepr.runs.columns import Columns
    from lightning_pepr.runs.load import Source

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
    copies = duplicates(runs)
    once = _without(runs, copies)
    repeated = repeats(once)
    # Their power is part of the evidence already.
    others = _without(once, repeated.filter(confidence="high"))
    power = implausible_power(others)
    fallback = fallback_intensity(once)
    proportion = out_of_proportion(_without(once, fallback))
    doubted = pl.concat([repeated, power, proportion])
    found = [
        repeated.with_columns(rule=pl.lit("repeated-reading")),
        power.with_columns(rule=pl.lit("implausible-power")),
        proportion.with_columns(rule=pl.lit("out-of-proportion")),
        fallback.with_columns(rule=pl.lit("fallback-intensity")),
        dominant_high(once, table, doubted).with_columns(rule=pl.lit("dominant-high")),
        not_positive(runs).with_columns(rule=pl.lit("not-positive")),
        performance_range(runs).with_columns(rule=pl.lit("performance-range")),
        copies.with_columns(rule=pl.lit("duplicate-run")),
        mixed_quality(once).with_columns(rule=pl.lit("mixed-quality")),
    ]
    findings = pl.concat([frame.select("at", "rule", "evidence", "confidence") for frame in found])
    order = pl.col("rule").replace_strict({rule: i for i, rule in enumerate(RULES)}, return_dtype=pl.Int64)
    return (
        findings.sort("at", order)
        .join(runs.select("at", "row", "source", "group", "model"), on="at", maintain_order="left")
        .select("at", *(pl.col(name).cast(dtype) for name, dtype in FINDINGS.items()))
    )


def _without(runs: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    return runs.join(found, on="at", how="anti", maintain_order="left") if len(found) else runs


def _prepare(table: Runs, group: str | None) -> pl.DataFrame:
    """The runs with what the rules ask for: places in words, mean power, intensity, and what tells models apart."""
    if group is not None:
        if group not in table.columns:
            raise ValueError(f"there is no column {group!r} to group by; the runs have {', '.join(table.columns)}.")
        table = table.with_columns(group=pl.col(group).cast(pl.String))
    at = pl.col("at")
    row = pl.format("row {}", pl.col("row"))
    if table["source"].n_unique() > 1:
        row = pl.when(pl.col("source").is_null()).then(row).otherwise(pl.format("{} of {}", row, pl.col("source")))
    hardware = table.select("device", "boards").unique()
    limits = hardware.with_columns(_limit=pl.Series([power_limit(*each) for each in hardware.rows()], dtype=pl.Float64))
    energy, carbon, time = (positive(pl.col(each.field)) for each in (ENERGY, CARBON, TIME))
    others = [name for name in table.columns if name not in COLUMNS]
    return (
        table.select(*COLUMNS, _rest=pl.struct(others) if others else pl.lit(0))
        .with_columns(at=pl.int_range(pl.len(), dtype=pl.Int64))
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
