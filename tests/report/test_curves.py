"""The epochs of runs on a page."""

from __future__ import annotations

import pytest

from lightning_pepr.report import curves
from lightning_pepr.report.curves import choose_scored
from lightning_pepr.report.data import collect
from tests.helpers.records import make_run


def test_curves_of_long_runs_keep_first_best_and_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "MOST_EVALUATIONS", 40)
    runs = [make_run("a", 1e6, epochs=100), make_run("b", 4e6, epochs=3)]
    runs[0].epochs[57].performance = 0.999
    long, short = collect(runs)["curves"]
    assert len(long["p"]) <= 21
    assert {0, 57, 99} <= set(long["epoch"])
    assert long["epoch"] == sorted(long["epoch"])
    assert long["of"] == 100
    assert short["epoch"] == [0, 1, 2]
    assert "of" not in short


def test_the_best_runs_are_scored_as_long_as_there_is_room() -> None:
    evaluations = [make_run(epochs=5).evaluations, make_run(epochs=3).evaluations, [], make_run(epochs=4).evaluations]
    assert choose_scored(evaluations, [3, 2, 0, 1], 20) == [3, 2, 0, 1]
    assert choose_scored(evaluations, [3, 2, 0, 1], 9) == [3, 2, 0]
    assert choose_scored(evaluations, [3, 2, 0, 1], 3) == []
