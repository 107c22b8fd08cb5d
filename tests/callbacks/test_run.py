"""A run over its fits: what goes on, what begins anew, what is kept when it is cut off."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from lightning_pepr import PePRCallback, RunRecord
from lightning_pepr.callbacks._lightning import callbacks_of
from lightning_pepr.callbacks._run import trainable_parameters
from lightning_pepr.errors import PePRError
from tests.helpers.fits import EPOCH_UJ, SPACE, fit, record_of, uj
from tests.helpers.training import TRAIN_UJ, VALIDATE_UJ, Worker, WorkMeter, trainer


def test_fit_again_on_the_same_model_and_trainer_goes_on_counting(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    run = trainer(callback, root=tmp_path, max_epochs=1)
    run.fit(module)
    first = record_of(callback).run_id
    run.fit_loop.max_epochs = 3
    run.fit(module)
    assert record_of(callback).run_id == first
    assert uj(RunRecord.load(tmp_path)) == 3 * EPOCH_UJ
    assert record_of(callback).costs["data_samples"].value == 3 * 14
    assert [e.epoch for e in record_of(callback).epochs] == [0, 1, 2]


@pytest.mark.parametrize(
    ("when", "steps", "samples"),
    [
        ({"every_n_train_steps": 2}, 2, 44),  # Lightning begins the epoch's batches anew, and the small one is the last
        ({"every_n_train_steps": 6}, 6, 44),
        ({"every_n_epochs": 1, "save_on_train_epoch_end": True}, 4, 42),
    ],
)
def test_resume_goes_on_from_the_checkpoint_and_counts_nothing_twice(
    tmp_path: Path, when: dict[str, Any], steps: int, samples: int
) -> None:
    saving = ModelCheckpoint(tmp_path / "ckpt", **when, save_top_k=-1, filename="{step}")
    module = Worker(fail_at=steps + 1, error=RuntimeError("power cut"))
    first = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    with pytest.raises(RuntimeError, match="power cut"):
        trainer(first, saving, root=tmp_path / "a", enable_checkpointing=True).fit(module)
    cut = RunRecord.load(tmp_path / "a")
    assert cut.status == "failed"
    assert cut.error == "RuntimeError: power cut"
    assert uj(cut) == (steps + 1) * TRAIN_UJ + (steps // 4) * 3 * VALIDATE_UJ, "what was spent is kept"

    again = Worker()
    second = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(again))
    trainer(second, root=tmp_path / "b").fit(again, ckpt_path=str(tmp_path / "ckpt" / f"step={steps}.ckpt"))
    whole = RunRecord.load(tmp_path / "b")
    assert whole.run_id == cut.run_id, "it is the same run"
    assert uj(whole) == 3 * EPOCH_UJ, "as if it had never stopped"
    assert whole.costs["data_samples"].value == samples
    assert [e.epoch for e in whole.epochs] == [0, 1, 2]
    assert whole.status == "finished"
    assert whole.error == ""


def test_a_checkpoint_loads_without_unpickling_classes(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path, filename="last")
    callback = fit(Worker(), tmp_path, checkpoint, enable_checkpointing=True)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"][callback.state_key]
    assert state["run_id"] == record_of(callback).run_id
    assert state["evaluations"].count("\n") == 3


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_before_and_between_fits_work(tmp_path: Path, duplicate: Any) -> None:
    callback = duplicate(PePRCallback("val_acc", space=SPACE))
    trainer(callback, root=tmp_path / "a", max_epochs=1).fit(Worker())
    again = duplicate(callback)
    assert again.cost == callback.cost
    trainer(again, root=tmp_path / "b", max_epochs=1).fit(Worker())
    assert RunRecord.load(tmp_path / "b").run_id != callback.run.run_id


def test_an_exception_keeps_what_was_measured_and_closes_the_meter(tmp_path: Path) -> None:
    module = Worker(fail_at=5, error=ValueError("bad batch"))
    callback = PePRCallback("val_acc", space=SPACE)
    with pytest.raises(ValueError, match="bad batch"):
        trainer(callback, root=tmp_path).fit(module)
    run = RunRecord.load(tmp_path)
    assert (run.status, run.error) == ("failed", "ValueError: bad batch")
    assert len(run.epochs) == 1
    total, evaluated = run.costs["energy_kwh"].value, run.epochs[0].cost.energy_kwh
    assert total is not None
    assert evaluated is not None
    assert total > evaluated
    assert not run.costs["energy_kwh"].lower_bound, "nothing was lost on one rank"
    assert callback._run is not None
    assert not callback._run.tracker.is_open


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    module = Worker(fail_at=5, error=KeyboardInterrupt())
    with pytest.raises(SystemExit):
        fit(module, tmp_path)
    run = RunRecord.load(tmp_path)
    assert run.status == "interrupted"
    assert uj(run) == EPOCH_UJ + TRAIN_UJ


def test_a_meter_that_raises_does_not_harm_training(tmp_path: Path) -> None:
    class Broken(WorkMeter):
        def read(self, wait: bool = True) -> Any:
            if self.module.work_uj > 5 * TRAIN_UJ:
                raise OSError("the cable is out")
            return super().read(wait)

    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, meter=Broken(module))
    trainer(callback, root=tmp_path, num_sanity_val_steps=0).fit(module)
    entry = RunRecord.load(tmp_path).costs["energy_kwh"]
    assert entry.value == EPOCH_UJ / 3.6e12, "what was measured until then"
    assert entry.lower_bound
    assert "OSError: the cable is out" in entry.reason


def test_a_checkpoint_resumes_without_the_ends_of_epochs(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    trainer(callback, root=tmp_path / "a", max_epochs=2).fit(module)
    state = callback.state_dict()
    del state["ends"]

    class Resuming(PePRCallback):
        def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            self.load_state_dict(state)  # as strategies do that restore after setup
            super().on_fit_start(trainer, pl_module)

    module = Worker()
    resumed = Resuming("val_acc", space=SPACE, meter=WorkMeter(module))
    trainer(resumed, root=tmp_path / "b", max_epochs=1).fit(module)
    record = RunRecord.load(tmp_path / "b")
    assert record.run_id == state["run_id"]
    assert len(record.epochs) == 3
    assert uj(record) == 3 * EPOCH_UJ


def test_a_callback_that_comes_after_setup_says_so(tmp_path: Path) -> None:
    class Late(Callback):
        def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            callbacks_of(trainer).append(PePRCallback("val_acc"))

    with pytest.raises(PePRError, match="added to a fit that had begun"):
        trainer(Late(), root=tmp_path).fit(Worker())


def test_a_model_is_called_by_its_name_its_hyperparameter_or_its_class(tmp_path: Path) -> None:
    class Named(Worker):
        model_name = "resnet18"

    class WithHparams(Worker):
        def __init__(self, arch: str) -> None:
            super().__init__()
            self.save_hyperparameters()

    names = [record_of(fit(m, tmp_path, max_epochs=1)).model for m in (Named(), WithHparams("vgg11"), Worker())]
    assert names == ["resnet18", "vgg11", "Worker"]


def test_lazy_parameters_are_none_never_0(tmp_path: Path) -> None:
    class Lazy(Worker):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.LazyLinear(1)

    assert trainable_parameters(Lazy()) is None
    assert trainable_parameters(Worker()) == 3
