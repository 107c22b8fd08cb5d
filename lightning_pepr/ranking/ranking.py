"""Ranks runs by PePR: many runs, one table, each group over its own space."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from lightning_pepr.cost import RESOURCES, Resource
from lightning_pepr.functional import above_baseline
from lightning_pepr.ranking.pareto import add_pareto
from lightning_pepr.ranking.uncertainty import NO_RUN, Score, check_errors, place_models
from lightning_pepr.runs.load import BASELINE, COLUMNS, Runs, arrange, check_runs, load_runs, warn_of_mixtures
from lightning_pepr.space import ModelSpace

import polars as pl  # isort: skip, after sources, which says how to install it

if TYPE_CHECKING:
    from lightning_pepr.runs.load import Source

By: TypeAlias = "str | Resource | Sequence[str | Resource]"


def rank(
    runs: Source,
    *,
    space: ModelSpace | str | os.PathLike[str] | None = None,
    group: str | None = None,
    by: By = "energy",
    baseline: float | None = None,
    at: Literal["best", "last"] = "best",
) -> Runs:
    """Score runs in one space, and rank their models.

    Args:
        runs: A folder of records, a CSV table, several of them in a list, or what `load_runs` returned.
        space: The space over which costs are normalised, the file that holds it, or the name of a published one. By
            default that of the runs themselves: of each group, if `group` is given, else of all.
        group: The column whose values are ranked apart, such as "dataset".
        by: The resource whose score ranks: its name, letter or field ("energy", "E", "energy_kwh"); or several, of
            which the first one orders the table.
        baseline: The performance P0 that is to be had for nothing; (P - P0) / (1 - P0), floored at 0, is then scored
            instead of P, and a row is added to each group for the predictor that has it.
        at: "best" takes the model that one would keep: its test performance, else that of its best epoch. "last"
            takes the last epoch, as the paper does. Tables know one performance only.

    Returns:
        One row a run, best first (within its group, if `group` is given): `group`, `model`, `performance`, the six
        costs in their units, `r_*` and `pepr_*` of each resource that a run has and the space too, and

        - `pepr_e_low`, `pepr_e_high`: the interval of the model's score, for each resource of `by`. Runs of one
          `model` (and one value of the column `group`) are repeats, and their mean is the model's score.
        - `rank`, `rank_best`, `rank_worst`: 1 + the number of models whose intervals lie wholly above, which is the
          best place that the model can have, too; and the worst. Where no error is known, equal scores share a rank.
          A second resource of `by` has `rank_t`, …
        - `replication`: what the interval comes from: "3 runs", "1000 samples", both, or "not replicated".
        - `pareto`: whether no run of the group is better for the same costs, of the resources of `by`, or less.

        Then where it comes from. What was not measured has no score and no rank, never 0, and comes last. The row of
        the baseline has `source` "baseline"; it moves neither the space, nor the front, nor a rank.

    Raises:
        FileNotFoundError: If a path does not exist.
        ValueError: If no run, or not the space, has a resource of `by`; there is no column `group`; a cost is negative
            or not finite, a performance outside [0, 1]; or what `load_runs` refuses.

    Source:
        Section 3 of https://arxiv.org/abs/2403.12562.

    >>> runs = pl.DataFrame({"model": ["a", "b"], "performance": [0.75, 1.0], "energy_kwh": [1.0, 2.0]})
    >>> rank(runs).select("model", "r_e", "pepr_e", "rank").rows()
    [('a', 0.0, 0.75, 1), ('b', 1.0, 0.5, 2)]
    """
    keys = _keys(by)
    space = None if space is None else ModelSpace.of(space)
    if baseline is not None:
        above_baseline(1.0, baseline)  # refuses a bad one
    within = ["group"] if group is not None else []
    table = _read(runs, group, at)
    resources = _resources(table, keys, space)
    warn_of_mixtures(table, within)
    table = _add_ranges(table, resources, space, within)
    _warn_of_flat(table, keys)
    table = add_pareto(table, [key.field for key in keys], within)
    if baseline is not None:
        table = _add_baseline(table, resources, baseline, within)
    table = _add_scores(table, resources, baseline)
    for key in keys:
        table = _add_places(table, key, baseline, within, suffix="" if key is keys[0] else f"_{key.letter.lower()}")
    table = _order(table, within)
    scores = [name for resource in resources for name in (resource.r_key, resource.score_key)]
    limits = [f"{key.score_key}_{end}" for key in keys for end in ("low", "high")]
    places = [name for name in table.columns if name.startswith("rank")]
    head = ["group", "model", "performance", *(resource.field for resource in RESOURCES)]
    head += [*scores, *limits, *places, "replication", "pareto"]
    return table.select(*head, *(name for name in COLUMNS if name not in head))


def leverage(
    runs: Source,
    *,
    group: str | None = None,
    by: By = "energy",
    baseline: float | None = None,
    at: Literal["best", "last"] = "best",
) -> pl.DataFrame:
    """Find how far a ranking hangs on the models that set low and high of its space.

    Each is left out in turn, the space is taken from the others, and the others are ranked again.

    Args:
        runs: As of `rank`.
        group: As of `rank`.
        by: As of `rank`; of several resources, the first.
        baseline: As of `rank`.
        at: As of `rank`.

    Returns:
        One row for each group and end that has a model to leave out and others to rank: `group`, `end` ("low" or
        "high"), `model` (that sets it), `bound` (its cost), `bound_without` (low or high of the others), `models`
        (how many others have a rank), `changed` (how many of them have another rank among themselves once their
        space is their own), `first` and `first_without` (which of them comes first before, and then).

    Raises:
        ValueError: As `rank` does.

    >>> runs = pl.DataFrame(
    ...     {"model": ["a", "b", "c"], "performance": [0.5, 0.6, 0.9], "energy_kwh": [1.0, 1.1, 3.0]}
    ... )
    >>> leverage(runs).select("end", "model", "bound_without", "models", "changed").rows()
    [('low', 'a', 1.1, 2, 0), ('high', 'c', 1.1, 2, 2)]
    """
    key = _keys(by)[0]
    within = ["group"] if group is not None else []
    table = _read(runs, group, at)
    _resources(table, [key], None)
    table = _add_ranges(table, [key], None, within)
    model, order = pl.col("model"), ("rank", "mean", "_model")
    found = []
    for end, bound in zip(("low", "high"), _bounds(key), strict=True):
        setting = table.filter(pl.col(key.field) == pl.col(bound))
        setting = setting.unique(within, keep="first", maintain_order=True) if within else setting.head(1)
        others = table.filter(~pl.col("_model").is_in(setting["_model"].implode()))
        alone = _add_ranges(others.drop(_bounds(key)), [key], None, within)
        before, after = (
            place_models(_add_scores(each, [key], baseline), key, _score(key, baseline), within)
            for each in (others, alone)
        )
        names = others.select("_model", *within, "model", pl.col(bound)).unique("_model")
        both = before.join(after, on="_model", suffix="_without").join(names, on="_model")
        changes = both.group_by(within or pl.lit(None, dtype=pl.String).alias("group")).agg(
            models=pl.len(),
            changed=(pl.col("rank") != pl.col("rank_without")).sum(),
            first=model.sort_by(*order, descending=[False, True, False]).first(),
            first_without=model.sort_by(
                "rank_without", "mean_without", "_model", descending=[False, True, False]
            ).first(),
        )
        bounds = alone.select(
            pl.col("group") if within else pl.lit(None, dtype=pl.String).alias("group"), bound_without=bound
        )
        setting = setting.select(
            pl.col("group") if within else pl.lit(None, dtype=pl.String).alias("group"),
            end=pl.lit(end),
            model=model,
            bound=pl.col(bound),
        )
        both = setting.join(bounds.unique("group"), on="group", nulls_equal=True)
        found.append(both.join(changes, on="group", nulls_equal=True, maintain_order="left"))
    return pl.concat(found).sort("group", nulls_last=True, maintain_order=True)


def _keys(by: By) -> list[Resource]:
    names = [by] if isinstance(by, (str, Resource)) else list(by)
    if not names:
        raise ValueError('by is empty; expected a resource by which to rank, such as "energy".')
    return list(dict.fromkeys(Resource.of(name) for name in names))


def _read(runs: Source, group: str | None, at: str) -> Runs:
    """The runs, with P and group as they are asked for, and `_model`, which tells models apart."""
    table = arrange(load_runs(runs), group, at)
    check_runs(table)
    check_errors(table)
    at_row = pl.col("_row")
    # Ranked together or not: what a model did on one data set is no repeat of what it did on another.
    first = at_row.first().over("group", "model")
    table = table.with_columns(_row=pl.int_range(pl.len(), dtype=pl.Int64))
    return table.select(*COLUMNS, _model=pl.when(pl.col("model").is_null()).then(at_row).otherwise(first))


def _resources(table: Runs, keys: list[Resource], space: ModelSpace | None) -> list[Resource]:
    """The resources that can be scored, those by which is ranked among them."""
    resources = [r for r in RESOURCES if table[r.field].count() and (space is None or r in space)]
    for key in keys:
        if space is not None:
            space.range(key)
        if key not in resources:
            found = ", ".join(r.field for r in resources) or "no cost"
            raise ValueError(f"none of the {len(table)} runs has {key.field}, by which to rank; they have {found}.")
    return resources


def _add_ranges(table: Runs, resources: list[Resource], space: ModelSpace | None, within: list[str]) -> Runs:
    """Put low and high of each resource beside each run."""
    bounds = [(resource, *_bounds(resource)) for resource in resources]
    if space is None and within:
        ends = [
            end.alias(name)
            for resource, low, high in bounds
            for end, name in ((pl.col(resource.field).min(), low), (pl.col(resource.field).max(), high))
        ]
        spaces = table.group_by(within).agg(ends)
        return table.join(spaces, on=within, how="left", nulls_equal=True, maintain_order="left")
    # Constant columns written out: polars divides by a constant by its inverse, which need not be finite.
    for resource, *names in bounds:
        amounts = table[resource.field]
        pair = (amounts.min(), amounts.max()) if space is None else space.range(resource)
        constants = [np.full(len(table), np.nan if end is None else end) for end in pair]
        table = table.with_columns(pl.Series(n, c, nan_to_null=True) for n, c in zip(names, constants, strict=True))
    return table


def _warn_of_flat(table: Runs, keys: list[Resource]) -> None:
    """Say in which groups a resource by which is ranked tells no run from another."""
    for key in keys:
        low, high = _bounds(key)
        flat = table.filter(pl.col(low) == pl.col(high))
        if flat.is_empty():
            continue
        names = [str(name) for name in flat["group"].drop_nulls().unique().sort()]
        where = f" in {', '.join(names[:5])}{' …' if names[5:] else ''}" if names else ""
        warnings.warn(
            f"low and high of {key.field} are equal{where}: R is 0 there. A space needs at least two models that "
            "differ.",
            stacklevel=3,
        )


def _add_baseline(table: Runs, resources: list[Resource], baseline: float, within: list[str]) -> Runs:
    """Add to each group the predictor that has the baseline's performance, at no cost where there is a space."""
    groups = table.unique(within, keep="first", maintain_order=True) if within else table.head(1)
    bounds = [pl.col(name) for resource in resources for name in _bounds(resource)]
    free = groups.select(
        *within,
        *bounds,
        *((pl.col(_bounds(resource)[0]) * 0.0).alias(resource.field) for resource in resources),
        model=pl.lit(BASELINE),
        performance=pl.lit(baseline),
        source=pl.lit(NO_RUN),
        pareto=pl.lit(False),
        _model=len(table) + pl.int_range(pl.len(), dtype=pl.Int64),
    )
    return pl.concat([table, free], how="diagonal")


def _add_scores(table: Runs, resources: list[Resource], baseline: float | None) -> Runs:
    p = pl.col("performance")
    return table.with_columns(
        column
        for resource in resources
        for cost in (pl.col(resource.field),)
        for column in (
            _normalized(resource, cost).alias(resource.r_key),
            _score(resource, baseline)(cost, p).alias(resource.score_key),
        )
    )


def _add_places(table: Runs, key: Resource, baseline: float | None, within: list[str], suffix: str) -> Runs:
    """Add the interval of each run's model, and its ranks."""
    places = place_models(table, key, _score(key, baseline), within)
    names = {
        "low": f"{key.score_key}_low",
        "high": f"{key.score_key}_high",
        "rank": f"rank{suffix}",
        "best": f"rank{suffix}_best",
        "worst": f"rank{suffix}_worst",
    }
    if not suffix:
        names |= {"mean": "_mean", "replication": "replication"}
    table = table.join(
        places.select("_model", **{name: pl.col(old) for old, name in names.items()}),
        on="_model",
        how="left",
        maintain_order="left",
    )
    no_run = pl.col("source").eq_missing(NO_RUN) & (pl.lit(True) if baseline is not None else pl.lit(False))
    scored = pl.col(key.score_key).is_not_null()
    table = table.with_columns(pl.when(scored).then(pl.col(name)) for name in names.values())
    return table if suffix else table.with_columns(replication=pl.when(~no_run).then("replication"))


def _order(table: Runs, within: list[str]) -> Runs:
    """Best first; of one rank, that of the better score; the runs of a model together."""
    descending = [False] * len(within) + [False, True, False]
    return table.sort(*within, "rank", "_mean", "_model", descending=descending, nulls_last=True, maintain_order=True)


def _bounds(resource: Resource) -> tuple[str, str]:
    return f"_low_{resource.letter}", f"_high_{resource.letter}"


def _score(resource: Resource, baseline: float | None) -> Score:
    """P / (1 + R), with P above the baseline if there is one; `functional.pepr` and `above_baseline`."""

    def score(cost: pl.Expr, performance: pl.Expr) -> pl.Expr:
        p = performance.clip(0.0, 1.0)
        gained = p if baseline is None else ((p - baseline) / (1.0 - baseline)).clip(0.0)
        return gained / (1 + _normalized(resource, cost))

    return score


def _normalized(resource: Resource, cost: pl.Expr) -> pl.Expr:
    """R; `functional.normalize` where each row has its own range."""
    low, high = (pl.col(name) for name in _bounds(resource))
    return pl.when(high > low).then(((cost - low) / (high - low)).clip(0.0)).otherwise(cost * 0.0)
