"""The Pareto fronts of many groups of runs at once, over P and any number of costs."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl

from lightning_pepr.runs.table import Runs


def add_pareto(runs: Runs, costs: list[str], within: str) -> Runs:
    """Mark in `pareto` the front of each group over `performance` and some costs; what is not known is not on it."""
    runs = runs.with_row_index("_at")
    known = runs.drop_nulls(["performance", *costs])
    ordered = known.sort(within, *costs, "performance", descending=[False] * (1 + len(costs)) + [True])
    p = pl.col("performance")
    best: pl.Expr | pl.Series = (p > p.cum_max().shift(1).over(within)).fill_null(True)
    if len(costs) > 1:
        best = _unbeaten(ordered, costs, within)
    # Runs that are equal in all share the fate of the first of them.
    ordered = ordered.with_columns(best.alias("_best"))
    front = ordered.filter(pl.col("_best").first().over(within, *costs, "performance"))["_at"]
    return runs.with_columns(pareto=pl.col("_at").is_in(front.implode())).drop("_at")


def _unbeaten(ordered: Runs, costs: list[str], within: str) -> pl.Series:
    """Mark, among runs in the order of their costs, those that no run before them in their group beats or equals."""
    points = ordered.select(*costs, -pl.col("performance")).to_numpy()
    ends = np.append(np.flatnonzero(np.diff(ordered[within].rle_id().to_numpy(), prepend=-1)), len(points))
    front = np.zeros(len(points), dtype=np.bool_)
    for begin, end in itertools.pairwise(ends):
        left = np.arange(begin, end)
        while left.size:  # in this order none can beat one before it, so the first is on the front
            front[left[0]] = True
            left = left[(points[left] < points[left[0]]).any(axis=1)]
    return pl.Series(front)
