"""The epochs of runs, as a page draws them: performance and what was spent by then."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from lightning_pepr.cost import PARAMS, RESOURCES
from lightning_pepr.record import Epoch, RunRecord

MOST_EVALUATIONS = 50_000  # of all runs together; of long runs some are left out


def thin_evaluations(records: Sequence[RunRecord | None]) -> list[list[Epoch]]:
    """The evaluations of each run that a page holds: of long runs some, evenly, and the first, best and last."""
    evaluations = [[] if record is None else record.evaluations for record in records]
    counts = [len(each) for each in evaluations if each]
    most = max(counts, default=0) if sum(counts) <= MOST_EVALUATIONS else max(4, MOST_EVALUATIONS // len(counts))
    return [_thin(each, most) for each in evaluations]


def draw_curves(records: Sequence[RunRecord | None], kept: Sequence[list[Epoch]]) -> list[dict[str, Any] | None]:
    """The curve of each run: P and each cost that changes, to five digits, which is more than a picture shows."""
    pairs = zip(records, kept, strict=True)
    return [None if record is None or not epochs else _curve(record, epochs) for record, epochs in pairs]


def choose_scored(kept: Sequence[list[Epoch]], best_first: Sequence[int], most: int) -> list[int]:
    """The runs whose evaluations are scored: the best, as long as they have no more than `most` together."""
    counts = np.cumsum([len(kept[run]) for run in best_first])
    return list(best_first[: int(np.count_nonzero(counts <= most))])


def points_of(kept: Sequence[list[Epoch]], runs: Sequence[int]) -> pl.DataFrame:
    """The evaluations of some runs, one after the other: `run`, `p` and each cost by its letter."""
    points = [
        (run, epoch.performance, *(epoch.cost.amount(r) for r in RESOURCES)) for run in runs for epoch in kept[run]
    ]
    numbers = dict.fromkeys(["p", *(r.letter for r in RESOURCES)], pl.Float64)
    return pl.DataFrame(points, schema={"run": pl.Int64, **numbers}, orient="row")


def _curve(record: RunRecord, epochs: list[Epoch]) -> dict[str, Any]:
    costs = {r.letter: [_short(e.cost.amount(r)) for e in epochs] for r in RESOURCES if r is not PARAMS}
    curve = {letter: amounts for letter, amounts in costs.items() if any(a is not None for a in amounts)}
    known = {"epoch": [e.epoch for e in epochs], "p": [_short(e.performance) for e in epochs], **curve}
    return known | ({"of": len(record.evaluations)} if len(epochs) < len(record.evaluations) else {})


def _thin(epochs: list[Epoch], most: int) -> list[Epoch]:
    if len(epochs) <= most:
        return epochs
    last = len(epochs) - 1
    best = max(range(len(epochs)), key=lambda index: epochs[index].performance or 0.0)
    places = {best} | {round(index * last / (most - 2)) for index in range(most - 1)}
    return [epochs[index] for index in sorted(places)]


def _short(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")
