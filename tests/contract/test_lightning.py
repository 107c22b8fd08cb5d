"""What `lightning_pepr.callbacks.pepr` relies on in Lightning, as tests of Lightning itself.

None of these touches our code. One that fails after an upgrade names the assumption that broke.
"""

from __future__ import annotations

import enum
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, LambdaCallback, ModelCheckpoint
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import nn
from torch.utils.data import DataLoader

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers and loggers

BATCHES = 4

# When validation runs, and in which epochs it does in a fit of four.
DAILY: dict[str, Any] = {}
TWICE: dict[str, Any] = {"val_check_interval": 0.5}
SELDOM: dict[str, Any] = {"check_val_every_n_epoch": 2}
SCHEDULES = {"every_epoch": DAILY, "twice_an_epoch": TWICE, "every_second_epoch": SELDOM}
VALIDATED = {"every_epoch": [0, 1, 2, 3], "twice_an_epoch": [0, 0, 1, 1, 2, 2, 3, 3], "every_second_epoch": [1, 3]}
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)

HOOKS = (
    "setup",
    "on_fit_start",
    "on_sanity_check_start",
    "on_sanity_check_end",
    "on_train_start",
    "on_train_epoch_start",
    "on_train_batch_end",
    "on_validation_start",
    "on_validation_epoch_end",
    "on_validation_end",
    "on_train_epoch_end",
    "on_train_end",
    "on_test_start",
    "on_test_end",
    "on_fit_end",
    "on_exception",
    "teardown",
)

Do = Callable[[LightningModule], Any]


class Tiny(LightningModule):
    """One weight; keeps the hooks that it has seen in `calls`, and does in each what `do` says."""

    def __init__(self, calls: list[str] | None = None, **do: Do) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.calls = [] if calls is None else calls
        self.do = do

    def _in(self, hook: str) -> None:
        self.calls.append(f"module.{hook}")
        if hook in self.do:
            self.do[hook](self)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self._in("training_step")
        return self.layer(batch).sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._in("validation_step")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._in("test_step")

    def on_validation_epoch_end(self) -> None:
        self._in("on_validation_epoch_end")

    def on_validation_end(self) -> None:
        self._in("on_validation_end")

    def on_train_epoch_end(self) -> None:
        self._in("on_train_epoch_end")

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)

    def train_dataloader(self) -> Any:
        return DataLoader(torch.ones(BATCHES, 1))

    def val_dataloader(self) -> Any:
        return DataLoader(torch.ones(2, 1))

    test_dataloader = val_dataloader


class Spy(Callback):
    """Keeps the hooks that it has seen in `calls`."""

    def __init__(self, name: str = "spy", calls: list[str] | None = None) -> None:
        self.name = name
        self.calls = [] if calls is None else calls

    @property
    def state_key(self) -> str:
        return self.name

    def state_dict(self) -> dict[str, Any]:
        return {"name": self.name}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        assert state_dict == {"name": self.name}
        self.calls.append(f"{self.name}.load_state_dict")


def _spying(hook: str) -> Callable[..., None]:
    def seen(self: Spy, *args: Any, **kwargs: Any) -> None:
        self.calls.append(f"{self.name}.{hook}")

    return seen


for _hook in HOOKS:
    setattr(Spy, _hook, _spying(_hook))


class ListLogger(Logger):
    """Keeps what is logged, and at which step."""

    save_dir: Any = None
    name: Any = "listed"
    version: Any = 0

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int | None, dict[str, float]]] = []

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.lines.append((step, dict(metrics)))

    def steps_of(self, key: str) -> list[int | None]:
        return [step for step, metrics in self.lines if key in metrics]


MakeTrainer = Callable[..., Trainer]


@pytest.fixture
def trainer_with(tmp_path: Path) -> MakeTrainer:
    """Makes a trainer of the given callbacks."""

    def make(*callbacks: Callback, make: Any = Trainer, **options: Any) -> Trainer:
        defaults: dict[str, Any] = {
            "accelerator": "cpu",
            "callbacks": list(callbacks),
            "default_root_dir": tmp_path,
            "devices": 1,
            "enable_checkpointing": any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
            "enable_model_summary": False,
            "enable_progress_bar": False,
            "limit_train_batches": BATCHES,
            "limit_val_batches": 2,
            "log_every_n_steps": 1,
            "logger": False,
            "max_epochs": 1,
            "num_sanity_val_steps": 0,
        }
        return make(**{**defaults, **options})

    return make


def on(**hooks: Callable[[Trainer], Any]) -> LambdaCallback:
    """A callback that does something with the trainer in the named hooks."""
    return LambdaCallback(
        **{hook: lambda trainer, *args, do=do, **kwargs: do(trainer) and None for hook, do in hooks.items()}
    )


def log(key: str, value: Any = 0.5, **options: Any) -> Do:
    """Log a value, or what a function returns, with `self.log`."""
    return lambda module: module.log(key, value() if callable(value) else value, **options)


def of(calls: list[str], *hooks: str) -> list[str]:
    """The calls of some hooks alone."""
    return [call for call in calls if call.partition(".")[2] in hooks]


# The order of hooks ---------------------------------------------------------------------------------------------------


def test_validation_ends_for_callbacks_then_module_and_on_validation_end_comes_after_both(
    trainer_with: MakeTrainer,
) -> None:
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


def test_a_training_epoch_ends_for_callbacks_then_module_then_monitoring_callbacks(trainer_with: MakeTrainer) -> None:
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


def test_early_stopping_checks_in_on_validation_end_in_the_order_of_the_list(trainer_with: MakeTrainer) -> None:
    def write() -> LambdaCallback:
        return on(on_validation_end=lambda trainer: trainer.callback_metrics.update(x=torch.tensor(0.5)))

    trainer_with(write(), EarlyStopping("x"), **TWICE).fit(Tiny())
    with pytest.raises(RuntimeError, match="`x` which is not available"):
        trainer_with(EarlyStopping("x"), write(), **TWICE).fit(Tiny())


def test_callbacks_that_the_module_configures_are_in_the_list_at_setup(trainer_with: MakeTrainer) -> None:
    seen: list[bool] = []
    model, own = Tiny(), EarlyStopping("x")
    model.configure_callbacks = lambda: [own]  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="`x`"):
        trainer_with(on(setup=lambda trainer: seen.append(own in trainer.callbacks))).fit(model)
    assert seen == [True]


@pytest.mark.parametrize("fn", ["fit", "validate", "test"])
def test_setup_is_told_what_is_run_and_knows_the_device(trainer_with: MakeTrainer, fn: str) -> None:
    seen: list[Any] = []

    class Told(Callback):
        def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
            seen.extend([stage == fn, trainer.strategy.root_device])

    getattr(trainer_with(Told()), fn)(Tiny())
    assert seen == [True, torch.device("cpu")]


def test_each_fit_on_one_trainer_has_its_own_setup_and_teardown(trainer_with: MakeTrainer) -> None:
    spy, model = Spy(), Tiny()
    trainer = trainer_with(spy)
    trainer.fit(model)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(model)
    assert of(spy.calls, "setup", "on_train_end", "teardown") == ["spy.setup", "spy.on_train_end", "spy.teardown"] * 2


def test_on_train_end_comes_before_teardown_and_also_after_early_stopping(trainer_with: MakeTrainer) -> None:
    spy = Spy()
    stop = EarlyStopping("val_acc", mode="max", stopping_threshold=0.1)
    trainer = trainer_with(spy, stop, max_epochs=3)
    trainer.fit(Tiny(validation_step=log("val_acc")))
    assert trainer.current_epoch == 1
    assert spy.calls[-3:] == ["spy.on_train_end", "spy.on_fit_end", "spy.teardown"]


# Putting oneself first ------------------------------------------------------------------------------------------------


class First(Spy):
    """Puts itself in front, by a new list, while Lightning walks over the old one."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.calls.append(f"{self.name}.setup")
        trainer.callbacks = [self, *(callback for callback in trainer.callbacks if callback is not self)]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_callback_that_puts_itself_first_in_setup_is_first_from_then_on_and_no_setup_is_lost(
    trainer_with: MakeTrainer, place: int
) -> None:
    calls: list[str] = []
    callbacks = [Spy("a", calls), Spy("b", calls)]
    callbacks.insert(place, First("first", calls))
    trainer_with(*callbacks).fit(Tiny())
    assert of(calls, "setup") == [f"{callback.name}.setup" for callback in callbacks]
    for hook in ("on_fit_start", "on_validation_end", "on_train_epoch_end", "on_train_end", "teardown"):
        assert of(calls, hook) == [f"{name}.{hook}" for name in ("first", "a", "b")], hook


def test_two_callbacks_that_put_themselves_first_are_both_set_up_once(trainer_with: MakeTrainer) -> None:
    calls: list[str] = []
    trainer_with(Spy("a", calls), First("one", calls), First("two", calls)).fit(Tiny())
    assert of(calls, "setup") == ["a.setup", "one.setup", "two.setup"]
    assert of(calls, "on_validation_end") == ["two.on_validation_end", "one.on_validation_end", "a.on_validation_end"]


# Is a value new? By the identity of the object ------------------------------------------------------------------------


def compare(key: str, start: str, end: str, fresh: list[tuple[int, bool]]) -> LambdaCallback:
    """Note whether a key holds another object at `end` than it did at `start`."""
    before: list[Any] = [None]

    def remember(trainer: Trainer) -> None:
        before[0] = trainer.callback_metrics.get(key)

    def note(trainer: Trainer) -> None:
        fresh.append((trainer.current_epoch, trainer.callback_metrics.get(key) is not before[0]))

    return on(**{start: remember, end: note})


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
def test_a_value_logged_in_validation_is_another_object_at_its_end_even_if_equal(
    trainer_with: MakeTrainer, schedule: str, hook: str, options: dict[str, Any]
) -> None:
    fresh: list[tuple[int, bool]] = []
    spy = compare("val_acc", "on_validation_start", "on_validation_end", fresh)
    trainer_with(spy, max_epochs=4, **SCHEDULES[schedule]).fit(Tiny(**{hook: log("val_acc", **options)}))
    assert fresh == [(epoch, True) for epoch in VALIDATED[schedule]]


def test_a_torchmetrics_metric_logged_in_validation_is_another_object_at_its_end(trainer_with: MakeTrainer) -> None:
    fresh: list[tuple[int, bool]] = []
    model = Tiny()
    model.metric = torchmetrics.MeanMetric()

    def update(module: LightningModule) -> None:
        model.metric.update(0.5)
        module.log("val_acc", model.metric)

    model.do["validation_step"] = update
    trainer_with(compare("val_acc", "on_validation_start", "on_validation_end", fresh), max_epochs=3).fit(model)
    assert fresh == [(epoch, True) for epoch in range(3)]


def test_each_of_two_validation_loaders_has_a_key_whose_value_is_another_object_at_the_end(
    trainer_with: MakeTrainer,
) -> None:
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


def test_a_value_that_a_validation_does_not_log_is_the_very_object_of_before(trainer_with: MakeTrainer) -> None:
    fresh: list[tuple[int, bool]] = []

    def log_first(module: LightningModule) -> None:
        if module.current_epoch == 0:
            module.log("val_acc", 0.5)

    spy = compare("val_acc", "on_validation_start", "on_validation_end", fresh)
    trainer_with(spy, max_epochs=3).fit(Tiny(validation_step=log_first))
    assert fresh == [(0, True), (1, False), (2, False)]


@every_schedule
@pytest.mark.parametrize("on_step", [False, True])
def test_a_value_logged_in_training_is_the_very_object_of_before_at_the_end_of_validation(
    trainer_with: MakeTrainer, schedule: str, on_step: bool
) -> None:
    fresh: list[tuple[int, bool]] = []
    spy = compare("acc", "on_validation_start", "on_validation_end", fresh)
    model = Tiny(training_step=log("acc", on_step=on_step, on_epoch=True))
    trainer_with(spy, max_epochs=4, **SCHEDULES[schedule]).fit(model)
    assert fresh == [(epoch, False) for epoch in VALIDATED[schedule]]


@every_schedule
@pytest.mark.parametrize("start", ["on_train_epoch_start", "on_validation_start"])
@pytest.mark.parametrize("on_step", [False, True])
def test_a_value_logged_in_training_is_another_object_at_the_end_of_its_epoch(
    trainer_with: MakeTrainer, schedule: str, start: str, on_step: bool
) -> None:
    fresh: list[tuple[int, bool]] = []
    model = Tiny(training_step=log("acc", on_step=on_step, on_epoch=True))
    trainer_with(compare("acc", start, "on_train_epoch_end", fresh), max_epochs=4, **SCHEDULES[schedule]).fit(model)
    assert fresh == [(epoch, True) for epoch in range(4)]


def test_a_value_of_validation_is_the_very_object_of_before_in_an_epoch_without_validation(
    trainer_with: MakeTrainer,
) -> None:
    fresh: list[tuple[int, bool]] = []
    spy = compare("val_acc", "on_train_epoch_start", "on_train_epoch_end", fresh)
    trainer_with(spy, max_epochs=4, **SELDOM).fit(Tiny(validation_step=log("val_acc")))
    assert fresh == [(0, False), (1, True), (2, False), (3, True)]


def test_what_the_module_logs_in_on_train_epoch_end_comes_too_late_for_callbacks(trainer_with: MakeTrainer) -> None:
    fresh: list[tuple[int, bool]] = []
    spy = compare("acc", "on_train_epoch_start", "on_train_epoch_end", fresh)
    trainer_with(spy, max_epochs=3).fit(Tiny(on_train_epoch_end=log("acc")))
    assert fresh == [(epoch, False) for epoch in range(3)]


def test_what_the_module_logs_in_on_validation_epoch_end_comes_too_late_for_that_hook_of_callbacks(
    trainer_with: MakeTrainer,
) -> None:
    seen: list[Any] = []
    values = iter([0.25, 0.75])
    spy = on(on_validation_epoch_end=lambda trainer: seen.append(trainer.callback_metrics.get("val_acc")))
    trainer_with(spy, max_epochs=2).fit(Tiny(on_validation_epoch_end=log("val_acc", lambda: next(values))))
    assert seen == [None, 0.25]


def test_a_second_fit_begins_without_the_values_of_the_first(trainer_with: MakeTrainer) -> None:
    seen: list[Any] = []
    trainer = trainer_with(on(on_train_start=lambda trainer: seen.append(dict(trainer.callback_metrics))))
    model = Tiny(validation_step=log("val_acc"))
    trainer.fit(model)
    assert "val_acc" in trainer.callback_metrics
    trainer.fit_loop.max_epochs = 2
    trainer.fit(model)
    assert seen == [{}, {}]


# Values written by hand -----------------------------------------------------------------------------------------------


def writer(amounts: Iterator[float]) -> LambdaCallback:
    """Write the next amount as `pepr_e` at the end of validation, past `self.log`."""

    def write(trainer: Trainer) -> None:
        value = next(amounts)
        tensor = torch.tensor(value, dtype=torch.float64)
        trainer.callback_metrics.update(pepr_e=tensor)
        trainer.progress_bar_metrics.update(pepr_e=value)
        trainer.logged_metrics.update(pepr_e=tensor)

    return on(on_validation_end=write)


@every_schedule
def test_early_stopping_and_checkpoints_see_what_is_written_in_on_validation_end_in_that_epoch(
    trainer_with: MakeTrainer, tmp_path: Path, schedule: str
) -> None:
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
def test_what_is_written_in_on_validation_end_survives_until_the_next_validation_and_the_end_of_the_fit(
    trainer_with: MakeTrainer, schedule: str
) -> None:
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


def test_self_log_rounds_to_float32_what_is_written_by_hand_keeps_in_double(trainer_with: MakeTrainer) -> None:
    trainer = trainer_with(writer(iter([16777217.0])))
    trainer.fit(Tiny(validation_step=log("val_acc", 16777217.0)))
    assert int(trainer.callback_metrics["val_acc"]) == 16777216
    assert int(trainer.callback_metrics["pepr_e"]) == 16777217


# The step of `self.log` -----------------------------------------------------------------------------------------------


@every_schedule
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("hook", ["validation_step", "on_validation_epoch_end"])
def test_validation_metrics_are_logged_at_the_batches_that_stepped_by_on_validation_end(
    trainer_with: MakeTrainer, schedule: str, accumulate: int, hook: str
) -> None:
    steps: list[int] = []
    logger = ListLogger()
    spy = on(on_validation_end=lambda trainer: steps.append(trainer.fit_loop.epoch_loop._batches_that_stepped))
    options = {**SCHEDULES[schedule], "accumulate_grad_batches": accumulate}
    trainer_with(spy, logger=logger, max_epochs=4, **options).fit(Tiny(**{hook: log("val_acc")}))
    assert logger.steps_of("val_acc") == steps
    assert len(steps) == len(VALIDATED[schedule])


@every_schedule
@pytest.mark.parametrize("accumulate", [1, 3])
def test_training_metrics_are_logged_one_below_the_batches_that_stepped_by_on_train_epoch_end(
    trainer_with: MakeTrainer, schedule: str, accumulate: int
) -> None:
    steps: list[int] = []
    logger = ListLogger()
    spy = on(on_train_epoch_end=lambda trainer: steps.append(trainer.fit_loop.epoch_loop._batches_that_stepped - 1))
    options = {**SCHEDULES[schedule], "accumulate_grad_batches": accumulate}
    model = Tiny(training_step=log("acc", on_step=False, on_epoch=True))
    trainer_with(spy, logger=logger, max_epochs=4, **options).fit(model)
    assert logger.steps_of("acc") == steps
    assert len(steps) == 4


def test_the_validation_at_the_end_of_an_epoch_is_logged_at_the_step_of_its_training_metrics(
    trainer_with: MakeTrainer,
) -> None:
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


# Validations that are not part of training ----------------------------------------------------------------------------


def test_the_sanity_check_fires_the_validation_hooks_with_sanity_checking_set(trainer_with: MakeTrainer) -> None:
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


def test_trainer_validate_fires_the_validation_hooks_but_none_of_fitting(trainer_with: MakeTrainer) -> None:
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


# Those who act on a score ---------------------------------------------------------------------------------------------


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
def test_early_stopping_checks_where_its_check_on_train_epoch_end_says_after_setup(
    trainer_with: MakeTrainer, schedule: str, asked: bool | None
) -> None:
    stop = EarlyStopping("val_acc", mode="max", check_on_train_epoch_end=asked, strict=False)
    acted, said = acts_in(stop, lambda: float(stop.best_score)), []
    note = on(on_fit_start=lambda trainer: said.append(stop._check_on_train_epoch_end))
    trainer_with(note, stop, max_epochs=2, **SCHEDULES[schedule]).fit(rising())
    assert said == [SCHEDULES[schedule] == DAILY if asked is None else asked]
    assert acted == WHERE[said[0]]


@every_schedule
@pytest.mark.parametrize("asked", [None, True, False])
def test_model_checkpoint_saves_where_its_should_save_on_train_epoch_end_says(
    trainer_with: MakeTrainer, tmp_path: Path, schedule: str, asked: bool | None
) -> None:
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


# How a fit ends badly -------------------------------------------------------------------------------------------------


def fail(error: BaseException) -> Do:
    def raises(module: LightningModule) -> None:
        raise error

    return raises


@pytest.mark.parametrize("hook", ["training_step", "validation_step", "on_validation_epoch_end"])
def test_an_exception_calls_on_exception_and_neither_on_train_end_nor_teardown(
    trainer_with: MakeTrainer, hook: str
) -> None:
    spy = Spy()
    with pytest.raises(ZeroDivisionError):
        trainer_with(spy).fit(Tiny(**{hook: fail(ZeroDivisionError())}))
    assert of(spy.calls, "on_exception", "on_train_end", "on_fit_end", "teardown") == ["spy.on_exception"]
    assert spy.calls[-1] == "spy.on_exception"


def test_an_exception_of_a_callback_s_setup_calls_on_exception_too(trainer_with: MakeTrainer) -> None:
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


def test_a_checkpoint_on_exception_takes_states_after_the_first_callback_s_on_exception(
    trainer_with: MakeTrainer, tmp_path: Path
) -> None:
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


# Resuming -------------------------------------------------------------------------------------------------------------


def checkpoint(trainer_with: MakeTrainer, path: Path, *callbacks: Callback, hook: str = "on_train_end") -> Path:
    """Fit for one epoch, and save in a hook."""
    trainer_with(*callbacks, on(**{hook: lambda trainer: trainer.save_checkpoint(path)})).fit(Tiny())
    return path


def test_resuming_calls_setup_then_load_state_dict_then_on_fit_start(trainer_with: MakeTrainer, tmp_path: Path) -> None:
    path = checkpoint(trainer_with, tmp_path / "a.ckpt", Spy())
    spy = Spy()
    trainer_with(spy, max_epochs=2).fit(Tiny(), ckpt_path=path)
    assert spy.calls[:4] == ["spy.setup", "spy.load_state_dict", "spy.on_fit_start", "spy.on_train_start"]
    assert "spy.on_train_epoch_start" in spy.calls


def test_strategies_that_restore_after_setup_call_load_state_dict_after_on_fit_start(
    trainer_with: MakeTrainer, tmp_path: Path
) -> None:
    class Late(SingleDeviceStrategy):  # as FSDP and DeepSpeed do
        restore_checkpoint_after_setup = True

    path = checkpoint(trainer_with, tmp_path / "a.ckpt", Spy())
    spy = Spy()
    trainer_with(spy, max_epochs=2, strategy=Late()).fit(Tiny(), ckpt_path=path)
    assert spy.calls[:4] == ["spy.setup", "spy.on_fit_start", "spy.load_state_dict", "spy.on_train_start"]


def test_resuming_within_an_epoch_calls_on_train_start_but_no_on_train_epoch_start(
    trainer_with: MakeTrainer, tmp_path: Path
) -> None:
    save = ModelCheckpoint(tmp_path, "within", every_n_train_steps=2, save_top_k=-1)
    trainer_with(save, limit_train_batches=3).fit(Tiny())
    spy = Spy()
    trainer_with(spy, limit_train_batches=3).fit(Tiny(), ckpt_path=tmp_path / "within.ckpt")
    hooks = ("on_train_start", "on_train_epoch_start", "on_train_batch_end", "on_train_epoch_end")
    assert of(spy.calls, *hooks) == ["spy.on_train_start", "spy.on_train_batch_end", "spy.on_train_epoch_end"]


def test_testing_a_checkpoint_restores_callbacks_too(trainer_with: MakeTrainer, tmp_path: Path) -> None:
    path = checkpoint(trainer_with, tmp_path / "a.ckpt", Spy())
    spy = Spy()
    trainer_with(spy).test(Tiny(), ckpt_path=path)
    assert spy.calls[:3] == ["spy.setup", "spy.load_state_dict", "spy.on_test_start"]


def test_an_empty_state_is_not_loaded(trainer_with: MakeTrainer, tmp_path: Path) -> None:
    class Empty(Spy):
        def state_dict(self) -> dict[str, Any]:
            return {}

    path = checkpoint(trainer_with, tmp_path / "a.ckpt", Empty())
    spy = Empty()
    trainer_with(spy, max_epochs=2).fit(Tiny(), ckpt_path=path)
    assert "spy.load_state_dict" not in spy.calls


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: float = 0.0


class Holder(Callback):
    """Has one value as its state."""

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.value = state_dict["value"]


def test_callback_state_of_plain_types_resumes(trainer_with: MakeTrainer, tmp_path: Path) -> None:
    plain = {"int": 2**60, "float": 0.1, "str": "é", "none": None, "bool": True, "list": [{"tuple": (1, 2.5)}]}
    path = checkpoint(trainer_with, tmp_path / "a.ckpt", Holder(plain))
    holder = Holder()
    trainer_with(holder, max_epochs=2).fit(Tiny(), ckpt_path=path)
    assert holder.value == plain


@pytest.mark.parametrize("value", [Colour.RED, Point(), Path("a"), np.float64(0.5)], ids=lambda v: type(v).__name__)
def test_callback_state_of_other_types_fails_to_resume(trainer_with: MakeTrainer, tmp_path: Path, value: Any) -> None:
    path = checkpoint(trainer_with, tmp_path / "a.ckpt", Holder(value))
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        trainer_with(Holder(), max_epochs=2).fit(Tiny(), ckpt_path=path)


def test_two_stateful_callbacks_of_one_class_need_differing_state_keys(trainer_with: MakeTrainer) -> None:
    trainer_with(Spy("a"), Spy("b"))
    with pytest.raises(RuntimeError, match="state_key"):
        trainer_with(Spy("a"), Spy("a"))


def test_two_stateful_callbacks_of_one_class_get_each_its_own_state(trainer_with: MakeTrainer, tmp_path: Path) -> None:
    path = checkpoint(trainer_with, tmp_path / "a.ckpt", Spy("a"), Spy("b"))
    a, b = Spy("a"), Spy("b")  # each asserts that what it loads is its own
    trainer_with(b, a, max_epochs=2).fit(Tiny(), ckpt_path=path)
    assert "a.load_state_dict" in a.calls
    assert "b.load_state_dict" in b.calls


def test_the_state_key_is_evaluated_at_every_hook(trainer_with: MakeTrainer) -> None:
    asked: list[int] = []

    class Keyed(Callback):
        @property
        def state_key(self) -> str:
            asked.append(1)
            return "keyed"

    trainer_with(Keyed()).fit(Tiny())
    assert len(asked) > 2 * BATCHES


# Where things go ------------------------------------------------------------------------------------------------------


def test_log_dir_is_the_default_root_dir_without_a_logger(trainer_with: MakeTrainer, tmp_path: Path) -> None:
    assert trainer_with().log_dir == str(tmp_path) == trainer_with().default_root_dir


def test_log_dir_is_the_version_s_folder_with_a_csv_logger(trainer_with: MakeTrainer, tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="runs")
    assert trainer_with(logger=logger).log_dir == logger.log_dir == os.path.join(tmp_path, "runs", "version_0")


def test_log_dir_with_another_logger_is_its_save_dir_alone_but_checkpoints_go_below_name_and_version(
    trainer_with: MakeTrainer, tmp_path: Path
) -> None:
    logger = ListLogger()
    logger.save_dir = str(tmp_path)
    save = ModelCheckpoint()
    trainer = trainer_with(save, logger=logger)
    trainer.fit(Tiny())
    assert trainer.log_dir == str(tmp_path)
    assert getattr(logger, "log_dir", None) is None
    assert save.dirpath == os.path.join(tmp_path, "listed", "version_0", "checkpoints")


def test_log_dir_is_a_collective(trainer_with: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_with()
    monkeypatch.setattr(trainer.strategy, "broadcast", lambda obj: f"{obj} from rank 0")
    assert str(trainer.log_dir).endswith(" from rank 0")


def test_the_size_of_a_batch_is_the_first_dimension_of_a_tensor_in_it_and_without_one_an_error() -> None:
    from lightning.pytorch.utilities.data import extract_batch_size

    @dataclass
    class Batch:
        image: torch.Tensor

    for batch in (torch.ones(3, 2), [torch.ones(3, 2)], {"x": torch.ones(3)}, Batch(torch.ones(3))):
        assert extract_batch_size(batch) == 3
    with pytest.raises(Exception, match="could not infer the batch_size"):
        extract_batch_size(object())


# The other package ----------------------------------------------------------------------------------------------------


def test_a_lightning_pytorch_callback_works_in_a_pytorch_lightning_trainer(trainer_with: MakeTrainer) -> None:
    pl = pytest.importorskip("pytorch_lightning")
    calls: list[str] = []

    class Other(pl.LightningModule):  # type: ignore[misc, name-defined]
        training_step, validation_step = Tiny.training_step, Tiny.validation_step
        configure_optimizers = Tiny.configure_optimizers
        train_dataloader, val_dataloader = Tiny.train_dataloader, Tiny.val_dataloader

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 1)

        def _in(self, hook: str) -> None:
            if hook == "validation_step":
                self.log("val_acc", 0.5)

    fresh: list[tuple[int, bool]] = []
    stop = pl.callbacks.EarlyStopping("pepr_e", mode="max", stopping_threshold=0.15)
    trainer = trainer_with(
        stop,
        First("first", calls),
        compare("val_acc", "on_validation_start", "on_validation_end", fresh),
        writer(iter([0.1, 0.2, 0.3])),
        make=pl.Trainer,
        max_epochs=3,
    )
    trainer.fit(Other())
    assert stop._check_on_train_epoch_end is True
    assert stop.stopped_epoch == 1
    assert fresh == [(0, True), (1, True)]
    assert trainer.callbacks[0].state_key == "first"
    assert of(calls, "setup", "on_train_end", "teardown") == ["first.setup", "first.on_train_end", "first.teardown"]
