"""When early stopping and checkpoints act on a score."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from tests.helpers.contract import (
    DAILY,
    SCHEDULES,
    MakeTrainer,
    Tiny,
    every_schedule,
    log,
    on,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers and loggers


def test_nan_stops_early_stopping(trainer_with: MakeTrainer) -> None:
    stop = EarlyStopping("val_acc", patience=5)
    values = iter([0.5, float("nan")])
    trainer_with(stop, max_epochs=4, limit_val_batches=1).fit(
        Tiny(validation_step=log("val_acc", lambda: next(values)))
    )
    assert stop.stopped_epoch == 1
    assert stop.stopping_reason is EarlyStoppingReason.NON_FINITE_METRIC


def acts_in(callback: Callback, state: Callable[[], Any]) -> set[str]:
    """A set that fills with the hooks in which the callback acts, as its state shows."""
    acted: set[str] = set()

    def watched(run: Callable[..., None], hook: str) -> Callable[..., None]:
        def call(*args: Any) -> None:
            before = state()
            run(*args)
            if state() != before:
                acted.add(hook)

        return call

    for hook in ("on_validation_end", "on_train_epoch_end"):
        setattr(callback, hook, watched(getattr(callback, hook), hook))
    return acted


def rising() -> Tiny:
    """Logs a value that rises with each step."""
    values = iter(np.linspace(0.1, 0.9, 100))
    return Tiny(validation_step=log("val_acc", lambda: float(next(values))))


WHERE = {True: {"on_train_epoch_end"}, False: {"on_validation_end"}}


@every_schedule
@pytest.mark.parametrize("asked", [None, True, False])
def test_where_early_stopping_checks(
    trainer_with: MakeTrainer,
    schedule: str,
    asked: bool | None,
) -> None:
    """Its `_check_on_train_epoch_end` says so after setup."""
    stop = EarlyStopping("val_acc", mode="max", check_on_train_epoch_end=asked, strict=False)
    acted = acts_in(stop, lambda: float(stop.best_score))
    said: list[bool] = []
    note = on(on_fit_start=lambda trainer: said.append(bool(stop._check_on_train_epoch_end)))
    trainer_with(note, stop, max_epochs=2, **SCHEDULES[schedule]).fit(rising())
    assert said == [SCHEDULES[schedule] == DAILY if asked is None else asked]
    assert acted == WHERE[said[0]]


@every_schedule
@pytest.mark.parametrize("asked", [None, True, False])
def test_where_model_checkpoint_saves(
    trainer_with: MakeTrainer, tmp_path: Path, schedule: str, asked: bool | None
) -> None:
    """Its `_should_save_on_train_epoch_end` says so."""
    save = ModelCheckpoint(tmp_path, "{val_acc:.3f}", monitor="val_acc", mode="max", save_on_train_epoch_end=asked)
    acted, said = acts_in(save, lambda: save.best_model_path), []

    def note(trainer: Trainer) -> None:
        said.append(save._should_save_on_train_epoch_end(trainer))

    trainer_with(on(on_validation_end=note, on_train_epoch_end=note), save, max_epochs=2, **SCHEDULES[schedule]).fit(
        rising()
    )
    assert set(said) == {SCHEDULES[schedule] == DAILY if asked is None else asked}
    assert acted == WHERE[said[0]]


def test_monitor_and_mode_are_attributes_of_those_who_act() -> None:
    for callback in (EarlyStopping("x", mode="max"), ModelCheckpoint(monitor="x", mode="max")):
        assert (callback.monitor, callback.mode) == ("x", "max")
    assert ModelCheckpoint().monitor is None
