"""The Pareto fronts of many groups of runs at once, over P and any number of costs."""

from __future__ import annotations

import itertools

import numpy as np

from lightning_pepr.runs.load import Runs

import polars as pl  # isort: skip, after sources, which says how to install it


def add_pareto(runs: Runs, costs: list[str], within: list[str]) -> Runs:
    """Mark the Pareto front of each group.

    Args:
        runs: What `load_runs` returned.
        costs: The columns of the costs that count, beside `performance`.
        within: The columns whose values are apart.

    Returns:
        The runs, with the column `pareto`: whether no other run is as good for as much or less of each cost, and
        better in one of them. Runs that are equal in all share the front; one with something unknown is not on it.

    >>> runs = pl.DataFrame({"performance": [0.5, 0.9, 0.9], "time_s": [1.0, 2.0, 3.0], "memory_gb": [3.0, 2.0, 1.0]})
    >>> add_pareto(runs, ["time_s"], [])["pareto"].to_list()
    [True, True, False]
    >>> add_pareto(runs, ["time_s", "memory_gb"], [])["pareto"].to_list()
    [True, True, True]
    """
    known = runs.with_row_index("_at").drop_nulls(["performance", *costs])
    ordered = known.sort(*within, *costs, "performance", descending=[False] * (len(within) + len(costs)) + [True])
    p = pl.col("performance")
    if len(costs) == 1:
        best = p.cum_max().shift(1)
        beats = (p > (best.over(within) if within else best)).fill_null(True)
    else:
        beats = pl.Series(_beats(ordered, costs, within), dtype=pl.Boolean)  # type: ignore[assignment]
    ordered = ordered.with_columns(beats=beats)
    # Runs that are equal in all share the fate of the first of them.
    front = ordered.select("_at", pareto=pl.col("beats").first().over(*within, *costs, "performance"))
    return (
        runs.with_row_index("_at")
        .join(front, on="_at", how="left", maintain_order="left")
        .with_columns(pl.col("pareto").fill_null(False))
        .drop("_at")
    )


def _beats(ordered: Runs, costs: list[str], within: list[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Of runs in the order of their costs, those that no run of their group beats or, before them, equals."""
    points = ordered.select(*costs, -pl.col("performance")).to_numpy()
    lengths = ordered.select(pl.struct(within).rle_id()).to_series() if within else pl.zeros(len(ordered), eager=True)
    ends = np.append(np.flatnonzero(np.diff(lengths.to_numpy(), prepend=-1)), len(points))
    front = np.zeros(len(points), dtype=np.bool_)
    for begin, end in itertools.pairwise(ends):
        left = np.arange(begin, end)
        while left.size:  # in this order none can beat one before it, so the first is on the front
            front[left[0]] = True
            left = left[(points[left] < points[left[0]]).any(axis=1)]
    return front
