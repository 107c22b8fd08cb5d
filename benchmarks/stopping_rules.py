"""Rules by which a run stops, each as a function of what a run says of its epochs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from lightning_pepr import ModelSpace, pepr
from lightning_pepr.functional import above_baseline

Array = np.ndarray[Any, np.dtype[np.float64]]


class Trace(NamedTuple):
    """One run: performance at each epoch, all energy spent by then, and the space in which it is scored."""

    name: str
    performance: Array
    energy: Array
    low: float
    high: float
    baseline: float


Rule = Callable[[Trace], int]
"""Gives the epoch, from 0, after which a run stops."""


def stop_early(values: Iterable[float], patience: int, min_delta: float = 0.0) -> int:
    """Where Lightning's EarlyStopping(mode="max") ends: after `patience` epochs without a gain above `min_delta`."""
    best, waited, epoch = -math.inf, 0, -1
    for epoch, value in enumerate(values):
        if value - min_delta > best:
            best, waited = value, 0
        else:
            waited += 1
            if waited >= patience:
                return epoch
    return epoch


def by_share(share: float) -> Rule:
    """The same share of the planned epochs for all."""
    return lambda run: max(1, round(share * len(run.energy))) - 1


def by_monitor(patience: int, min_delta: float = 0.0) -> Rule:
    return lambda run: stop_early(run.performance, patience, min_delta)


def scores(run: Trace, width: float = 1.0, budget: bool = False, baseline: bool = False) -> Array:
    """PePR-E at each epoch; `width` makes the space so many times as wide, `budget` lets it begin at 0."""
    low = 0.0 if budget else run.low
    space = ModelSpace({"energy_kwh": (low, low + width * (run.high - low))})
    p = above_baseline(run.performance, run.baseline) if baseline else run.performance
    return pepr(p, space.normalize(run.energy, "energy"))


def by_score(patience: int, width: float = 1.0, min_delta: float = 0.0, least: int = 1, **kind: bool) -> Rule:
    """By PePR-E; `least` epochs are trained in any case, as by Trainer(min_epochs=…)."""
    return lambda run: max(stop_early(scores(run, width, **kind), patience, min_delta), least - 1)


def by_smooth_score(patience: int, width: float) -> Rule:
    """By the score's mean over three epochs."""

    def rule(run: Trace) -> int:
        values = scores(run, width, budget=True)
        return stop_early([values[max(0, end - 3) : end].mean() for end in range(1, len(values) + 1)], patience)

    return rule


def by_gain(times: int, width: float) -> Rule:
    """When ΔP/P < ΔR/(1 + R) so many times in a row: the score is below that of the epoch before."""

    def rule(run: Trace) -> int:
        falls = np.diff(scores(run, width, budget=True)) < 0
        ends = (end for end in range(times, len(falls) + 1) if falls[end - times : end].all())
        return next(ends, len(falls))

    return rule


def by_budget(share: float, patience: int | None = None) -> Rule:
    """By a CostBudget of a share of the most expensive run's cost; with a patience, or by EarlyStopping(monitor)."""

    def rule(run: Trace) -> int:
        met = np.flatnonzero(run.energy >= share * run.high)
        end = int(met[0]) if met.size else len(run.energy) - 1
        return end if patience is None else min(end, stop_early(run.performance, patience))

    return rule


def by_cost_since_best(share: float, least: int) -> Rule:
    """When a share of what the most expensive run costs has been spent since the best P, `least` epochs ago or more."""

    def rule(run: Trace) -> int:
        for epoch, energy in enumerate(run.energy):
            best = int(run.performance[: epoch + 1].argmax())
            if epoch - best >= least and energy - run.energy[best] >= share * run.high:
                return epoch
        return len(run.energy) - 1

    return rule


FEWER, PLAIN = "fewer epochs for all", "EarlyStopping(monitor)"
SPACE, BUDGET = 'EarlyStopping("pepr_e"), space of the runs', 'EarlyStopping("pepr_e"), budget'

DEFAULT = 10.0
"""The budget that the documentation names: so many times what the most expensive run costs."""

PATIENCE = (1, 2, 3, 4, 5, 6, 7)
DELTA = (0.0, 0.002, 0.005, 0.01, 0.02)
WIDTH = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
SHARE = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8)

FAMILIES: dict[str, list[Rule]] = {
    FEWER: [by_share(share) for share in np.arange(0.1, 1.0, 0.05)],
    PLAIN: [by_monitor(*at) for at in itertools.product(PATIENCE, DELTA)],
    SPACE: [by_score(*at) for at in itertools.product(PATIENCE, WIDTH)],
    BUDGET: [by_score(*at, budget=True) for at in itertools.product(PATIENCE, WIDTH)],
    "… with min_delta": [by_score(*at, budget=True) for at in itertools.product(PATIENCE, WIDTH, DELTA)],
    "… with min_epochs=5": [by_score(*at, budget=True, least=5) for at in itertools.product(PATIENCE, WIDTH)],
    "… with baseline": [by_score(*at, budget=True, baseline=True) for at in itertools.product(PATIENCE, WIDTH)],
    "… smoothed over 3 epochs": [by_smooth_score(*at) for at in itertools.product(PATIENCE, WIDTH)],
    "… below that of the epoch before": [by_gain(*at) for at in itertools.product(PATIENCE, WIDTH)],
    "CostBudget": [by_budget(share) for share in SHARE],
    "CostBudget and EarlyStopping(monitor)": [by_budget(*at) for at in itertools.product(SHARE, PATIENCE)],
    "energy spent since the best P": [by_cost_since_best(*at) for at in itertools.product(SHARE, (1, 2, 3))],
}
"""Ways to stop, each with all settings that were tried."""

CHOSEN: dict[str, Rule] = {
    "EarlyStopping(monitor, patience=3)": by_monitor(3),
    "EarlyStopping(monitor, patience=2)": by_monitor(2),
    "EarlyStopping(monitor, patience=2, min_delta=0.01)": by_monitor(2, 0.01),
    "EarlyStopping(monitor, patience=3, min_delta=0.005)": by_monitor(3, 0.005),
    'EarlyStopping("pepr_e", patience=3), space of the runs': by_score(3),
    **{
        f'EarlyStopping("pepr_e", patience=3), budget {width:g} ×': by_score(3, width, budget=True)
        for width in (0.1, 1, 3, 10, 30, 100)
    },
    "… 1 ×, min_epochs=5": by_score(3, 1, budget=True, least=5),
    "… 1 ×, patience=2, baseline": by_score(2, 1, budget=True, baseline=True),
    "… 10 ×, patience=2": by_score(2, 10, budget=True),
    "… 10 ×, patience=5": by_score(5, 10, budget=True),
    "CostBudget, 1/4 of the most expensive run": by_budget(0.25),
    "the same, and EarlyStopping(monitor, patience=3)": by_budget(0.25, 3),
}
"""Settings that are shown with their intervals. A budget is so many times what the most expensive run takes."""
