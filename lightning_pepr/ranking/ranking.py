"""Ranks runs by PePR: many runs, one table, each group over its own space."""

from __future__ import annotations

import os
import warnings
from typing import Literal

import polars as pl

from lightning_pepr.cost import RESOURCES, Resource
from lightning_pepr.functional import above_baseline
from lightning_pepr.ranking import scores
from lightning_pepr.ranking.pareto import add_pareto
from lightning_pepr.ranking.scores import By
from lightning_pepr.ranking.uncertainty import NO_RUN, place_models
from lightning_pepr.runs.checks import warn_of_lower_bounds, warn_of_mixtures, warn_of_unscored
from lightning_pepr.runs.load import Source
from lightning_pepr.runs.table import BASELINE, COLUMNS, Runs
from lightning_pepr.space import ModelSpace


def rank(
    runs: Source,
    *,
    space: ModelSpace | str | os.PathLike[str] | None = None,
    group: str | None = None,
    by: By = "energy",
    baseline: float | None = None,
    at: Literal["best", "last"] = "best",
    monitor: str | None = None,
) -> Runs:
    """Score runs in one space, and rank their models.

    Args:
        runs: A folder of records, a CSV table, several of them in a list, or what `load_runs` returned.
        space: The space over which costs are normalised, the file that holds it, or the name of a published one. By
            default that of the runs themselves: of each group, if `group` is given, else of all. Runs without a
            performance do not set it, which a warning says.
        group: The column whose values are ranked apart, such as "dataset".
        by: The resource whose score ranks: its name, letter or field ("energy", "E", "energy_kwh"); or several, of
            which the first one orders the table.
        baseline: The performance P0 of a trivial predictor; (P - P0) / (1 - P0), floored at 0, is then scored
            instead of P, and a row is added to each group for the predictor that has it.
        at: "best" takes the model that one would keep: its test performance, else that of its best epoch. "last"
            takes the last epoch, as the paper does. Tables know one performance only.
        monitor: The key of another performance that records have, to rank by it; same as for `load_runs`.

    Returns:
        One row a run, best first (within its group, if `group` is given): `group`, `model`, `performance`, the six
        costs in their units, `r_*` and `pepr_*` of each resource that a run has and the space too, and

        - `pepr_e_low`, `pepr_e_high`: the interval of the model's score, for each resource of `by`. Runs of one
          `model` (and one value of the column `group`) are repeats, and their mean is the model's score. Runs of one
          name that differ in parameters, settings or, where nobody named the model, hyperparameters are of different
          models, and `model` says in what they differ: "Net (lr=0.1, 4.8 M parameters)".
        - `rank`, `rank_best`, `rank_worst`: 1 + the number of models whose intervals lie wholly above, which is the
          best place that the model can have, too; and the worst. Where no error is known, equal scores share a rank.
          A second resource of `by` has `rank_t`, …
        - `replication`: what the interval comes from: "3 runs", "1000 samples", both, or "not replicated".
        - `pareto`: whether no run of the group is better for the same costs, of the resources of `by`, or less.

        Then where it comes from. What was not measured has no score and no rank, never 0, and comes last. The row of
        the baseline has `source` "baseline"; it moves neither the space, nor the front, nor a rank.

    Raises:
        FileNotFoundError: If a path does not exist.
        PePRError: If no run, or not the space, has a resource of `by`; there is no column `group`; a cost is negative
            or not finite, a performance outside [0, 1]; or what `load_runs` refuses.

    Source:
        Section 3 of https://arxiv.org/abs/2403.12562.

    >>> runs = pl.DataFrame({"model": ["a", "b"], "performance": [0.75, 1.0], "energy_kwh": [1.0, 2.0]})
    >>> rank(runs).select("model", "r_e", "pepr_e", "rank").rows()
    [('a', 0.0, 0.75, 1), ('b', 1.0, 0.5, 2)]
    """
    keys = scores.resources_of(by)
    space = None if space is None else ModelSpace.of(space)
    if baseline is not None:
        above_baseline(1.0, baseline)  # refuses a bad one
    table = scores.read_scorable(runs, group, at, monitor)
    resources = scores.scorable_resources(table, keys, space)
    warn_of_mixtures(table, ["_space"])
    warn_of_lower_bounds(table, [key.field for key in keys])
    if space is None:
        warn_of_unscored(table, ["_space"])
    table = scores.add_ranges(table, resources, space)
    _warn_of_flat(table, keys)
    table = add_pareto(table, [key.field for key in keys], "_space")
    if baseline is not None:
        table = _add_baseline(table, resources, baseline)
    table = scores.add_scores(table, resources, baseline)
    for key in keys:
        table = _add_places(table, key, baseline, suffix="" if key is keys[0] else f"_{key.letter.lower()}")
    # Best first; of one rank, that of the better score; the runs of a model together.
    order, descending = ["_space", "rank", "_mean", "_model"], [False, False, True, False]
    table = table.sort(order, descending=descending, nulls_last=True, maintain_order=True)
    scored = [name for resource in resources for name in (resource.r_key, resource.score_key)]
    limits = [f"{key.score_key}_{end}" for key in keys for end in ("low", "high")]
    places = [name for name in table.columns if name.startswith("rank")]
    head = ["group", "model", "performance", *(resource.field for resource in RESOURCES)]
    head += [*scored, *limits, *places, "replication", "pareto"]
    return table.select(*head, *(name for name in COLUMNS if name not in head))


def _warn_of_flat(table: Runs, keys: list[Resource]) -> None:
    """Warn of the groups in which a resource by which to rank tells no run from another."""
    for key in keys:
        low, high = scores.bounds(key)
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


def _add_baseline(table: Runs, resources: list[Resource], baseline: float) -> Runs:
    """Add to each space the predictor that has the baseline's performance, at no cost where there is a space."""
    ends = [scores.bounds(resource) for resource in resources]
    free = table.unique("_space", keep="first", maintain_order=True).select(
        *(name for pair in ends for name in pair),
        *((pl.col(low) * 0.0).alias(resource.field) for resource, (low, _) in zip(resources, ends, strict=True)),
        "_space",
        group=pl.col("_space"),
        model=pl.lit(BASELINE),
        performance=pl.lit(baseline),
        source=pl.lit(NO_RUN),
        pareto=pl.lit(False),
        _model=len(table) + pl.int_range(pl.len(), dtype=pl.Int64),
    )
    return pl.concat([table, free], how="diagonal")


def _add_places(table: Runs, key: Resource, baseline: float | None, suffix: str) -> Runs:
    """Add the interval of each run's model, and its ranks."""
    of_model = {f"{key.score_key}_low": "low", f"{key.score_key}_high": "high"}
    of_model |= {f"rank{suffix}": "rank", f"rank{suffix}_best": "rank", f"rank{suffix}_worst": "worst"}
    if not suffix:
        of_model |= {"_mean": "mean", "replication": "replication"}
    places = place_models(table, key, scores.scorer(key, baseline))
    places = places.select("_model", **{new: pl.col(name) for new, name in of_model.items()})
    table = table.join(places, on="_model", how="left", maintain_order="left")
    scored = pl.col(key.score_key).is_not_null()
    table = table.with_columns(pl.when(scored).then(pl.col(name)) for name in of_model)
    if suffix or baseline is None:
        return table
    return table.with_columns(replication=pl.when(pl.col("source").ne_missing(NO_RUN)).then("replication"))
