"""What Lightning keeps of what is logged until it is due: how it can be looked at, and what looking by its API does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.connectors.logger_connector.result import _ResultMetric
from torchmetrics import MeanMetric

from tests.helpers.contract import MakeTrainer, Tiny, log, on

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers and loggers

PROPERTIES = ("callback_metrics", "logged_metrics", "progress_bar_metrics")


def logging_metric(hook: str, **options: Any) -> Tiny:
    """Logs a metric, which is updated in each training step, in a hook."""
    model = Tiny()
    metric = model.metric = MeanMetric()

    def step(module: LightningModule) -> None:
        metric.update(0.5)
        if hook == "training_step":
            module.log("acc", metric, on_epoch=True, prog_bar=True, **options)

    model.do["training_step"] = step
    return model


def logging_value(hook: str, **options: Any) -> Tiny:
    return Tiny(**{hook: log("acc", on_epoch=True, prog_bar=True, **options)})


def results_of(trainer: Trainer) -> dict[str, _ResultMetric]:
    results = trainer._results
    assert results is not None
    return {result.meta.name: result for result in results.values()}


@pytest.mark.parametrize("model", [logging_metric, logging_value])
@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_computes_and_keeps_what_is_pending_and_its_attribute_does_not(
    trainer_with: MakeTrainer, model: Callable[..., Tiny], name: str
) -> None:
    """Why nothing of ours reads `trainer.callback_metrics` within a fit."""
    seen: list[Any] = []

    def look(trainer: Trainer) -> None:
        stored = getattr(trainer._logger_connector, f"_{name}")
        result = results_of(trainer)["acc"]
        seen.append(("acc" in stored, result._computed is None, not result.has_reset))
        assert "acc" in getattr(trainer, name)
        seen.append(("acc" in stored, result._computed is None, not result.has_reset))

    trainer_with(on(on_train_epoch_end=look)).fit(model("training_step", on_step=False))
    assert seen == [(False, True, True), (True, False, True)]


@pytest.mark.parametrize("name", PROPERTIES)
def test_the_property_gives_its_attribute(trainer_with: MakeTrainer, name: str) -> None:
    trainer = trainer_with()
    assert getattr(trainer, name) is getattr(trainer._logger_connector, f"_{name}")
    trainer.fit(logging_value("training_step", on_step=False))
    assert getattr(trainer, name) is getattr(trainer._logger_connector, f"_{name}")
    assert "acc" in getattr(trainer, name)


def test_outside_of_a_loop_there_are_no_results(trainer_with: MakeTrainer) -> None:
    trainer = trainer_with()
    assert trainer._results is None
    trainer.fit(Tiny(training_step=log("acc")))
    assert not trainer._results


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"on_step": False, "on_epoch": True}, ("acc", "acc")),
        ({"on_step": True, "on_epoch": True}, ("acc", "acc_epoch")),
        ({"on_step": True, "on_epoch": False}, None),
    ],
)
def test_the_names_of_what_is_logged_on_epochs(
    trainer_with: MakeTrainer, options: dict[str, Any], names: tuple[str, str] | None
) -> None:
    seen: list[Any] = []

    def look(trainer: Trainer) -> None:
        result = results_of(trainer)["acc"]
        results: Any = trainer._results
        seen.append(results._forked_name(result, on_step=False) if result.meta.on_epoch else None)

    trainer_with(on(on_train_epoch_end=look)).fit(Tiny(training_step=log("acc", **options)))
    assert seen == [names]


def test_a_loader_of_several_is_in_the_names(trainer_with: MakeTrainer) -> None:
    class Two(Tiny):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            self.log("acc", 0.5)

        def val_dataloader(self) -> Any:
            return [super().val_dataloader(), super().val_dataloader()]

    seen: set[str] = set()

    def look(trainer: Trainer) -> None:
        results: Any = trainer._results
        seen.update(name for result in results.values() for name in results._forked_name(result, on_step=False))

    trainer_with(on(on_validation_end=look)).fit(Two())
    assert seen == {"acc/dataloader_idx_0", "acc/dataloader_idx_1"}


def test_what_is_not_logged_in_this_epoch_has_been_reset(trainer_with: MakeTrainer) -> None:
    """And is kept by Lightning under its name nevertheless."""

    def log_first(module: LightningModule) -> None:
        if module.current_epoch == 0:
            module.log("acc", 0.5, on_step=False, on_epoch=True)

    reset: list[bool] = []
    look = on(on_train_epoch_end=lambda trainer: reset.append(results_of(trainer)["acc"].has_reset))
    trainer_with(look, max_epochs=2).fit(Tiny(training_step=log_first))
    assert reset == [False, True]


def test_compute_of_the_class_goes_past_what_keeps_the_value(trainer_with: MakeTrainer) -> None:
    """The instance's own `compute` is wrapped by one that keeps it in `_computed`."""
    seen: list[Any] = []

    def look(trainer: Trainer) -> None:
        result = results_of(trainer)["acc"]
        seen.append((float(_ResultMetric.compute(result)), result._computed))
        seen.append((float(result.compute()), result._computed))

    trainer_with(on(on_train_epoch_end=look)).fit(logging_value("training_step", on_step=False))
    assert seen == [(0.5, None), (0.5, 0.5)]


def test_a_logged_metric_keeps_what_it_computes_itself(trainer_with: MakeTrainer) -> None:
    model = logging_metric("training_step", on_step=False)
    seen: list[Any] = []

    def look(trainer: Trainer) -> None:
        result = results_of(trainer)["acc"]
        assert (result.value is model.metric, result.is_tensor, model.metric._computed) == (True, False, None)  # type: ignore[union-attr]
        seen.append(float(_ResultMetric.compute(result)))
        seen.append(float(model.metric._computed))  # type: ignore[union-attr,arg-type]

    trainer_with(on(on_train_epoch_end=look)).fit(model)
    assert seen == [0.5, 0.5]


@pytest.fixture
def one_rank(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    before = dict(os.environ)
    yield
    dist.destroy_process_group()
    os.environ.clear()  # Lightning sets the address and the ranks
    os.environ.update(before)


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize("options", [{}, {"sync_dist": True}, {"sync_dist": True, "rank_zero_only": True}])
def test_whether_ranks_reduce_a_value(trainer_with: MakeTrainer, options: dict[str, Any]) -> None:
    seen: list[Any] = []

    def look(trainer: Trainer) -> None:
        sync = results_of(trainer)["acc"].meta.sync
        seen.append((bool(sync.should), sync.rank_zero_only))

    model = logging_value("training_step", on_step=False, **options)
    trainer_with(on(on_train_epoch_end=look), strategy="ddp").fit(model)
    assert seen == [(options.get("sync_dist", False), options.get("rank_zero_only", False))]
