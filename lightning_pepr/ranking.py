"""Ranks runs by PePR: many runs, one table, each group over its own space."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Literal

from lightning_pepr.cost import RESOURCES, Resource
from lightning_pepr.functional import above_baseline
from lightning_pepr.sources import COLUMNS, Runs, check_runs, load_runs
from lightning_pepr.space import ModelSpace

import polars as pl  # isort: skip, after sources, which says how to install it

if TYPE_CHECKING:
    from lightning_pepr.sources import Source


def rank(
    runs: Source,
    *,
    space: ModelSpace | str | os.PathLike[str] | None = None,
    group: str | None = None,
    by: str | Resource = "energy",
    baseline: float | None = None,
    at: Literal["best", "last"] = "best",
) -> Runs:
    """Score runs in one space, and rank them.

    Args:
        runs: A folder of records, a CSV table, several of them in a list, or what `load_runs` returned.
        space: The space over which costs are normalised, or the file that holds it. By default that of the runs
            themselves: of each group, if `group` is given, else of all.
        group: The column whose values are ranked apart, such as "dataset".
        by: The resource whose score ranks: its name, letter or field ("energy", "E", "energy_kwh").
        baseline: The performance P0 that is to be had for nothing; (P - P0) / (1 - P0), floored at 0, is then scored
            instead of P.
        at: "best" takes the model that one would keep: its test performance, else that of its best epoch. "last"
            takes the last epoch, as the paper does. Tables know one performance only.

    Returns:
        One row a run, best first (within its group, if `group` is given): `group`, `model`, `performance`, the six
        costs in their units, `r_*` and `pepr_*` of each resource that a run has and the space too, `rank` (1 is best;
        equal scores share the better rank), `pareto` (no run of the group is better for the same cost or less), and
        where it comes from. What was not measured has no score and no rank, never 0, and comes last.

    Raises:
        FileNotFoundError: If a path does not exist.
        ValueError: If no run, or not the space, has the resource `by`; there is no column `group`; a cost is negative
            or not finite, a performance outside [0, 1]; or what `load_runs` refuses.

    Source:
        Section 3 of https://arxiv.org/abs/2403.12562.

    >>> runs = pl.DataFrame({"model": ["a", "b"], "performance": [0.75, 1.0], "energy_kwh": [1.0, 2.0]})
    >>> rank(runs).select("model", "r_e", "pepr_e", "rank").rows()
    [('a', 0.0, 0.75, 1), ('b', 1.0, 0.5, 2)]
    """
    table = load_runs(runs)
    key = Resource.of(by)
    if space is not None and not isinstance(space, ModelSpace):
        space = ModelSpace.load(space)
    if at not in ("best", "last"):
        raise ValueError(f"at is {at!r}; expected 'best' or 'last'.")
    if at == "last":
        table = table.with_columns(performance=pl.coalesce("last_performance", "performance"))
    if group is not None:
        if group not in table.columns:
            raise ValueError(f"there is no column {group!r} to group by; the runs have {', '.join(table.columns)}.")
        table = table.with_columns(group=pl.col(group).cast(pl.String))
    if baseline is not None:
        above_baseline(1.0, baseline)  # refuses a bad one
    check_runs(table)

    resources = [r for r in RESOURCES if table[r.field].count() and (space is None or r in space)]
    if space is not None:
        space.range(key)
    if key not in resources:
        found = ", ".join(r.field for r in resources) or "no cost"
        raise ValueError(f"none of the {len(table)} runs has {key.field}, by which to rank; they have {found}.")

    within = ["group"] if group is not None else []
    table = table.select(*COLUMNS)
    table = _add_ranges(table, resources, space, within)
    if space is not None or not within:
        # Constant columns written out: polars divides by a constant by its inverse, which need not be finite.
        bounds = [name for resource in resources for name in _bounds(resource)]
        table = table.with_columns(pl.Series(name, table[name].to_numpy().copy()) for name in bounds)
    _warn_of_flat(table, key)
    p = _gained(baseline)
    r = {resource: _normalized(resource) for resource in resources}
    table = table.with_columns(
        column
        for resource in resources
        for column in (r[resource].alias(resource.r_key), (p / (1 + r[resource])).alias(resource.score_key))
    )
    placed = pl.col(key.score_key).rank("min", descending=True)
    table = table.with_columns(rank=(placed.over(within) if within else placed).cast(pl.Int64))
    table = _add_pareto(table, key, within)
    scores = [name for resource in resources for name in (resource.r_key, resource.score_key)]
    head = ["group", "model", "performance", *(resource.field for resource in RESOURCES)]
    head += [*scores, "rank", "pareto"]
    table = table.sort(*within, "rank", nulls_last=True, maintain_order=True)
    return table.select(*head, *(name for name in COLUMNS if name not in head))


def _add_ranges(table: Runs, resources: list[Resource], space: ModelSpace | None, within: list[str]) -> Runs:
    """Put low and high of each resource beside each run."""
    if space is not None:
        bounds = {resource: space.range(resource) for resource in resources}
        return table.with_columns(
            pl.lit(bound, dtype=pl.Float64).alias(name)
            for resource, pair in bounds.items()
            for name, bound in zip(_bounds(resource), pair, strict=True)
        )
    ends = [
        end.alias(name)
        for resource in resources
        for end, name in zip(
            (pl.col(resource.field).min(), pl.col(resource.field).max()), _bounds(resource), strict=True
        )
    ]
    spaces = table.group_by(within).agg(ends) if within else table.select(ends)
    if within:
        return table.join(spaces, on="group", how="left", nulls_equal=True, maintain_order="left")
    return table.join(spaces, how="cross", maintain_order="left")


def _warn_of_flat(table: Runs, by: Resource) -> None:
    """Say in which groups the resource by which is ranked tells no run from another."""
    low, high = _bounds(by)
    flat = table.filter(pl.col(low) == pl.col(high))
    if flat.is_empty():
        return
    names = [str(name) for name in flat["group"].drop_nulls().unique().sort()]
    where = f" in {', '.join(names[:5])}{' …' if names[5:] else ''}" if names else ""
    warnings.warn(
        f"low and high of {by.field} are equal{where}: R is 0 there. A space needs at least two models that differ.",
        stacklevel=3,
    )


def _bounds(resource: Resource) -> tuple[str, str]:
    return f"_low_{resource.letter}", f"_high_{resource.letter}"


def _normalized(resource: Resource) -> pl.Expr:
    """R; `functional.normalize` where each row has its own range."""
    low, high = (pl.col(name) for name in _bounds(resource))
    cost = pl.col(resource.field)
    return pl.when(high > low).then(((cost - low) / (high - low)).clip(0.0)).otherwise(cost * 0.0)


def _gained(baseline: float | None) -> pl.Expr:
    """P, or what it is above the baseline; `functional.above_baseline`."""
    p = pl.col("performance").clip(0.0, 1.0)
    return p if baseline is None else ((p - baseline) / (1.0 - baseline)).clip(0.0)


def _add_pareto(table: Runs, by: Resource, within: list[str]) -> Runs:
    """Mark the Pareto front of each group; `functional.pareto_front` for many groups at once."""
    p, cost = pl.col("performance"), pl.col(by.field)
    known = table.with_row_index("_at").filter(p.is_not_null() & cost.is_not_null())
    ordered = known.sort(*within, by.field, "performance", descending=[False] * (len(within) + 1) + [True])
    best = p.cum_max().shift(1)
    ordered = ordered.with_columns(beats=(p > (best.over(within) if within else best)).fill_null(True))
    # Runs that are equal in both share the fate of the first of them.
    front = ordered.select("_at", pareto=pl.col("beats").first().over(*within, by.field, "performance"))
    return (
        table.with_row_index("_at")
        .join(front, on="_at", how="left", maintain_order="left")
        .with_columns(pl.col("pareto").fill_null(False))
    )
