"""A metric that is looked at is afterwards as it was before, and so is everything around it."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics import MinMaxMetric

from lightning_pepr.callbacks._traceless import without_trace
from tests.helpers.metrics import Kept, Restless


def state_of(metric: Any) -> list[Any]:
    parts = [metric, metric.part, *metric.hidden["parts"]]
    return [
        float(metric.total),
        metric.computed_so_often,
        *([float(value) for value in part.values] for part in parts),
        *(part._computed for part in parts),
        *(part._update_count for part in parts),
        *(part._is_synced for part in parts),
    ]


def randomness() -> list[Any]:
    return [torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()]  # type: ignore[index]


@pytest.mark.filterwarnings("error")
def test_a_metric_that_changes_all_it_can_is_as_before() -> None:
    metric = Restless()
    metric.update(0.25)
    metric.update(0.75)
    total, before, random_before = metric.total, state_of(metric), randomness()
    with without_trace(metric):
        looked = metric.compute()
        assert metric.computed_so_often == 1
        assert randomness() != random_before
    assert state_of(metric) == before
    assert metric.total is total
    assert randomness() == random_before
    with pytest.warns(UserWarning, match="restless"):
        assert metric.compute() == looked


def test_a_metric_that_raises_is_as_before() -> None:
    metric = Restless()
    before, random_before = state_of(metric), randomness()
    with without_trace(metric), pytest.raises(ValueError, match="No samples"):
        metric.compute()
    assert state_of(metric) == before
    assert randomness() == random_before


def test_buffers_and_the_parts_of_a_wrapper_are_as_before() -> None:
    metric = MinMaxMetric(Kept())
    metric.update(0.5)
    with without_trace(metric):
        assert metric.compute()["min"] == 0.5
    assert metric.min_val == torch.inf
    assert metric._base_metric._computed is None


def test_predictions_are_not_copied() -> None:
    metric = Kept()
    metric.update(0.5)
    with without_trace(metric):
        assert metric.values[0] is metric.values[-1]
        inside = metric.values[0]
    assert metric.values[0] is inside


def test_python_shows_no_warning_a_second_time() -> None:
    """Which it does after `warnings.catch_warnings`."""

    def warn() -> None:
        warnings.warn("once in a place", stacklevel=1)

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        for _ in range(3):
            warn()
            with without_trace(Kept()):
                warn()
    assert len(shown) == 1


def test_a_warning_that_was_not_shown_is_shown_later() -> None:
    def warn() -> None:
        warnings.warn("not yet", stacklevel=1)

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        with without_trace(Kept()):
            warn()
        assert not shown
        warn()
    assert len(shown) == 1
