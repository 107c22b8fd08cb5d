"""How well can the cost of a whole run be forecast early? `python -m benchmarks.forecast`.

Costs of runs of 50 epochs are drawn at random, from families that behave as runs do, and forecast after a few epochs:
by this package, and as carbontracker does it, which takes every epoch for the mean of those that are done. There is no
clock in it: the same seed gives the same table, but for the last one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.peers import installed
from benchmarks.table import table
from lightning_pepr.forecast import forecast

EPOCHS = 50
LOOKS = (3, 5, 10)


@dataclass
class Trace:
    """The cost of each epoch of a run, and how often it validates if that is given."""

    costs: np.ndarray
    period: int | None = None


Family = Callable[[np.random.Generator, int], Trace]
"""Draws a run that will be looked at after so many epochs."""


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def noisy(rng: np.random.Generator, costs: Any, most: float = 0.05) -> Trace:
    """White noise of half a percent or more of the cost; an epoch costs something."""
    costs = costs * (1.0 + log_uniform(rng, 0.005, most) * rng.standard_normal(EPOCHS))
    return Trace(np.maximum(costs, 0.01))


def noise(rng: np.random.Generator, look: int) -> Trace:
    """Of 0.5 to 20 %."""
    return noisy(rng, np.ones(EPOCHS), most=0.2)


def slow_drift(rng: np.random.Generator, look: int) -> Trace:
    """Up to 1 % an epoch, up or down, of the first epoch or of the last one."""
    slope, epoch = rng.uniform(-0.01, 0.01), np.arange(EPOCHS)
    return noisy(rng, 1.0 + slope * epoch if rng.random() < 0.5 else (1.0 + slope) ** epoch)


def autocorrelation(rng: np.random.Generator, look: int) -> Trace:
    """AR(1) with 0.3 to 0.9, and 0.5 to 10 % in all."""
    correlation, deviation = rng.uniform(0.3, 0.9), log_uniform(rng, 0.005, 0.1)
    steps = deviation * rng.standard_normal(EPOCHS)
    for epoch in range(1, EPOCHS):
        steps[epoch] = correlation * steps[epoch - 1] + np.sqrt(1 - correlation**2) * steps[epoch]
    return Trace(np.maximum(1.0 + steps, 0.01))


def warm_up(rng: np.random.Generator, look: int) -> Trace:
    """The first 1 to 3 epochs cost more, the very first up to three times, less and less."""
    length = int(rng.integers(1, 4))
    costs = np.ones(EPOCHS)
    costs[:length] += rng.uniform(0.1, 2.0) * np.arange(length, 0, -1) / length
    return noisy(rng, costs)


def validation(rng: np.random.Generator, look: int) -> Trace:
    """Every 2 to 5 epochs, which adds 5 to 50 %."""
    period = int(rng.integers(2, 6))
    costs = np.ones(EPOCHS)
    costs[period - 1 :: period] += rng.uniform(0.05, 0.5)
    return Trace(noisy(rng, costs).costs, period)


def validation_unknown(rng: np.random.Generator, look: int) -> Trace:
    """The same, and the forecast does not know it."""
    return Trace(validation(rng, look).costs)


def step_change(rng: np.random.Generator, look: int) -> Trace:
    """To between half and twice the cost, after at least one epoch, and at least three before the look."""
    costs = np.ones(EPOCHS)
    costs[int(rng.integers(1, look - 2)) :] *= log_uniform(rng, 0.5, 2.0)
    return noisy(rng, costs)


FAMILIES: dict[str, Family] = {
    "noise": noise,
    "slow drift": slow_drift,
    "autocorrelation": autocorrelation,
    "warm-up epochs": warm_up,
    "validation every n epochs": validation,
    "validation, n not given": validation_unknown,
    "step change": step_change,
}

CASES = [(name, look) for name in FAMILIES for look in LOOKS if name != "step change" or look > 3]
"""No step can be three epochs ago after three epochs."""


# What the interval does not allow for, or not enough ----------------------------------------------------------------


def steep_drift(rng: np.random.Generator, look: int) -> Trace:
    return noisy(rng, 1.0 + 0.01 * rng.choice([-1, 1]) * np.arange(EPOCHS))


def waves(rng: np.random.Generator, look: int) -> Trace:
    angle = 2 * np.pi * (np.arange(EPOCHS) / rng.uniform(25, 100) + rng.random())
    return noisy(rng, 1.0 + rng.uniform(0.0, 0.15) * np.sin(angle))


def exceptions(rng: np.random.Generator, look: int) -> Trace:
    costs = np.ones(EPOCHS)
    costs[rng.random(EPOCHS) < 0.05] *= rng.uniform(1.5, 3.0)
    return noisy(rng, costs)


def sudden_validation(rng: np.random.Generator, look: int) -> Trace:
    costs = np.ones(EPOCHS)
    costs[4::5] += 0.5
    return Trace(costs * (1.0 + 0.001 * rng.standard_normal(EPOCHS)))


def step_to_come(rng: np.random.Generator, look: int) -> Trace:
    costs = np.ones(EPOCHS)
    costs[int(rng.integers(look, EPOCHS)) :] *= log_uniform(rng, 0.5, 2.0)
    return noisy(rng, costs)


OUTSIDE: dict[str, Family] = {
    "drift of 1 % in every epoch": steep_drift,
    "waves of up to 15 %, 25 to 100 epochs long": waves,
    "one epoch in twenty 1.5 to 3 times as expensive": exceptions,
    "validation adds half in every fifth, noise of 0.1 %, not given": sudden_validation,
    "a step that is yet to come": step_to_come,
}


@dataclass
class Judged:
    """How forecasts of many traces turned out, one entry for each, relative to the whole run's cost."""

    covered: np.ndarray
    width: np.ndarray
    error: np.ndarray
    mean_error: np.ndarray

    @property
    def coverage(self) -> float:
        return float(self.covered.mean())


def judge(family: Family, look: int, traces: int, seed: int, level: float = 0.9) -> Judged:
    """Forecast the runs of a family after so many epochs."""
    rows = []
    for index in range(traces):
        trace = family(np.random.default_rng([seed, look, index]), look)
        spent = np.cumsum(trace.costs)
        found = forecast(spent[:look].tolist(), EPOCHS, level, trace.period)
        assert found is not None
        truth, mean = float(spent[-1]), float(spent[look - 1]) / look * EPOCHS
        within = found.low <= truth <= found.high
        widths = (found.high - found.low, abs(found.expected - truth), abs(mean - truth))
        rows.append([within, *(width / truth for width in widths)])
    return Judged(*np.array(rows, dtype=float).T)


def seconds(done: int, epochs: int, period: int | None, repetitions: int) -> float:
    """The median time of a forecast."""
    spent = np.cumsum(1.0 + 0.03 * np.random.default_rng(done).standard_normal(done)).tolist()
    times = []
    for _ in range(repetitions):
        begun = time.perf_counter()
        forecast(spent, epochs, period=period)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=int, default=500, help="runs of each family (default: 500)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn at random (default: 0)")
    parser.add_argument("--quick", action="store_true", help="a few traces, to see whether it works")
    chosen = parser.parse_args()
    traces = 20 if chosen.quick else chosen.traces
    versions = ", ".join(f"{name} {installed(name)}" for name in ("lightning-pepr", "numpy"))
    print(f"{versions}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")

    print("### Forecasts at 90 %\n")
    rows = []
    for name, look in CASES:
        it = judge(FAMILIES[name], look, traces, chosen.seed)
        errors = [f"{100 * np.median(error):.1f}%" for error in (it.error, it.mean_error)]
        large = [f"{100 * np.quantile(error, 0.9):.0f}%" for error in (it.error, it.mean_error)]
        shares = [f"{100 * it.coverage:.1f}%", f"{100 * np.median(it.width):.0f}%"]
        rows.append([f"{name}, after {look}", *shares, errors[0], errors[1], large[0], large[1]])
    head = [f"{traces} runs of {EPOCHS} epochs each", "truth in the interval", "its width (median)"]
    head += ["error (median)", "of the mean of epochs", "error (one in ten is larger)", "of the mean of epochs"]
    print(table(head, rows))

    print("\n### Outside of what it allows for\n")
    rows = []
    for name, family in OUTSIDE.items():
        shares = [f"{100 * judge(family, look, traces, chosen.seed).coverage:.0f}%" for look in LOOKS]
        rows.append([name, *shares])
    print(table(["truth in the interval at 90 %", *(f"after {look}" for look in LOOKS)], rows))

    print("\n### Other levels\n")
    rows = []
    for level in (0.5, 0.8, 0.9, 0.95, 0.99):
        judged = [judge(FAMILIES[name], look, max(20, traces // 5), chosen.seed, level) for name, look in CASES]
        least = min(range(len(CASES)), key=lambda index: judged[index].coverage)
        of_all = np.mean([it.coverage for it in judged])
        where = "{}, after {}".format(*CASES[least])
        rows.append([f"{100 * level:.0f}%", f"{100 * of_all:.1f}%", f"{100 * judged[least].coverage:.1f}% ({where})"])
    print(table(["level", "truth in the interval, of all", "the least, of a family and look"], rows))

    print("\n### What a forecast takes\n")
    rows = []
    for done, epochs in ((3, 50), (10, 50), (50, 100), (99, 100), (1000, 10_000), (9999, 10_000)):
        times = [seconds(done, epochs, period, 3 if chosen.quick else 101) for period in (1, 5, None)]
        rows.append([f"{done:,} of {epochs:,}", *(f"{1e3 * time:.1f} ms" for time in times)])
    print(table(["epochs", "validation in each (median time)", "in every fifth", "not given"], rows))


if __name__ == "__main__":
    main()
