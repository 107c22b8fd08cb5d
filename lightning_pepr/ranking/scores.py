"""Runs as they are scored: what tells models and spaces apart, low and high of each space, R and PePR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import polars as pl

from lightning_pepr.cost import RESOURCES, Resource
from lightning_pepr.errors import PePRError
from lightning_pepr.runs.checks import check_runs, sets_space
from lightning_pepr.runs.load import Source, read_runs
from lightning_pepr.runs.table import COLUMNS, Runs
from lightning_pepr.space import ModelSpace

By: TypeAlias = "str | Resource | Sequence[str | Resource]"

Score: TypeAlias = Callable[[pl.Expr, pl.Expr], pl.Expr]
"""The score of a cost and a performance."""


def resources_of(by: By) -> list[Resource]:
    """List the resources by which to rank, each once."""
    names = [by] if isinstance(by, (str, Resource)) else list(by)
    if not names:
        raise PePRError('by is empty; expected a resource by which to rank, such as "energy".')
    return list(dict.fromkeys(Resource.of(name) for name in names))


def read_scorable(runs: Source, group: str | None, at: str, monitor: str | None = None) -> Runs:
    """Read runs that can be scored, with `_model`, the first row of the model, and `_space`, null if there is one."""
    table = read_runs(runs, group, at, monitor=monitor)
    check_runs(table)
    row = pl.col("_row")
    # Ranked together or not: what a model did on one data set is no repeat of what it did on another.
    model = pl.when(pl.col("model").is_null()).then(row).otherwise(row.first().over("group", "model"))
    space = pl.lit(None, dtype=pl.String) if group is None else pl.col("group")
    table = table.with_columns(_row=pl.int_range(pl.len(), dtype=pl.Int64))
    return table.select(*COLUMNS, _model=model, _space=space)


def scorable_resources(table: Runs, keys: list[Resource], space: ModelSpace | None) -> list[Resource]:
    """List the resources that can be scored, and refuse to rank by any other."""
    resources = [r for r in RESOURCES if table[r.field].count() and (space is None or r in space)]
    for key in keys:
        if space is not None:
            space.range(key)
        if key not in resources:
            found = ", ".join(r.field for r in resources) or "no cost"
            raise PePRError(f"none of the {len(table)} runs has {key.field}, by which to rank; they have {found}.")
    return resources


def bounds(resource: Resource) -> tuple[str, str]:
    """Name the columns of low and high."""
    return f"_low_{resource.letter}", f"_high_{resource.letter}"


def add_ranges(table: Runs, resources: list[Resource], space: ModelSpace | None = None) -> Runs:
    """Put low and high of each resource beside each run: those of a space, else of the runs that set its `_space`."""
    new: dict[str, pl.Expr | pl.Series] = {}
    for resource in resources:
        cost = pl.when(sets_space("_space")).then(resource.field)
        ends: list[pl.Expr] | list[pl.Series] = [cost.min().over("_space"), cost.max().over("_space")]
        if space is not None:  # written out: polars divides by a constant by its inverse, which need not be finite
            ends = [pl.repeat(end, len(table), dtype=pl.Float64, eager=True) for end in space.range(resource)]
        new.update(zip(bounds(resource), ends, strict=True))
    return table.with_columns(**new)


def add_scores(table: Runs, resources: list[Resource], baseline: float | None) -> Runs:
    """Add R and PePR of each resource, whose low and high are there."""
    new = {}
    for resource in resources:
        cost = pl.col(resource.field)
        new[resource.r_key] = _normalized(resource, cost)
        new[resource.score_key] = scorer(resource, baseline)(cost, pl.col("performance"))
    return table.with_columns(**new)


def scorer(resource: Resource, baseline: float | None) -> Score:
    """Make P / (1 + R), with P above the baseline if there is one; `functional.pepr` and `above_baseline`."""

    def score(cost: pl.Expr, performance: pl.Expr) -> pl.Expr:
        p = performance.clip(0.0, 1.0).abs()  # of -0, too
        gained = p if baseline is None else ((p - baseline) / (1.0 - baseline)).clip(0.0)
        return gained / (1 + _normalized(resource, cost))

    return score


def _normalized(resource: Resource, cost: pl.Expr) -> pl.Expr:
    """R; `functional.normalize` where each row has its own range."""
    low, high = (pl.col(name) for name in bounds(resource))
    return pl.when(high > low).then(((cost - low) / (high - low)).clip(0.0)).otherwise((cost - low) * 0.0).abs()
