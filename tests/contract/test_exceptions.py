"""How a fit ends badly."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import LambdaCallback, ModelCheckpoint

from tests.helpers.contract import (
    Do,
    MakeTrainer,
    Spy,
    Tiny,
    of,
    on,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers and loggers


def fail(error: BaseException) -> Do:
    def raises(module: LightningModule) -> None:
        raise error

    return raises


@pytest.mark.parametrize("hook", ["training_step", "validation_step", "on_validation_epoch_end"])
def test_an_exception_calls_on_exception(trainer_with: MakeTrainer, hook: str) -> None:
    """And neither `on_train_end` nor `teardown`."""
    spy = Spy()
    with pytest.raises(ZeroDivisionError):
        trainer_with(spy).fit(Tiny(**{hook: fail(ZeroDivisionError())}))
    assert of(spy.calls, "on_exception", "on_train_end", "on_fit_end", "teardown") == ["spy.on_exception"]
    assert spy.calls[-1] == "spy.on_exception"


def test_an_exception_in_setup_calls_on_exception(trainer_with: MakeTrainer) -> None:
    spy = Spy()
    with pytest.raises(ZeroDivisionError):
        trainer_with(spy, on(setup=lambda trainer: 1 // 0)).fit(Tiny())
    assert spy.calls == ["spy.setup", "spy.on_exception"]


def test_ctrl_c_calls_on_exception_with_it_and_then_exits(trainer_with: MakeTrainer) -> None:
    spy, seen = Spy(), []
    note = LambdaCallback(on_exception=lambda trainer, module, error: seen.append(type(error)))
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as exit_:
            trainer_with(spy, note).fit(Tiny(training_step=fail(KeyboardInterrupt())))
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning leaves it ignored
    assert exit_.value.code == 1
    assert seen == [KeyboardInterrupt]
    assert of(spy.calls, "on_exception", "on_train_end", "teardown") == ["spy.on_exception"]


def test_a_checkpoint_on_exception(trainer_with: MakeTrainer, tmp_path: Path) -> None:
    """It takes states after the first callback's `on_exception`."""

    class Stated(Spy):
        def state_dict(self) -> dict[str, Any]:
            self.calls.append(f"{self.name}.state_dict")
            return {}

    spy = Stated()

    def fail_second(module: LightningModule) -> None:
        if module.global_step == 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trainer_with(spy, ModelCheckpoint(tmp_path, save_on_exception=True)).fit(Tiny(training_step=fail_second))
    assert of(spy.calls, "on_exception", "state_dict") == ["spy.on_exception", "spy.state_dict"]
