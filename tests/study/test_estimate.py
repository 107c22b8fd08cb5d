"""What runs may cost: a guess at first, then learnt from those that are finished."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.record import CostEntry, RunRecord
from lightning_pepr.study.estimate import START_S, estimate_study
from lightning_pepr.study.runs import DataSize, Model, Run
from lightning_pepr.study.settings import Settings

SETTINGS = Settings("lidc", epochs=2)
SIZE = DataSize(classes=2, train=1000, val=100, test=100)
SMALL = Model("small", "small", 32, 1_000, mmacs=10.0)
LARGE = Model("large", "large", 32, 9_000, mmacs=90.0)


def done(run: Run, seconds: float, kwh: float | None = None) -> RunRecord:
    costs = {"time_s": CostEntry(seconds, quality="counter")}
    if kwh is not None:
        costs["energy_kwh"] = CostEntry(kwh, quality="estimated")
    return RunRecord(run.model.name, status="finished", test_performance=0.8, costs=costs)


def test_an_estimate_before_the_first_run_is_called_a_guess() -> None:
    guess = estimate_study([Run(SETTINGS, SMALL), Run(SETTINGS, LARGE)], SIZE)
    assert guess.runs == 0
    assert guess.factor >= 3
    assert guess.energy_kwh is None
    assert START_S < guess.time_s[0] < guess.time_s[1]


@given(st.floats(0.01, 100.0), st.floats(1e-6, 1e-3))
def test_an_estimate_is_learnt_from_runs_that_are_finished(pace: float, power: float) -> None:
    runs = [Run(SETTINGS, SMALL, seed) for seed in range(4)]
    seconds = [pace * (run.work(SIZE) or 0.0) / 1e4 for run in runs]
    finished = [(run, done(run, s, s * power)) for run, s in zip(runs, seconds, strict=True)]
    todo = Run(SETTINGS, LARGE)
    guess = estimate_study([todo], SIZE, finished)
    expected = pace * (todo.work(SIZE) or 0.0) / 1e4 + START_S
    assert guess.time_s == pytest.approx([expected])
    assert guess.energy_kwh == pytest.approx([expected * power])
    assert (guess.runs, guess.factor) == (4, 1.5)


def test_a_model_whose_work_is_unknown_is_estimated_like_the_others() -> None:
    unknown = Run(SETTINGS, replace(SMALL, mmacs=None))
    guess = estimate_study([Run(SETTINGS, SMALL), unknown], SIZE)
    assert guess.time_s[0] == guess.time_s[1]
