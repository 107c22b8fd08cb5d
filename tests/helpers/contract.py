"""Callbacks, modules and loggers that keep what Lightning does with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.loggers.logger import Logger
from torch import nn
from torch.utils.data import DataLoader

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


def batches(count: int) -> DataLoader[Any]:
    ones: Any = torch.ones(count, 1)
    return DataLoader(ones)


class Tiny(LightningModule):
    """One weight; keeps the hooks that it has seen in `calls`, and does in each what `do` says."""

    def __init__(self, calls: list[str] | None = None, /, **do: Do) -> None:
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
        return batches(BATCHES)

    def val_dataloader(self) -> Any:
        return batches(2)

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


def callbacks_of(trainer: Trainer) -> list[Callback]:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return callbacks


class First(Spy):
    """Puts itself in front, by a new list, while Lightning walks over the old one."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.calls.append(f"{self.name}.setup")
        others = [callback for callback in callbacks_of(trainer) if callback is not self]
        trainer.callbacks = [self, *others]  # type: ignore[attr-defined]


def compare(key: str, start: str, end: str, fresh: list[tuple[int, bool]]) -> LambdaCallback:
    """Note whether a key holds another object at `end` than it did at `start`."""
    before: list[Any] = [None]

    def remember(trainer: Trainer) -> None:
        before[0] = trainer.callback_metrics.get(key)

    def note(trainer: Trainer) -> None:
        fresh.append((trainer.current_epoch, trainer.callback_metrics.get(key) is not before[0]))

    return on(**{start: remember, end: note})


def writer(amounts: Iterator[float]) -> LambdaCallback:
    """Write the next amount as `pepr_e` at the end of validation, past `self.log`."""

    def write(trainer: Trainer) -> None:
        value = next(amounts)
        tensor = torch.tensor(value, dtype=torch.float64)
        trainer.callback_metrics.update(pepr_e=tensor)
        trainer.progress_bar_metrics.update(pepr_e=value)
        trainer.logged_metrics.update(pepr_e=tensor)

    return on(on_validation_end=write)
