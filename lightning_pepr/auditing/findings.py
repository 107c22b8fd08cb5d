"""Finds costs in a table of runs that cannot be true, or that hardly can."""

from __future__ import annotations

import polars as pl

from lightning_pepr.auditing.preparation import prepare
from lightning_pepr.auditing.rules.dominant_high import dominant_high
from lightning_pepr.auditing.rules.duplicate_run import duplicate_run
from lightning_pepr.auditing.rules.fallback_intensity import fallback_intensity
from lightning_pepr.auditing.rules.implausible_power import implausible_power
from lightning_pepr.auditing.rules.mixed_quality import mixed_quality
from lightning_pepr.auditing.rules.not_positive import not_positive
from lightning_pepr.auditing.rules.out_of_proportion import out_of_proportion
from lightning_pepr.auditing.rules.performance_range import performance_range
from lightning_pepr.auditing.rules.repeated_reading import repeated_reading
from lightning_pepr.runs.columns import Columns
from lightning_pepr.runs.load import Source, load_runs, read_runs
from lightning_pepr.runs.table import Runs

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
    **dict.fromkeys(["source", "group", "model", "rule", "evidence", "confidence"], pl.String),
}
"""The columns of what `audit` returns."""


def audit(
    runs: Source, *, group: str | None = None, columns: Columns | None = None, monitor: str | None = None
) -> pl.DataFrame:
    """Find costs that cannot be true, with the evidence and how sure it is.

    Unlike `rank` it takes tables with values that are impossible: to find these is what it is for.

    Args:
        runs: A folder of records, a CSV table, several of them in a list, or what `load_runs` returned.
        group: The column whose values are spaces of their own, such as "dataset"; by default the column `group` (or
            `dataset`) of the runs, where they have one.
        columns: Same as for `load_runs`, for tables with names of their own.
        monitor: Same as for `load_runs`: the key of another performance that records have.

    Returns:
        One row a finding, in the order of the runs: `row` (of the table, from 0 without the header; null for a record),
        `source` (the file), `group`, `model`, `rule` (see `RULES`), `evidence` (a sentence), and `confidence`: "high"
        is rejected, "medium" is most likely wrong or made up, "low" is ambiguous. A table without findings is empty.

    Raises:
        FileNotFoundError: If a path does not exist.
        PePRError: If there is no column `group`, or what `load_runs` refuses.

    >>> runs = pl.DataFrame({"model": ["a", "b"], "performance": [0.75, 1.5], "energy_kwh": [1.0, -2.0]})
    >>> audit(runs).select("row", "rule", "confidence").rows()
    [(1, 'not-positive', 'high'), (1, 'performance-range', 'high')]
    """
    return find(read_runs(runs, group, columns=columns, monitor=monitor)).drop("at")


def drop_rejected(runs: Source, *, group: str | None = None, columns: Columns | None = None) -> Runs:
    """Leave out the runs that the audit rejects; `rank` and `ModelSpace.from_runs` take the others.

    Args:
        runs: Same as for `audit`.
        group: Same as for `audit`.
        columns: Same as for `audit`.

    Returns:
        What `load_runs` returns, without the rows that have a finding of high confidence.

    Raises:
        FileNotFoundError: Same as for `audit`.
        PePRError: Same as for `audit`.

    >>> runs = pl.DataFrame({"model": ["a", "b"], "performance": [0.75, 1.5], "energy_kwh": [1.0, 2.0]})
    >>> drop_rejected(runs)["model"].to_list()
    ['a']
    """
    table = load_runs(runs, columns=columns)
    return table.filter(~rejected(table, find(read_runs(table, group))))


def rejected(table: Runs, findings: pl.DataFrame) -> pl.Series:
    """Mark the runs of a table that have a finding of high confidence, among those of `find`."""
    at = findings.filter(confidence="high")["at"].unique()
    return pl.int_range(len(table), dtype=pl.Int64, eager=True).is_in(at.implode())


def find(table: Runs) -> pl.DataFrame:
    """Do as `audit` does with what `read_runs` returned; `at`, the place in it, is the first column."""
    runs = prepare(table)
    copies = duplicate_run(runs)
    once = _without(runs, copies)
    repeated = repeated_reading(once)
    # Their power is part of the evidence already.
    power = implausible_power(_without(once, repeated.filter(confidence="high")))
    fallback = fallback_intensity(once)
    proportion = out_of_proportion(_without(once, fallback))
    found = {
        "repeated-reading": repeated,
        "implausible-power": power,
        "out-of-proportion": proportion,
        "fallback-intensity": fallback,
        "dominant-high": dominant_high(once, table, doubted=pl.concat([repeated, power, proportion])),
        "not-positive": not_positive(runs),
        "performance-range": performance_range(runs),
        "duplicate-run": copies,
        "mixed-quality": mixed_quality(once),
    }
    findings = pl.concat(each.with_columns(rule=pl.lit(rule)) for rule, each in found.items())
    # In the order of the runs, and for each in that of the rules.
    findings = findings.sort("at", maintain_order=True)
    places = runs.select("at", "row", "source", "group", "model")
    return findings.join(places, on="at", maintain_order="left").select("at", *FINDINGS)


def _without(runs: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    return runs.join(found, on="at", how="anti", maintain_order="left") if len(found) else runs
