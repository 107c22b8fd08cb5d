"""What of a callback is in a checkpoint, and when it comes back."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import SingleDeviceStrategy

from tests.helpers.contract import (
    BATCHES,
    MakeTrainer,
    Spy,
    Tiny,
    of,
    on,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers and loggers


def checkpoint(trainer_with: MakeTrainer, path: Path, *callbacks: Callback, hook: str = "on_train_end") -> Path:
    """Fit for one epoch, and save in a hook."""
    trainer_with(*callbacks, on(**{hook: lambda trainer: trainer.save_checkpoint(path)})).fit(Tiny())
    return path


def test_resuming_restores_between_setup_and_on_fit_start(
    trainer_with: MakeTrainer,
    tmp_path: Path,
) -> None:
    """The order is `setup`, `load_state_dict`, `on_fit_start`."""
    path = checkpoint(trainer_with, tmp_path / "a.ckpt", Spy())
    spy = Spy()
    trainer_with(spy, max_epochs=2).fit(Tiny(), ckpt_path=path)
    assert spy.calls[:4] == ["spy.setup", "spy.load_state_dict", "spy.on_fit_start", "spy.on_train_start"]
    assert "spy.on_train_epoch_start" in spy.calls


def test_strategies_that_restore_after_setup(trainer_with: MakeTrainer, tmp_path: Path) -> None:
    """They call `load_state_dict` after `on_fit_start`."""

    class Late(SingleDeviceStrategy):  # as FSDP and DeepSpeed do
        restore_checkpoint_after_setup = True

    path = checkpoint(trainer_with, tmp_path / "a.ckpt", Spy())
    spy = Spy()
    trainer_with(spy, max_epochs=2, strategy=Late()).fit(Tiny(), ckpt_path=path)
    assert spy.calls[:4] == ["spy.setup", "spy.on_fit_start", "spy.load_state_dict", "spy.on_train_start"]


def test_resuming_within_an_epoch(trainer_with: MakeTrainer, tmp_path: Path) -> None:
    """It calls `on_train_start`, but no `on_train_epoch_start`."""
    save = ModelCheckpoint(tmp_path, "within", every_n_train_steps=2, save_top_k=-1)
    trainer_with(save, limit_train_batches=3).fit(Tiny())
    spy = Spy()
    trainer_with(spy, limit_train_batches=3).fit(Tiny(), ckpt_path=tmp_path / "within.ckpt")
    hooks = ("on_train_start", "on_train_epoch_start", "on_train_batch_end", "on_train_epoch_end")
    assert of(spy.calls, *hooks) == ["spy.on_train_start", "spy.on_train_batch_end", "spy.on_train_epoch_end"]


def test_testing_a_checkpoint_restores_callbacks(trainer_with: MakeTrainer, tmp_path: Path) -> None:
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
def test_state_of_other_types_fails_to_resume(
    trainer_with: MakeTrainer,
    tmp_path: Path,
    value: Any,
) -> None:
    path = checkpoint(trainer_with, tmp_path / "a.ckpt", Holder(value))
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        trainer_with(Holder(), max_epochs=2).fit(Tiny(), ckpt_path=path)


def test_two_of_a_class_need_differing_state_keys(trainer_with: MakeTrainer) -> None:
    """Two stateful callbacks of one class with one key are an error."""
    trainer_with(Spy("a"), Spy("b"))
    with pytest.raises(RuntimeError, match="state_key"):
        trainer_with(Spy("a"), Spy("a"))


def test_two_of_a_class_get_their_own_state(trainer_with: MakeTrainer, tmp_path: Path) -> None:
    """Two stateful callbacks of one class, by their keys."""
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
