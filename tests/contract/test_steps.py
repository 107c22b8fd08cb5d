"""The steps at which `self.log` logs, and the hooks in which it raises."""

from __future__ import annotations

from typing import Any

import pytest
from lightning.pytorch import Callback, LightningModule, Trainer

from tests.helpers.contract import (
    BATCHES,
    SCHEDULES,
    VALIDATED,
    ListLogger,
    MakeTrainer,
    Tiny,
    every_schedule,
    log,
    on,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers and loggers


@every_schedule
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("hook", ["validation_step", "on_validation_epoch_end"])
def test_the_step_of_validation_metrics(
    trainer_with: MakeTrainer,
    schedule: str,
    accumulate: int,
    hook: str,
) -> None:
    """The batches that stepped by `on_validation_end`."""
    steps: list[int] = []
    logger = ListLogger()
    spy = on(on_validation_end=lambda trainer: steps.append(trainer.fit_loop.epoch_loop._batches_that_stepped))
    options = {**SCHEDULES[schedule], "accumulate_grad_batches": accumulate}
    trainer_with(spy, logger=logger, max_epochs=4, **options).fit(Tiny(**{hook: log("val_acc")}))
    assert logger.steps_of("val_acc") == steps
    assert len(steps) == len(VALIDATED[schedule])


@every_schedule
@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_step_of_training_metrics(
    trainer_with: MakeTrainer,
    schedule: str,
    accumulate: int,
) -> None:
    """One below the batches that stepped by `on_train_epoch_end`."""
    steps: list[int] = []
    logger = ListLogger()
    spy = on(on_train_epoch_end=lambda trainer: steps.append(trainer.fit_loop.epoch_loop._batches_that_stepped - 1))
    options = {**SCHEDULES[schedule], "accumulate_grad_batches": accumulate}
    model = Tiny(training_step=log("acc", on_step=False, on_epoch=True))
    trainer_with(spy, logger=logger, max_epochs=4, **options).fit(model)
    assert logger.steps_of("acc") == steps
    assert len(steps) == 4


def test_both_steps_agree_at_the_end_of_an_epoch(trainer_with: MakeTrainer) -> None:
    """The validation there is logged at the step of the training metrics."""
    logger = ListLogger()
    model = Tiny(training_step=log("acc", on_step=False, on_epoch=True), validation_step=log("val_acc"))
    trainer_with(logger=logger, max_epochs=3).fit(model)
    assert logger.steps_of("acc") == logger.steps_of("val_acc") == [BATCHES - 1, 2 * BATCHES - 1, 3 * BATCHES - 1]
    assert all("epoch" in metrics for _, metrics in logger.lines)


@pytest.mark.parametrize("hook", ["setup", "on_fit_start", "on_validation_end", "on_train_end"])
def test_self_log_raises_in(trainer_with: MakeTrainer, hook: str) -> None:
    raised: list[str] = []

    class Logs(Callback):
        def attempt(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
            try:
                pl_module.log("x", 1.0)
            except Exception as error:
                raised.append(f"{type(error).__name__}: {error}")

    callback = Logs()
    setattr(callback, hook, callback.attempt)
    trainer_with(callback).fit(Tiny())
    assert len(raised) == 1
    assert raised[0].startswith("MisconfigurationException")
