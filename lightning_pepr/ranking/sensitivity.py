"""How far a ranking hangs on the models that set low and high of its space."""

from __future__ import annotations

from typing import Literal

import polars as pl

from lightning_pepr.cost import Resource
from lightning_pepr.ranking import scores
from lightning_pepr.ranking.scores import By
from lightning_pepr.ranking.uncertainty import place_models
from lightning_pepr.runs.checks import sets_space
from lightning_pepr.runs.load import Source
from lightning_pepr.runs.table import Runs


def leverage(
    runs: Source,
    *,
    group: str | None = None,
    by: By = "energy",
    baseline: float | None = None,
    at: Literal["best", "last"] = "best",
    monitor: str | None = None,
) -> pl.DataFrame:
    """Find how far a ranking hangs on the models that set low and high of its space.

    Each is left out in turn, the space is taken from the others, and the others are ranked again.

    Args:
        runs: Same as for `rank`.
        group: Same as for `rank`.
        by: Same as for `rank`; of several resources, the first.
        baseline: Same as for `rank`.
        at: Same as for `rank`.
        monitor: Same as for `rank`.

    Returns:
        One row for each group and end that has a model to leave out and others to rank: `group`, `end` ("low" or
        "high"), `model` (that sets it), `bound` (its cost), `bound_without` (low or high of the others), `models`
        (how many others have a rank), `changed` (how many of them have another rank among themselves once their
        space is their own), `first` and `first_without` (which of them comes first before, and then).

    Raises:
        PePRError: Same as for `rank`.

    >>> runs = pl.DataFrame(
    ...     {"model": ["a", "b", "c"], "performance": [0.5, 0.6, 0.9], "energy_kwh": [1.0, 1.1, 3.0]}
    ... )
    >>> leverage(runs).select("end", "model", "bound_without", "models", "changed").rows()
    [('low', 'a', 1.1, 2, 0), ('high', 'c', 1.1, 2, 2)]
    """
    key = scores.resources_of(by)[0]
    table = scores.read_scorable(runs, group, at, monitor)
    scores.scorable_resources(table, [key], None)
    table = scores.add_ranges(table.filter(sets_space("_space")), [key])
    found = []
    for end, bound in zip(("low", "high"), scores.bounds(key), strict=True):
        setting = table.filter(pl.col(key.field) == pl.col(bound)).unique("_space", keep="first", maintain_order=True)
        others = table.filter(~pl.col("_model").is_in(setting["_model"].implode()))
        alone = scores.add_ranges(others, [key])
        before, after = (_places(each, key, baseline) for each in (others, alone))
        both = before.join(after, on="_model", suffix="_without")
        changed = (pl.col("rank") != pl.col("rank_without")).sum()
        changes = both.group_by("_space").agg(
            models=pl.len(), changed=changed, first=_first(), first_without=_first("_without")
        )
        without = alone.select("_space", bound_without=bound).unique("_space")
        setting = setting.select("_space", end=pl.lit(end), model="model", bound=bound)
        setting = setting.join(without, on="_space", nulls_equal=True)
        found.append(setting.join(changes, on="_space", nulls_equal=True))
    return pl.concat(found).rename({"_space": "group"}).sort("group", nulls_last=True, maintain_order=True)


def _places(table: Runs, key: Resource, baseline: float | None) -> pl.DataFrame:
    return place_models(scores.add_scores(table, [key], baseline), key, scores.scorer(key, baseline))


def _first(suffix: str = "") -> pl.Expr:
    """Name the model that comes first."""
    order = [f"{name}{suffix}" for name in ("rank", "mean")]
    return pl.col("model").sort_by(*order, "_model", descending=[False, True, False]).first()
