"""What `lightning_pepr.metric` relies on in torchmetrics: why its states are named after the resource."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torchmetrics import Metric, MetricCollection


class Taken(Metric):
    """Takes its own of two values that it is given, and keeps it in a state of a given name."""

    full_state_update = False
    cost: torch.Tensor

    def __init__(self, which: int, state: str) -> None:
        super().__init__()
        self.which, self.state = which, state
        self.add_state(state, torch.tensor(float("-inf")), dist_reduce_fx="max")

    def update(self, values: tuple[float, float]) -> None:
        setattr(self, self.state, torch.tensor(values[self.which]))

    def compute(self) -> Any:
        return getattr(self, self.state)


def computed(first: str, second: str, **options: Any) -> tuple[float, float]:
    """What two metrics of a collection say when they first got equal values and then differing ones."""
    collection = MetricCollection({"a": Taken(0, first), "b": Taken(1, second)}, **options)
    collection.update((0.0, 0.0))
    collection.update((1.0, 2.0))
    values = collection.compute()
    return float(values["a"]), float(values["b"])


def test_metrics_with_equal_first_states_are_merged() -> None:
    """Of one class, in a collection: one gets the value of the other."""
    assert computed("cost", "cost") == (1.0, 1.0)


def test_metrics_whose_states_have_differing_names_are_not_merged() -> None:
    assert computed("cost_energy_kwh", "cost_time_s") == (1.0, 2.0)


def test_metrics_are_not_merged_without_compute_groups() -> None:
    assert computed("cost", "cost", compute_groups=False) == (1.0, 2.0)


def test_states_that_are_nan_are_not_equal_so_metrics_that_saw_nothing_are_not_merged() -> None:
    nan = float("nan")
    collection = MetricCollection({"a": Taken(0, "cost"), "b": Taken(1, "cost")})
    collection.update((nan, nan))
    collection.update((1.0, 2.0))
    assert {key: float(value) for key, value in collection.compute().items()} == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize("method", ["half", "double"])
def test_only_set_dtype_changes_the_states_of_a_metric(method: str) -> None:
    """Its own `half` and `double` leave them alone."""
    metric = Taken(0, "cost")
    getattr(metric, method)()
    assert metric.cost.dtype == torch.float32
    metric.set_dtype(torch.float64)
    assert metric.cost.dtype == torch.float64


def test_reset_brings_back_the_default_so_a_logged_metric_forgets_each_epoch() -> None:
    metric = Taken(0, "cost")
    metric.update((1.0, 2.0))
    metric.reset()
    assert float(metric.cost) == float("-inf")
