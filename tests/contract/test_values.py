"""When a logged value is new, as its identity says, and what becomes of values written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from tests.helpers.contract import (
    SCHEDULES,
    SELDOM,
    VALIDATED,
    MakeTrainer,
    Tiny,
    compare,
    every_schedule,
    log,
    on,
    writer,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers and loggers


# Is a value new? By the identity of the object.


@every_schedule
@pytest.mark.parametrize(
    ("hook", "options"),
    [
        ("validation_step", {}),
        ("validation_step", {"on_step": True, "on_epoch": True}),
        ("on_validation_epoch_end", {}),
    ],
    ids=["step", "step_on_step_too", "epoch_end"],
)
def test_a_validation_value_is_a_new_object(
    trainer_with: MakeTrainer, schedule: str, hook: str, options: dict[str, Any]
) -> None:
    """A value logged in validation is another object at its end, even if equal."""
    fresh: list[tuple[int, bool]] = []
    spy = compare("val_acc", "on_validation_start", "on_validation_end", fresh)
    trainer_with(spy, max_epochs=4, **SCHEDULES[schedule]).fit(Tiny(**{hook: log("val_acc", **options)}))
    assert fresh == [(epoch, True) for epoch in VALIDATED[schedule]]


def test_a_torchmetrics_value_is_a_new_object(trainer_with: MakeTrainer) -> None:
    """A metric logged in validation is another object at its end."""
    fresh: list[tuple[int, bool]] = []
    model = Tiny()
    metric = model.metric = torchmetrics.MeanMetric()

    def update(module: LightningModule) -> None:
        metric.update(0.5)
        module.log("val_acc", metric)

    model.do["validation_step"] = update
    trainer_with(compare("val_acc", "on_validation_start", "on_validation_end", fresh), max_epochs=3).fit(model)
    assert fresh == [(epoch, True) for epoch in range(3)]


def test_two_validation_loaders_have_a_key_each(trainer_with: MakeTrainer) -> None:
    """Each value is another object at the end."""

    class Two(Tiny):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            self.log("val_acc", 0.5)

        def val_dataloader(self) -> Any:
            return [super().val_dataloader(), super().val_dataloader()]

    for loader in range(2):
        fresh: list[tuple[int, bool]] = []
        key = f"val_acc/dataloader_idx_{loader}"
        trainer_with(compare(key, "on_validation_start", "on_validation_end", fresh), max_epochs=2).fit(Two())
        assert fresh == [(0, True), (1, True)]


def test_a_value_that_is_not_logged_stays(trainer_with: MakeTrainer) -> None:
    """A value that a validation does not log is the very object of before."""
    fresh: list[tuple[int, bool]] = []

    def log_first(module: LightningModule) -> None:
        if module.current_epoch == 0:
            module.log("val_acc", 0.5)

    spy = compare("val_acc", "on_validation_start", "on_validation_end", fresh)
    trainer_with(spy, max_epochs=3).fit(Tiny(validation_step=log_first))
    assert fresh == [(0, True), (1, False), (2, False)]


@every_schedule
@pytest.mark.parametrize("on_step", [False, True])
def test_a_training_value_stays_in_validation(
    trainer_with: MakeTrainer,
    schedule: str,
    on_step: bool,
) -> None:
    """A value logged in training is the very object of before at the end of validation."""
    fresh: list[tuple[int, bool]] = []
    spy = compare("acc", "on_validation_start", "on_validation_end", fresh)
    model = Tiny(training_step=log("acc", on_step=on_step, on_epoch=True))
    trainer_with(spy, max_epochs=4, **SCHEDULES[schedule]).fit(model)
    assert fresh == [(epoch, False) for epoch in VALIDATED[schedule]]


@every_schedule
@pytest.mark.parametrize("start", ["on_train_epoch_start", "on_validation_start"])
@pytest.mark.parametrize("on_step", [False, True])
def test_a_training_value_is_a_new_object(
    trainer_with: MakeTrainer,
    schedule: str,
    start: str,
    on_step: bool,
) -> None:
    """A value logged in training is another object at the end of its epoch."""
    fresh: list[tuple[int, bool]] = []
    model = Tiny(training_step=log("acc", on_step=on_step, on_epoch=True))
    trainer_with(compare("acc", start, "on_train_epoch_end", fresh), max_epochs=4, **SCHEDULES[schedule]).fit(model)
    assert fresh == [(epoch, True) for epoch in range(4)]


def test_a_value_stays_without_validation(trainer_with: MakeTrainer) -> None:
    """A value of validation is the very object of before in an epoch without validation."""
    fresh: list[tuple[int, bool]] = []
    spy = compare("val_acc", "on_train_epoch_start", "on_train_epoch_end", fresh)
    trainer_with(spy, max_epochs=4, **SELDOM).fit(Tiny(validation_step=log("val_acc")))
    assert fresh == [(0, False), (1, True), (2, False), (3, True)]


def test_on_train_epoch_end_of_the_module_is_late(trainer_with: MakeTrainer) -> None:
    """What the module logs there comes too late for callbacks."""
    fresh: list[tuple[int, bool]] = []
    spy = compare("acc", "on_train_epoch_start", "on_train_epoch_end", fresh)
    trainer_with(spy, max_epochs=3).fit(Tiny(on_train_epoch_end=log("acc")))
    assert fresh == [(epoch, False) for epoch in range(3)]


def test_on_validation_epoch_end_of_the_module_is_late(trainer_with: MakeTrainer) -> None:
    """What the module logs there comes too late for that hook of callbacks."""
    seen: list[Any] = []
    values = iter([0.25, 0.75])
    spy = on(on_validation_epoch_end=lambda trainer: seen.append(trainer.callback_metrics.get("val_acc")))
    trainer_with(spy, max_epochs=2).fit(Tiny(on_validation_epoch_end=log("val_acc", lambda: next(values))))
    assert seen == [None, 0.25]


def test_a_second_fit_begins_without_values(trainer_with: MakeTrainer) -> None:
    seen: list[Any] = []
    trainer = trainer_with(on(on_train_start=lambda trainer: seen.append(dict(trainer.callback_metrics))))
    model = Tiny(validation_step=log("val_acc"))
    trainer.fit(model)
    assert "val_acc" in trainer.callback_metrics
    trainer.fit_loop.max_epochs = 2
    trainer.fit(model)
    assert seen == [{}, {}]


# Values written by hand.


@every_schedule
def test_written_values_are_seen_in_that_epoch(
    trainer_with: MakeTrainer,
    tmp_path: Path,
    schedule: str,
) -> None:
    """Early stopping and checkpoints see what is written in `on_validation_end`."""
    epochs = VALIDATED[schedule][:3] if schedule != "every_second_epoch" else [1, 3, 5]
    stop = EarlyStopping("pepr_e", mode="max", stopping_threshold=0.25)
    save = ModelCheckpoint(tmp_path, "{epoch}-{pepr_e:.1f}", monitor="pepr_e", mode="max", save_top_k=-1)
    amounts = iter([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    trainer_with(writer(amounts), stop, save, max_epochs=8, **SCHEDULES[schedule]).fit(Tiny())
    assert stop.stopped_epoch == epochs[2]
    assert stop.stopping_reason is EarlyStoppingReason.STOPPING_THRESHOLD
    expected = [f"epoch={epoch}-pepr_e=0.{n}.ckpt" for n, epoch in enumerate(epochs, 1)]
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == expected
    assert save.best_model_score == pytest.approx(0.3, abs=1e-12)  # in double


@every_schedule
def test_written_values_survive(trainer_with: MakeTrainer, schedule: str) -> None:
    """What is written in `on_validation_end` is there until the next validation and the end of the fit."""
    seen: list[tuple[Any, ...]] = []

    def note(trainer: Trainer) -> None:
        dicts = (trainer.callback_metrics, trainer.progress_bar_metrics, trainer.logged_metrics)
        seen.append(tuple(float(d.get("pepr_e", float("nan"))) for d in dicts))

    model = Tiny(training_step=log("acc", on_epoch=True, prog_bar=True), validation_step=log("val_acc", prog_bar=True))
    trainer = trainer_with(
        writer(iter(range(1, 9))),
        on(on_train_batch_start=note, on_train_epoch_end=note, on_train_end=note),
        max_epochs=4,
        **SCHEDULES[schedule],
    )
    trainer.fit(model)
    values = [values[0] for values in seen if not np.isnan(values[0])]
    assert all(len(set(values)) == 1 for values in seen if not np.isnan(values[0]))
    assert values == sorted(values)
    assert set(values) == set(range(1, len(VALIDATED[schedule]) + 1))
    note(trainer)
    assert seen[-1] == (len(VALIDATED[schedule]),) * 3
    assert trainer.callback_metrics["pepr_e"].dtype == torch.float64


def test_self_log_rounds_to_float32(trainer_with: MakeTrainer) -> None:
    """What is written by hand keeps double precision."""
    trainer = trainer_with(writer(iter([16777217.0])))
    trainer.fit(Tiny(validation_step=log("val_acc", 16777217.0)))
    assert int(trainer.callback_metrics["val_acc"]) == 16777216
    assert int(trainer.callback_metrics["pepr_e"]) == 16777217
