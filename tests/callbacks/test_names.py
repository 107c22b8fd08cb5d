"""What a run is called and compared within, by the callback's arguments and by what the module says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from lightning_pepr import PePRCallback, RunRecord, rank
from lightning_pepr.callbacks._run import plain_hyperparameters
from tests.helpers.training import Worker, WorkMeter, trainer


class Tuned(Worker):
    def __init__(self, lr: float = 0.1, **rest: Any) -> None:
        super().__init__(**rest)
        self.save_hyperparameters("lr")


def fit(folder: Path, module: Worker, *others: Callback, **arguments: Any) -> RunRecord:
    callback = PePRCallback("val_acc", meter=WorkMeter(module), **arguments)
    trainer(callback, *others, root=folder, max_epochs=1).fit(module)
    return RunRecord.load(folder)


def test_arguments_are_in_the_record_and_tell_runs_apart(tmp_path: Path) -> None:
    for augmented in (True, False):
        settings = {"augmented": augmented, "seed": 1}
        run = fit(tmp_path / str(augmented), Worker(), name="small", group="spheres", settings=settings)
        assert (run.model, run.named, run.group, run.settings) == ("small", True, "spheres", settings)
    assert sorted(rank(tmp_path)["model"]) == ["small (augmented=False)", "small (augmented=True)"]


def test_hyperparameters_tell_runs_of_a_class_apart(tmp_path: Path) -> None:
    for lr in (0.1, 0.2):
        run = fit(tmp_path / str(lr), Tuned(lr))
        assert (run.model, run.named, run.hyperparameters) == ("Tuned", False, {"lr": lr})
    assert sorted(rank(tmp_path)["model"]) == ["Tuned (lr=0.1)", "Tuned (lr=0.2)"]


def test_hyperparameters_that_cannot_be_read_end_no_training(tmp_path: Path) -> None:
    class Missing(dict[str, Any]):
        def items(self) -> Any:
            raise ValueError("??? is mandatory")

        def __reduce__(self) -> Any:  # Lightning pickles hyperparameters
            return dict, ()

    class Broken(Worker):
        hparams: ClassVar[dict[str, Any]] = {"lr": 0.1, "data": Missing()}

    with pytest.warns(UserWarning, match="hyperparameters cannot be read.*is mandatory"):
        run = fit(tmp_path, Broken())
    assert (run.status, run.hyperparameters) == ("finished", {"lr": 0.1})


def test_hyperparameters_are_plain() -> None:
    class Owner:
        hparams: ClassVar[dict[str, Any]] = {
            "lr": np.float64(0.5),
            "loss": torch.nn.L1Loss(),
            "kind": torch.nn.L1Loss,
            "sizes": (3, [4]),
            "deep": {"a": {"b": {"c": {"d": 1}}}},
            "long": "x" * 300,
            "none": None,
        }

    assert plain_hyperparameters(Owner(), None) == {
        "lr": 0.5,
        "loss": "L1Loss",
        "kind": "L1Loss",
        "sizes": [3, [4]],
        "deep": {"a": {"b": {"c": "dict"}}},
        "long": "x" * 200,
        "none": None,
    }


@pytest.mark.parametrize("first", [True, False])
def test_a_name_that_another_callback_sets_in_setup_counts(first: bool, tmp_path: Path) -> None:
    class Namer(Callback):
        def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
            pl_module.model_name = "given late"

    module = Worker()
    callbacks = [PePRCallback("val_acc", meter=WorkMeter(module)), Namer()]
    trainer(*(callbacks[::-1] if first else callbacks), root=tmp_path, max_epochs=1).fit(module)
    assert RunRecord.load(tmp_path).model == "given late"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": 3}, "name is 3; expected a text"),
        ({"group": 3}, "group is 3; expected a text"),
        ({"settings": "lr"}, "settings is 'lr'; expected names and plain values"),
        ({"settings": {"x": {1}}}, "expected plain values, as JSON has them"),
    ],
)
def test_what_a_record_cannot_hold_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PePRCallback("val_acc", **arguments)
