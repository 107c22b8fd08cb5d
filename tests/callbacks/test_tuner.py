"""Lightning's Tuner and its callbacks: what they search is no cost of the run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, Callback, LearningRateFinder
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.tuner.tuning import Tuner
from torch.utils.data import DataLoader, TensorDataset

from lightning_pepr import ModelSpace, PePRCallback, RunRecord
from tests.helpers.fits import EPOCH_UJ, check_stages, record_of
from tests.helpers.training import TEST_UJ, TRAIN_UJ, VALIDATE_UJ, Worker, WorkMeter, trainer

pytestmark = pytest.mark.filterwarnings("ignore")
SPACE = ModelSpace.budget(energy_kwh=1e-5)


class Tunable(Worker):
    def __init__(self) -> None:
        super().__init__()
        self.lr, self.batch_size = 1e-3, 4

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(torch.ones(14, 2)), batch_size=self.batch_size)


def check_tuned(module: Tunable, run: RunRecord, epochs: int = 3) -> None:
    """The run has counted itself alone."""
    batches = -(-14 // module.batch_size)
    check_stages(run, train=epochs * batches * TRAIN_UJ, validate=epochs * 3 * VALIDATE_UJ)
    assert run.costs["energy_kwh"].value == epochs * (batches * TRAIN_UJ + 3 * VALIDATE_UJ) / 3.6e12
    assert run.costs["data_samples"].value == epochs * 14
    assert [(e.epoch, e.step) for e in run.epochs] == [(n, (n + 1) * batches - 1) for n in range(epochs)]
    assert run.status == "finished"


SEARCHES: dict[str, Any] = {
    "lr_find": lambda tuner, module: tuner.lr_find(module, num_training=12),
    "power": lambda tuner, module: tuner.scale_batch_size(module, init_val=2, max_trials=2),
    "binsearch": lambda tuner, module: tuner.scale_batch_size(module, mode="binsearch", init_val=2, max_trials=2),
    "of validation": lambda tuner, module: tuner.scale_batch_size(module, method="validate", max_trials=2),
}


@pytest.mark.parametrize("search", SEARCHES)
def test_what_the_tuner_searches_is_no_run(tmp_path: Path, search: str) -> None:
    module = Tunable()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    run = trainer(callback, root=tmp_path, logger=CSVLogger(tmp_path))
    SEARCHES[search](Tuner(run), module)
    assert module.work_uj > 0
    assert callback.run is None
    assert not list(tmp_path.rglob("*.json"))
    run.fit(module)
    check_tuned(module, RunRecord.load(str(run.log_dir)))
    assert len(list(tmp_path.rglob("*.json"))) == 1, "only its own record"


def test_all_searches_one_after_the_other_and_between_fits(tmp_path: Path) -> None:
    module = Tunable()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    run = trainer(callback, root=tmp_path)
    for search in SEARCHES.values():
        search(Tuner(run), module)
    run.fit(module)
    first = record_of(callback).to_dict()
    check_tuned(module, record_of(callback))
    SEARCHES["lr_find"](Tuner(run), module)
    assert record_of(callback).to_dict() == first, "a search after a fit changes nothing"
    run.fit_loop.max_epochs = 4
    run.fit(module)
    assert record_of(callback).run_id == first["run_id"]
    check_tuned(module, RunRecord.load(tmp_path), epochs=4)


def test_a_search_after_a_failed_fit_leaves_it_failed(tmp_path: Path) -> None:
    module = Tunable()
    module.fail_at, module.error = 2, RuntimeError("out of patience")
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    run = trainer(callback, root=tmp_path)
    with pytest.raises(RuntimeError, match="out of patience"):
        run.fit(module)
    module.error = None
    SEARCHES["power"](Tuner(run), module)
    assert (record_of(callback).status, record_of(callback).error) == ("failed", "RuntimeError: out of patience")
    check_stages(record_of(callback), train=2 * TRAIN_UJ)


def test_a_test_after_a_search(tmp_path: Path) -> None:
    module = Tunable()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    run = trainer(callback, root=tmp_path)
    run.fit(module)
    Tuner(run).scale_batch_size(module, method="test", max_trials=2)
    run.test(module, verbose=False)
    record = RunRecord.load(tmp_path)
    assert record.test_performance == 0.6875
    assert record.stages.pop("test").energy_uj == 3 * TEST_UJ
    check_tuned(module, record)


class AtMilestones(LearningRateFinder):
    """Searches again in a later epoch, as Lightning's documentation shows."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None: ...

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 1:
            self.lr_find(trainer, pl_module)


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize(
    "finder",
    [
        lambda: LearningRateFinder(num_training_steps=12),
        lambda: BatchSizeFinder(init_val=2, max_trials=2),
    ],
)
def test_a_search_by_a_callback_is_no_cost(tmp_path: Path, finder: Any, order: str) -> None:
    module = Tunable()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    callbacks = [callback, finder()] if order == "before" else [finder(), callback]
    trainer(*callbacks, root=tmp_path).fit(module)
    check_tuned(module, RunRecord.load(tmp_path))
    assert module.work_uj > 3 * EPOCH_UJ, "though it has worked"


def test_a_search_in_a_later_epoch_is_no_cost_either(tmp_path: Path) -> None:
    module = Tunable()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    trainer(callback, AtMilestones(num_training_steps=3), root=tmp_path, max_epochs=2).fit(module)
    run = RunRecord.load(tmp_path)
    check_stages(run, train=2 * 4 * TRAIN_UJ, validate=2 * 3 * VALIDATE_UJ)
    assert run.costs["data_samples"].value == 2 * 14


class Failing(Tunable):
    """Raises in the steps of a search. After that Lightning does not put `trainer.callbacks` back: no hook comes."""

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        raise RuntimeError("out of memory")


FAILED_SEARCHES: dict[str, Any] = {
    "lr_find": lambda run, module: SEARCHES["lr_find"](Tuner(run), module),
    "power": lambda run, module: SEARCHES["power"](Tuner(run), module),
    "callback": lambda run, module: run.fit(module),
}


def fail_to_search(search: str, root: Path) -> tuple[PePRCallback, list[str]]:
    """The callback of a search that has failed, and the threads that were left, which are ended then."""
    callback = PePRCallback("val_acc", space=SPACE)
    finder = [LearningRateFinder(num_training_steps=12)] if search == "callback" else []
    run, module = trainer(callback, *finder, root=root), Failing()
    with pytest.raises(RuntimeError, match="out of memory"):
        FAILED_SEARCHES[search](run, module)
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("pepr-")]
    callback.teardown(run, module, "fit")
    return callback, left


@pytest.mark.parametrize("search", FAILED_SEARCHES)
def test_a_search_that_fails_leaves_no_run_and_no_thread(tmp_path: Path, search: str) -> None:
    _, left = fail_to_search(search, tmp_path)
    assert left == []
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("search", FAILED_SEARCHES)
def test_a_fit_after_a_search_that_failed_is_as_any_other(tmp_path: Path, search: str) -> None:
    callback, _ = fail_to_search(search, tmp_path)
    trainer(callback, root=tmp_path).fit(Tunable())
    assert [RunRecord.load(path).status for path in tmp_path.rglob("pepr*.json")] == ["finished"]
    assert record_of(callback).costs["data_samples"].value == 3 * 14


class RollBack(Callback):
    """Takes the training back by two batches, once."""

    done = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        path = Path(trainer.default_root_dir) / "saved.ckpt"
        if trainer.global_step == 1:
            trainer.save_checkpoint(path)
        if trainer.global_step == 3 and not self.done:
            self.done = True
            trainer._checkpoint_connector._restore_modules_and_callbacks(path)


def test_what_was_trained_and_taken_back_has_cost_something(tmp_path: Path) -> None:
    module = Tunable()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    trainer(callback, RollBack(), root=tmp_path, max_epochs=1).fit(module)
    assert record_of(callback).costs["energy_kwh"].value == EPOCH_UJ / 3.6e12
    assert record_of(callback).costs["data_samples"].value == 14
