"""Scores as arithmetic: which resources have one, and what is refused. No Trainer is needed."""

from __future__ import annotations

import math
import warnings

import pytest

from lightning_pepr import Cost, ModelSpace, normalize, pepr
from lightning_pepr.callbacks._scorer import Scorer
from lightning_pepr.cost import ENERGY, TIME

SPACE = ModelSpace({"energy_kwh": (0.1, 0.5), "time_s": (0, 60), "memory_gb": (1, 2)})
COST = Cost(energy_kwh=0.3, carbon_g=40.0, time_s=90.0, params=100)


def test_what_is_measured_and_in_the_space_is_scored_by_the_papers_equation() -> None:
    assert Scorer(SPACE).scores(0.8, COST) == {
        "pepr_e": pepr(0.8, normalize(0.3, 0.1, 0.5)),
        "pepr_t": pepr(0.8, normalize(90.0, 0, 60)),
    }


def test_without_a_space_there_is_no_score() -> None:
    assert Scorer(None).scores(0.8, COST) == {}
    assert Scorer(None).scored == []


def test_only_the_resources_that_are_logged_are_scored() -> None:
    scorer = Scorer(SPACE, resources=(TIME,))
    assert scorer.scored == [TIME]
    assert list(scorer.scores(0.8, COST)) == ["pepr_t"]


def test_a_baseline_is_scored_above() -> None:
    scorer = Scorer(ModelSpace.budget(energy_kwh=0.3), baseline=0.6, resources=(ENERGY,))
    assert scorer.scores(0.8, COST) == {"pepr_e": pytest.approx(0.25)}
    assert scorer.scores(0.5, COST) == {"pepr_e": 0.0}


def test_nan_scores_nan() -> None:
    assert {key: math.isnan(value) for key, value in Scorer(SPACE, baseline=0.5).scores(math.nan, COST).items()} == {
        "pepr_e": True,
        "pepr_t": True,
    }


@pytest.mark.parametrize("performance", [1.5, -0.1, math.inf])
def test_what_is_no_performance_is_refused(performance: float) -> None:
    with pytest.raises(ValueError, match="performance is"):
        Scorer(SPACE).scores(performance, COST)


def test_rounding_just_outside_is_clipped() -> None:
    assert Scorer(ModelSpace({"energy": (1, 2)})).scores(1.0 + 5e-7, COST) == {"pepr_e": 1.0}


def test_a_space_of_one_cost_scores_without_a_warning_each_time() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Scorer(ModelSpace({"energy": (1.0, 1.0)})).scores(0.5, COST) == {"pepr_e": 0.5}
