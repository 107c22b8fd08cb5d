"""The metric behaves as any torchmetrics metric: what torchmetrics' own tester checks, and what Lightning does."""

from __future__ import annotations

import math
import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchmetrics import Metric, MetricCollection

from lightning_pepr import Cost, ModelSpace, PePR, pepr
from lightning_pepr.cost import RESOURCES

SPACE = ModelSpace({"energy_kwh": (0.1, 0.5), "carbon_g": (10, 90), "time_s": (60, 3600)})
FULL = ModelSpace.budget(**{resource.field: 2.0 for resource in RESOURCES})


def expected(performance: float, cost: float, resource: str = "energy") -> float:
    return pepr(performance, SPACE.normalize(cost, resource))


# What torchmetrics' own tester (`_class_test`) checks of every metric.


@pytest.mark.parametrize("baseline", [None, 0.25])
def test_update_and_compute_agree_with_the_functions(baseline: float | None) -> None:
    metric = PePR(SPACE, baseline=baseline)
    for performance, cost in [(0.5, 0.0), (0.625, 0.1), (0.75, 0.3), (1.0, 2.0)]:
        metric.update(performance, cost)
        p = performance if baseline is None else (performance - baseline) / (1 - baseline)
        score = metric.compute()
        assert score.shape == ()
        assert score.dtype == torch.float32
        assert score.item() == pytest.approx(expected(p, cost), rel=1e-6)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1e3))
def test_is_the_function_to_single_precision(performance: float, cost: float) -> None:
    metric = PePR(SPACE)
    metric.update(performance, cost)
    assert metric.compute().item() == pytest.approx(expected(performance, cost), rel=1e-5, abs=1e-30)


def test_forward_is_update_and_compute() -> None:
    by_forward, by_update = PePR(SPACE), PePR(SPACE)
    for performance, cost in [(0.5, 0.2), (0.75, 0.4), (0.25, 0.8)]:
        score = by_forward(performance, cost)
        by_update.update(performance, cost)
        assert score == by_update.compute() == by_forward.compute()
        assert by_forward.update_count == by_update.update_count
    assert score.item() == pytest.approx(expected(0.25, 0.8))


def test_the_latest_update_counts() -> None:
    metric = PePR(SPACE)
    metric.update(0.5, 0.4)
    metric.update(0.75, 0.5)
    assert metric.compute().item() == 0.375


def test_full_state_update_is_needed() -> None:
    """The other way of `forward` adds updates up; should that change upstream, the cheaper way will do."""

    class Reduced(PePR):
        full_state_update = False

    metrics = PePR(SPACE), Reduced(SPACE)
    for metric in metrics:
        metric(0.5, 0.4)
        metric(0.75, 0.5)
    assert metrics[0].compute().item() == 0.375
    assert metrics[1].compute().item() != 0.375


def test_constants() -> None:
    metric = PePR(SPACE)
    assert metric.higher_is_better is True
    assert metric.is_differentiable is False
    assert (metric.plot_lower_bound, metric.plot_upper_bound) == (0.0, 1.0)
    with pytest.raises(RuntimeError, match="Can't change const"):
        metric.higher_is_better = False


@pytest.mark.parametrize("copy", [deepcopy, lambda m: m.clone(), lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_whole_and_apart(copy: Any) -> None:
    metric = PePR(SPACE, "time", baseline=0.5)
    metric.update(0.75, 1830.0)
    other = copy(metric)
    assert isinstance(other, PePR)
    assert other.compute() == metric.compute()
    assert (other.space, other.resource, other.baseline) == (SPACE, metric.resource, 0.5)
    assert other.resource.merge == "max"
    other.update(0.5, 0.0)
    assert other.compute().item() == 0.0
    assert metric.compute().item() == pytest.approx(0.5 / 1.5)


def test_the_state_dict_is_empty_unless_asked_for() -> None:
    metric = PePR(SPACE)
    metric.update(0.5, 0.2)
    assert metric.state_dict() == {}
    assert list(metric.parameters()) == []
    metric.persistent(True)
    other = PePR(SPACE)
    other.persistent(True)
    other.load_state_dict(metric.state_dict())
    other._update_count = 1
    assert other.compute() == metric.compute()


def test_reset() -> None:
    metric = PePR(SPACE)
    metric.update(0.5, 0.2)
    metric.reset()
    assert not metric.update_called
    with pytest.warns(UserWarning, match="called before the ``update``"):
        assert torch.isnan(metric.compute())
    metric.update(0.75, 0.1)
    assert metric.compute().item() == 0.75


def test_is_hashed_by_its_state() -> None:
    metric, other = PePR(SPACE), PePR(SPACE)
    assert hash(metric) != hash(other)


def test_plots(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes

    metric = PePR(SPACE)
    scores = [metric(p, c) for p, c in [(0.5, 0.2), (0.75, 0.4)]]
    for val in (None, scores[0], scores):
        figure, axes = metric.plot(val)
        assert isinstance(axes, Axes)
        assert axes.get_ylabel() == "PePR"
        low, high = axes.get_ylim()
        assert low <= 0.0
        assert high >= 1.0
        plt.close(figure)
    figure, axes = plt.subplots()
    assert metric.plot(ax=axes)[1] is axes
    plt.close(figure)


# Inputs.


@pytest.mark.parametrize(
    "kind",
    [
        float,
        np.float32,
        np.array,
        lambda x: np.array([x]),
        torch.tensor,
        lambda x: torch.tensor([x]),
        lambda x: torch.tensor(x, dtype=torch.float16),
        lambda x: torch.tensor(x, dtype=torch.bfloat16),
        lambda x: torch.tensor(x, dtype=torch.float64, requires_grad=True),
    ],
)
def test_takes_any_kind_of_number(kind: Any) -> None:
    metric = PePR(SPACE)
    metric.update(kind(0.75), kind(0.5))
    assert metric.compute().item() == 0.375
    assert not metric.compute().requires_grad


@pytest.mark.parametrize("bad", [math.nan, -0.01, 1.01, 87.5, torch.tensor(math.nan), "0.5x"])
def test_a_bad_performance_is_named_and_changes_nothing(bad: Any) -> None:
    metric = PePR(SPACE)
    metric.update(0.5, 0.1)
    with pytest.raises(ValueError, match=r"performance is .*; expected a number"):
        metric.update(bad, 0.5)
    metric._computed = None
    assert metric.compute().item() == 0.5


@pytest.mark.parametrize("bad", [math.nan, -0.01, math.inf, torch.tensor(-1.0), "much", None])
def test_a_bad_cost_is_named(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"cost is .*; expected a"):
        PePR(SPACE).update(0.5, bad)


def test_more_than_one_element_is_refused() -> None:
    with pytest.raises(ValueError, match=r"performance has shape \(3,\); expected one number"):
        PePR(SPACE).update(torch.ones(3), 0.1)
    with pytest.raises(ValueError, match=r"cost has shape \(2,\); expected one number"):
        PePR(SPACE).update(1.0, np.ones(2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"performance has shape \(0,\)"):
        PePR(SPACE).update(torch.ones(0), 0.1)


def test_a_resource_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"no memory \(memory_gb\); it has energy_kwh, carbon_g, time_s"):
        PePR(SPACE, "memory")
    with pytest.raises(ValueError, match=r"unknown resource 'joules'"):
        PePR(SPACE, "joules")
    with pytest.raises(ValueError, match=r"the cost has no energy_kwh \(not measured\); it has time_s"):
        PePR(SPACE).update(0.5, Cost(time_s=1.0))
    with pytest.raises(TypeError, match=r"space is 0\.5; expected a ModelSpace"):
        PePR(0.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"baseline is 1\.0"):
        PePR(SPACE, baseline=1.0)
    with pytest.raises(ValueError, match=r"Unexpected keyword arguments: `bogus`"):
        PePR(SPACE, bogus=1)


def test_a_space_of_one_model_warns_and_scores_p() -> None:
    metric = PePR(ModelSpace({"energy": (0.5, 0.5)}))
    metric.update(0.75, 3.0)
    with pytest.warns(UserWarning, match="low and high of the space are equal"):
        assert metric.compute().item() == 0.75


# Collections.


@pytest.mark.parametrize("compute_groups", [True, False])
def test_each_metric_of_a_collection_takes_its_own_resource(compute_groups: bool) -> None:
    """With equal first amounts: compute groups would merge the two if their states had one name."""
    names = {f"pepr_{r.letter.lower()}": PePR(FULL, r) for r in RESOURCES}
    collection = MetricCollection(names, compute_groups=compute_groups)  # type: ignore[arg-type]
    collection.update(0.75, Cost(*[1.0] * 6))
    assert {key: score.item() for key, score in collection.compute().items()} == dict.fromkeys(names, 0.5)
    amounts = [0.0, 1.0, 2.0, 4.0, 6.0, 10.0]
    scores = collection(performance=0.75, cost=Cost(*amounts))
    for name, amount in zip(names, amounts, strict=True):
        assert scores[name].item() == pytest.approx(0.75 / (1 + amount / 2))
    assert collection.compute() == scores
    assert collection.clone().compute() == scores
    collection.reset()
    collection.update(performance=1.0, cost=Cost(*[2.0] * 6))
    assert all(score.item() == 0.5 for score in collection.compute().values())


def test_one_resource_in_several_spaces_and_with_a_baseline() -> None:
    collection = MetricCollection(
        {
            "small": PePR(ModelSpace.budget(energy_kwh=1.0)),
            "large": PePR(ModelSpace.budget(energy_kwh=2.0)),
            "gained": PePR(ModelSpace.budget(energy_kwh=1.0), baseline=0.5),
        }
    )
    for performance, cost in [(0.75, 0.0), (0.75, 1.0)]:  # these may share their states
        collection.update(performance, cost)
    scores = {key: score.item() for key, score in collection.compute().items()}
    assert scores == {"small": 0.375, "large": 0.5, "gained": 0.25}


# Precision and devices.

SMALL, LARGE = Cost(energy_kwh=3e-8), Cost(data_samples=1.2e6)


class Model(nn.Module):
    """As users hold a metric."""

    def __init__(self, space: ModelSpace, resource: str) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.score: Any = PePR(space, resource)


@pytest.mark.parametrize(
    "convert",
    [
        lambda m: m.half(),
        lambda m: m.to(torch.float16),
        lambda m: m.to(torch.bfloat16),
        lambda m: m.to("cpu", torch.float16),
        lambda m: m.bfloat16(),
        lambda m: m.type(torch.float16),
        lambda m: (m.score.set_dtype(torch.float16), m)[1],
        lambda m: (MetricCollection([m.score]).set_dtype(torch.float16), m)[1],
    ],
    ids=["half", "to16", "to-bf16", "to-cpu-16", "bfloat16", "type", "set_dtype", "collection"],
)
@pytest.mark.parametrize(
    ("resource", "cost", "high"), [("energy", SMALL, 6e-8), ("data", LARGE, 2.4e6)], ids=["small", "large"]
)
@pytest.mark.parametrize("first", [True, False])
def test_half_precision_does_not_destroy_the_cost(
    convert: Any, resource: str, cost: Cost, high: float, first: bool
) -> None:
    model = Model(ModelSpace({resource: (0.0, high)}), resource)
    if first:
        model = convert(model)
    model.score.update(0.75, cost)
    if not first:
        model = convert(model)
    assert model.score.compute().item() == pytest.approx(0.5, rel=1e-6)
    assert model.score.compute().dtype == torch.float32
    model.score.reset()
    model.score.update(torch.tensor(0.75, dtype=torch.float16), cost)
    assert model.score.compute().item() == pytest.approx(0.5, rel=1e-6)


def test_half_by_default() -> None:
    """As `Trainer(precision="16-true").init_module()` sets it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float16)
    try:
        metric = PePR(ModelSpace.budget(energy_kwh=6e-8))
        metric.update(0.75, SMALL)
        assert metric.compute().item() == pytest.approx(0.5, rel=1e-6)
    finally:
        torch.set_default_dtype(before)


def test_double_precision_on_request() -> None:
    metric = PePR(SPACE).set_dtype(torch.float64)
    metric.update(0.7, 0.3)
    assert metric.compute().dtype == torch.float64
    assert metric.compute().item() == expected(0.7, 0.3)


def test_moves_between_devices() -> None:
    metric = PePR(SPACE).to("meta")
    assert metric.device.type == "meta"
    states = [state for state in metric.metric_state.values() if isinstance(state, torch.Tensor)]
    assert len(states) == 2
    assert {state.device.type for state in states} == {"meta"}
    assert {state.dtype for state in states} == {torch.float32}  # MPS has no float64


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu() -> None:
    metric = PePR(SPACE).to("cuda")
    metric.update(torch.tensor(0.75, device="cuda"), torch.tensor(0.5, device="cuda"))
    assert metric.compute().device.type == "cuda"
    assert metric.compute().item() == 0.375
    assert metric(0.75, 0.5).item() == 0.375
    assert metric.cpu().compute().item() == 0.375


def test_is_a_metric() -> None:
    assert issubclass(PePR, Metric)
