"""The curve of one run: its scores, its best one, and the area under it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr import Cost, ModelSpace, pepr_curve

SPACE = ModelSpace.budget(energy_kwh=2.0, time_s=100.0)


def test_the_area_is_that_of_the_steps() -> None:
    # From R = 0.25 on 0.8 / 1.25 = 0.64; 0.9 / 1.5 = 0.6 is no better; 0.99 / 1.5 = 0.66 from 0.5 on.
    curve = pepr_curve([0.8, 0.9, 0.99], [0.5, 1.0, 1.0], SPACE)
    assert curve.area == pytest.approx(0.25 * 0.64 + 0.5 * 0.66)
    assert curve.best == pytest.approx(0.66)
    assert curve.best_index == 2
    np.testing.assert_allclose(curve.resource, [0.25, 0.5, 0.5])


@given(
    st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)), min_size=1, max_size=8),
    st.floats(0.0, 5.0),
)
def test_the_area_is_that_of_the_best_so_far(steps: list[tuple[float, float]], more: float) -> None:
    cost = np.cumsum([c for _, c in steps])
    p = [p for p, _ in steps]
    curve = pepr_curve(p, cost, SPACE)
    grid = (np.arange(500) + 0.5) / 500
    best = np.array([max(curve.score[curve.resource <= x], default=0.0) for x in grid])
    assert curve.area == pytest.approx(best.mean(), abs=2e-3 * (len(steps) + 1))
    assert 0.0 <= curve.area <= curve.best <= 1.0
    # Spending more without a better score gains nothing.
    longer = pepr_curve([*p, 0.0], [*cost, cost[-1] + more], SPACE)
    assert longer.area == pytest.approx(curve.area)


@pytest.mark.parametrize(("spent", "area"), [(2.0, 0.0), (3.0, 0.0), (0.0, 0.9)])
def test_the_area_ends_at_1_and_begins_at_the_first_evaluation(spent: float, area: float) -> None:
    curve = pepr_curve([0.9], [spent], SPACE)
    assert curve.area == area
    assert curve.best == pytest.approx(0.9 / (1 + spent / 2))
    assert curve.best_index == 0


def test_of_equal_scores_the_first_is_the_maximum() -> None:
    assert pepr_curve([0.5, 0.75, 0.75], [0.0, 1.0, 1.0], SPACE).best_index == 0


def test_takes_costs_and_another_resource() -> None:
    spent = [Cost(time_s=50.0), Cost(time_s=100.0)]
    curve = pepr_curve([0.5, 1.0], spent, SPACE, resource="T")
    np.testing.assert_allclose(curve.score, [0.5 / 1.5, 0.5])
    tensors = pepr_curve(torch.tensor([0.5, 1.0]), torch.tensor([50.0, 100.0]), SPACE, "time")
    np.testing.assert_array_equal(tensors.score, curve.score)


def test_less_than_nothing_counts_as_nothing() -> None:
    """A correlation begins there."""
    assert pepr_curve([-0.5, 0.5], [0.0, 1.0], SPACE).score.tolist() == [0.0, 0.5 / 1.5]
    for value in (-math.inf, math.nan):
        with pytest.raises(ValueError, match=r"performance is (nan|-inf) at index 0"):
            pepr_curve([value], [1.0], SPACE)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"cost falls from 1\.0 to 0\.5 at evaluation 1; .*cumsum"):
        pepr_curve([0.5, 0.6], [1.0, 0.5], SPACE)
    with pytest.raises(ValueError, match=r"performance has shape \(1,\) and cost \(2,\)"):
        pepr_curve([0.5], [1.0, 2.0], SPACE)
    with pytest.raises(ValueError, match=r"shape \(0,\)"):
        pepr_curve([], [], SPACE)
    with pytest.raises(ValueError, match=r"the cost has no energy_kwh \(not measured\); it has time_s"):
        pepr_curve([0.5], [Cost(time_s=1.0)], SPACE)
    with pytest.raises(ValueError, match=r"this space has no memory \(memory_gb\)"):
        pepr_curve([0.5], [1.0], SPACE, "memory")
    with pytest.raises(ValueError, match=r"cost is nan at index 1"):
        pepr_curve([0.5, 0.5], [1.0, math.nan], SPACE)
    with pytest.raises(ValueError, match=r"performance is 50\.0 at index 0"):
        pepr_curve([50.0], [1.0], SPACE)
