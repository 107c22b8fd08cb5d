"""What a run is called and compared within, by the callback's arguments and by what the module says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback

from lightning_pepr import PePRCallback, RunRecord, rank
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
