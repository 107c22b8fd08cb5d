"""The order of hooks, also where a callback puts itself first, and of validations outside of a fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, LambdaCallback, ModelCheckpoint

from tests.helpers.contract import (
    TWICE,
    First,
    MakeTrainer,
    Spy,
    Tiny,
    callbacks_of,
    log,
    of,
    on,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers and loggers


# The order of hooks.


def test_the_end_of_validation(trainer_with: MakeTrainer) -> None:
    """The epoch ends for callbacks, then for the module; `on_validation_end` comes after both."""
    calls: list[str] = []
    trainer_with(Spy("first", calls), Spy("last", calls)).fit(Tiny(calls))
    assert of(calls, "on_validation_start", "validation_step", "on_validation_epoch_end", "on_validation_end") == [
        "first.on_validation_start",
        "last.on_validation_start",
        "module.validation_step",
        "module.validation_step",
        "first.on_validation_epoch_end",
        "last.on_validation_epoch_end",
        "module.on_validation_epoch_end",
        "first.on_validation_end",
        "last.on_validation_end",
        "module.on_validation_end",
    ]


def test_the_end_of_a_training_epoch(trainer_with: MakeTrainer) -> None:
    """It ends for callbacks, then for the module, then for callbacks that monitor."""
    calls: list[str] = []

    class Stopper(EarlyStopping):
        def on_train_epoch_end(self, *args: Any) -> None:
            calls.append("stopper.on_train_epoch_end")

    class Saver(ModelCheckpoint):
        def on_train_epoch_end(self, *args: Any) -> None:
            calls.append("saver.on_train_epoch_end")

    trainer_with(Saver(), Stopper("x"), Spy("spy", calls)).fit(Tiny(calls))
    order = of(calls, "on_train_epoch_end")
    assert order[:2] == ["spy.on_train_epoch_end", "module.on_train_epoch_end"]
    assert sorted(order[2:]) == ["saver.on_train_epoch_end", "stopper.on_train_epoch_end"]


def test_validation_ends_before_the_training_epoch_does(trainer_with: MakeTrainer) -> None:
    spy = Spy()
    trainer_with(spy, max_epochs=2).fit(Tiny())
    one = ["spy.on_train_epoch_start", "spy.on_validation_start", "spy.on_validation_end", "spy.on_train_epoch_end"]
    assert of(spy.calls, *(call.partition(".")[2] for call in one)) == one * 2


def test_early_stopping_checks_in_list_order(trainer_with: MakeTrainer) -> None:
    """It checks in `on_validation_end`, so what is written there must come before it."""

    def write() -> LambdaCallback:
        return on(on_validation_end=lambda trainer: trainer.callback_metrics.update(x=torch.tensor(0.5)))

    trainer_with(write(), EarlyStopping("x"), **TWICE).fit(Tiny())
    with pytest.raises(RuntimeError, match="`x` which is not available"):
        trainer_with(EarlyStopping("x"), write(), **TWICE).fit(Tiny())


def test_configured_callbacks_are_there_at_setup(trainer_with: MakeTrainer) -> None:
    """Callbacks that the module configures are in the list at `setup`."""
    seen: list[bool] = []
    model, own = Tiny(), EarlyStopping("x")
    model.configure_callbacks = lambda: [own]  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="`x`"):
        trainer_with(on(setup=lambda trainer: seen.append(own in callbacks_of(trainer)))).fit(model)
    assert seen == [True]


@pytest.mark.parametrize("fn", ["fit", "validate", "test"])
def test_setup_is_told_what_is_run_and_knows_the_device(trainer_with: MakeTrainer, fn: str) -> None:
    seen: list[Any] = []

    class Order(Callback):
        def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
            seen.extend([stage == fn, trainer.strategy.root_device])

    getattr(trainer_with(Order()), fn)(Tiny())
    assert seen == [True, torch.device("cpu")]


def test_each_fit_on_one_trainer_has_its_own_setup_and_teardown(trainer_with: MakeTrainer) -> None:
    spy, model = Spy(), Tiny()
    trainer = trainer_with(spy)
    trainer.fit(model)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(model)
    assert of(spy.calls, "setup", "on_train_end", "teardown") == ["spy.setup", "spy.on_train_end", "spy.teardown"] * 2


def test_on_train_end_comes_before_teardown(trainer_with: MakeTrainer) -> None:
    """Also after early stopping."""
    spy = Spy()
    stop = EarlyStopping("val_acc", mode="max", stopping_threshold=0.1)
    trainer = trainer_with(spy, stop, max_epochs=3)
    trainer.fit(Tiny(validation_step=log("val_acc")))
    assert trainer.current_epoch == 1
    assert spy.calls[-3:] == ["spy.on_train_end", "spy.on_fit_end", "spy.teardown"]


# Putting oneself first.


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_callback_may_put_itself_first(trainer_with: MakeTrainer, place: int) -> None:
    """It does so in `setup` and is first from then on, and no setup is lost."""
    calls: list[str] = []
    callbacks = [Spy("a", calls), Spy("b", calls)]
    callbacks.insert(place, First("first", calls))
    trainer_with(*callbacks).fit(Tiny())
    assert of(calls, "setup") == [f"{callback.name}.setup" for callback in callbacks]
    for hook in ("on_fit_start", "on_validation_end", "on_train_epoch_end", "on_train_end", "teardown"):
        assert of(calls, hook) == [f"{name}.{hook}" for name in ("first", "a", "b")], hook


def test_two_callbacks_may_put_themselves_first(trainer_with: MakeTrainer) -> None:
    """Both are set up once."""
    calls: list[str] = []
    trainer_with(Spy("a", calls), First("one", calls), First("two", calls)).fit(Tiny())
    assert of(calls, "setup") == ["a.setup", "one.setup", "two.setup"]
    assert of(calls, "on_validation_end") == ["two.on_validation_end", "one.on_validation_end", "a.on_validation_end"]


# Validations that are not part of training.


def test_the_sanity_check_fires_validation_hooks(trainer_with: MakeTrainer) -> None:
    """With `sanity_checking` set."""
    spy, flags = Spy(), []
    note = on(
        on_validation_start=lambda trainer: flags.append(trainer.sanity_checking),
        on_validation_end=lambda trainer: flags.append(trainer.sanity_checking),
    )
    trainer_with(spy, note, num_sanity_val_steps=1).fit(Tiny())
    assert flags == [True, True, False, False]
    assert spy.calls[:9] == [
        "spy.setup",
        "spy.on_fit_start",
        "spy.on_sanity_check_start",
        "spy.on_validation_start",
        "spy.on_validation_epoch_end",
        "spy.on_validation_end",
        "spy.on_sanity_check_end",
        "spy.on_train_start",
        "spy.on_train_epoch_start",
    ]


def test_the_sanity_check_leaves_no_metrics(trainer_with: MakeTrainer) -> None:
    seen: list[Any] = []
    spy = on(on_train_start=lambda trainer: seen.append(dict(trainer.callback_metrics)))
    trainer_with(spy, num_sanity_val_steps=1).fit(Tiny(validation_step=log("val_acc")))
    assert seen == [{}]


def test_trainer_validate_fires_validation_hooks(trainer_with: MakeTrainer) -> None:
    """But none of fitting."""
    spy = Spy()
    trainer_with(spy).validate(Tiny())
    assert spy.calls == [
        f"spy.{hook}"
        for hook in ("setup", "on_validation_start", "on_validation_epoch_end", "on_validation_end", "teardown")
    ]


def test_what_is_logged_in_testing_is_there_in_on_test_end(trainer_with: MakeTrainer) -> None:
    seen: list[Any] = []
    trainer_with(on(on_test_end=lambda trainer: seen.append(trainer.callback_metrics.get("test_acc")))).test(
        Tiny(test_step=log("test_acc"))
    )
    assert seen == [0.5]


@pytest.mark.parametrize(("limit", "enabled"), [(2, True), (0, False)])
def test_enable_validation_says_whether_a_validation_will_run(
    trainer_with: MakeTrainer, limit: int, enabled: bool
) -> None:
    spy, seen = Spy(), []
    note = on(on_train_epoch_end=lambda trainer: seen.append(trainer.enable_validation))
    trainer_with(spy, note, limit_val_batches=limit).fit(Tiny())
    assert seen == [enabled]
    assert ("spy.on_validation_end" in spy.calls) is enabled
