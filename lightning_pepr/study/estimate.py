"""What the runs of a study may cost, before they are done."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lightning_pepr.record import RunRecord
from lightning_pepr.study.runs import DataSize, Run
from lightning_pepr.study.words import count, duration

START_S = 15.0
"""Seconds that a run takes before and after it trains, unless finished runs say otherwise: mostly imports."""

MMACS_PER_S = {"cpu": 15_000.0, "gpu": 1_500_000.0}
"""Multiply-accumulates a second, in millions, of a core and of a GPU, unless finished runs say otherwise. Architectures
differ by a factor of several in what they make of the same hardware."""


@dataclass(frozen=True, slots=True)
class StudyEstimate:
    """What runs may cost."""

    time_s: list[float]  # wall time of each run
    factor: float  # within which, either way, the truth is expected
    energy_kwh: list[float] | None = None  # of each run; None where no run of this study has measured any
    runs: int = 0  # finished ones, which it was learnt from; with 0 it is no more than a guess

    def __str__(self) -> str:
        """What the runs may cost together, in words."""
        total = sum(self.time_s)
        if not total:
            return "nothing is left to do"
        words = f"about {duration(total)}"
        if self.energy_kwh is not None:
            words += f" and {sum(self.energy_kwh) * 1e3:.2g} Wh"
        # Errors of many runs do not cancel where the hardware is other than thought, so the factor stays.
        low, high = duration(total / self.factor), duration(total * self.factor)
        basis = f"learnt from {count(self.runs, 'finished run')}" if self.runs else "a guess before the first run"
        return f"{words} ({low} to {high}; {basis})"


def estimate_study(
    runs: Sequence[Run], size: DataSize, finished: Iterable[tuple[Run, RunRecord]] = ()
) -> StudyEstimate:
    """Estimate time and energy of runs: from those of the study that are finished, else from the work they are."""
    rates, powers = [], []
    for run, record in finished:
        seconds, work = record.cost.time_s, run.work(size)
        if not seconds or not work:
            continue
        test = record.stages.get("test")
        seconds += test.time_ns / 1e9 if test else 0.0
        rates.append(work / seconds)
        if record.cost.energy_kwh:
            powers.append(record.cost.energy_kwh / seconds)
    if rates:
        rate = statistics.median(rates)
        factors = sorted(max(each / rate, rate / each) for each in rates)
        factor = max(1.5, factors[min(len(factors) - 1, round(0.8 * len(factors)))])  # four of five are within it
    else:
        rate, factor = MMACS_PER_S["gpu" if runs and runs[0].settings.gpus() else "cpu"], 4.0
    known = [run.work(size) for run in runs]
    middle = statistics.median([work for work in known if work is not None] or [0.0])
    times = [START_S + (middle if work is None else work) / rate for work in known]
    energies = [time * statistics.median(powers) for time in times] if powers else None
    return StudyEstimate(times, factor, energies, len(rates))
