"""What is relied on in torchmetrics: why states are named after the resource, and how a metric can be looked at."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything
from lightning.pytorch.utilities.seed import isolate_rng
from torchmetrics import MeanMetric, Metric, MetricCollection, MinMaxMetric
from torchmetrics.utilities.data import dim_zero_cat


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


# How a metric is computed without a trace


@pytest.mark.parametrize("reduction", ["sum", "cat"])
def test_states_are_attributes_of_the_names_in_reductions(reduction: str) -> None:
    class Has(Taken):
        def __init__(self) -> None:
            super().__init__(0, "cost")
            self.add_state("more", [] if reduction == "cat" else torch.tensor(0.0), dist_reduce_fx=reduction)

    metric = Has()
    assert set(metric._reductions) == {"cost", "more"}
    assert (metric._reductions["more"] is dim_zero_cat) is (reduction == "cat")
    assert {"cost", "more", "_computed", "_update_count", "_buffers"} <= metric.__dict__.keys(), "and of nothing else"
    metric.update((1.0, 2.0))
    assert metric.__dict__["cost"] == 1.0


def test_a_metric_says_whether_it_was_updated_and_one_that_wraps_others_does_not() -> None:
    plain, wrapping = MeanMetric(), MinMaxMetric(MeanMetric())
    assert not plain.update_called
    for metric in (plain, wrapping):
        metric.update(0.5)
    assert plain.update_called
    assert not wrapping.update_called
    assert type(plain)._wrap_compute is Metric._wrap_compute
    assert type(wrapping)._wrap_compute is not Metric._wrap_compute


def test_a_metric_keeps_what_it_computes_until_it_is_updated() -> None:
    metric = MeanMetric()
    metric.update(0.5)
    assert metric._computed is None
    assert metric.compute() == metric._computed == 0.5
    metric.update(1.0)
    assert metric._computed is None


class Torn(Exception):
    """What the network says."""


@pytest.mark.parametrize("network", [True, False])
def test_an_error_while_ranks_exchange_leaves_the_metric_not_synced(network: bool) -> None:
    """And one of `compute` itself leaves it synced."""

    def exchange(tensor: torch.Tensor, group: Any = None) -> list[torch.Tensor]:
        if network:
            raise Torn
        return [tensor, tensor]

    class Fails(Taken):
        def compute(self) -> Any:
            raise Torn

    metric = Fails(0, "cost")
    metric.dist_sync_fn, metric.distributed_available_fn = exchange, lambda: True
    metric.update((1.0, 2.0))
    with pytest.raises(Torn):
        metric.compute()
    assert metric._to_sync
    assert metric._is_synced is not network


def test_isolate_rng_puts_back_the_states_of_torch_numpy_and_python() -> None:
    seed_everything(3, verbose=False)
    with isolate_rng():
        inside = torch.rand(()), np.random.random(), random.random()
    assert inside == (torch.rand(()), np.random.random(), random.random())
