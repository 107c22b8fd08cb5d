"""A test belongs to the run whose model it tests: of the fit before it, or of a checkpoint, in another process, too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_pepr import PePRCallback, RunRecord
from tests.helpers.fits import SPACE, fit
from tests.helpers.paths import ROOT
from tests.helpers.training import TEST_UJ, Worker, WorkMeter, trainer

SCRIPT = """
import sys
from lightning_pepr import PePRCallback
from tests.helpers.training import Worker, WorkMeter, trainer

if __name__ == "__main__":
    module = Worker()
    callback = PePRCallback("val_acc", meter=WorkMeter(module))
    options = {"strategy": "ddp", "devices": 2} if sys.argv[3:] else {}
    trainer(callback, root=sys.argv[2], **options).test(module, ckpt_path=sys.argv[1], verbose=False)
"""


def trained(folder: Path) -> Path:
    """The checkpoint of a finished run, in a folder below its record's."""
    fit(Worker(), folder, ModelCheckpoint(folder / "checkpoints", filename="last"), enable_checkpointing=True)
    return folder / "checkpoints" / "last.ckpt"


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_in_another_process(tmp_path: Path, ranks: int) -> None:
    path = trained(tmp_path / "run")
    before = RunRecord.load(tmp_path / "run")
    shutil.move(path, tmp_path / "last.ckpt")
    (tmp_path / "test.py").write_text(SCRIPT)
    command = [sys.executable, "test.py", "last.ckpt", "elsewhere", *(["2"] if ranks == 2 else [])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-4000:]
    after = RunRecord.load(tmp_path / "run")
    assert after.run_id == before.run_id
    assert (after.test_performance, after.test_samples) == (0.6875, 6)
    assert (after.status, after.cost, after.epochs) == (before.status, before.cost, before.epochs)
    assert sorted(path.name for path in tmp_path.rglob("pepr*.json")) == ["pepr.json"], "and no second record"


def test_beside_the_checkpoint_after_the_folder_was_moved(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    module = Worker()
    run = trainer(PePRCallback("val_acc", SPACE, meter=WorkMeter(module)), root=tmp_path / "other")
    run.test(module, ckpt_path=str(tmp_path / "moved" / "checkpoints" / "last.ckpt"), verbose=False)
    record = RunRecord.load(tmp_path / "moved")
    assert record.test_performance == 0.6875
    assert record.stages["test"].energy_uj == 3 * TEST_UJ


def test_by_another_monitor_and_a_prefix(tmp_path: Path) -> None:
    path = trained(tmp_path / "run")
    module = Worker()
    callback = PePRCallback("val_other", prefix="x_", test_monitor="test_acc", meter=WorkMeter(module))
    trainer(callback, root=tmp_path / "other").test(module, ckpt_path=str(path), verbose=False)
    record = RunRecord.load(tmp_path / "run")
    assert record.monitor == "val_acc"
    assert record.test_performance == 0.6875


def test_a_record_that_is_not_found_is_named(tmp_path: Path) -> None:
    path = trained(tmp_path / "run")
    run_id = RunRecord.load(tmp_path / "run").run_id
    (tmp_path / "run" / "pepr.json").unlink()
    module = Worker()
    run = trainer(PePRCallback("val_acc", SPACE, meter=WorkMeter(module)), root=tmp_path / "other")
    with pytest.warns(UserWarning, match=f"the record of run {run_id} is neither at .*run.* nor beside"):
        run.test(module, ckpt_path=str(path), verbose=False)
    assert not list(tmp_path.rglob("pepr*.json"))


def test_a_test_without_a_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    run = trainer(PePRCallback("val_acc", SPACE), root=tmp_path)
    with pytest.warns(UserWarning, match=r"nothing says which run .*trainer\.test\(…, ckpt_path=…\)"):
        run.test(Worker(), verbose=False)


class Configured(Worker):
    """Brings its callback with it, as a new one each time."""

    def configure_callbacks(self) -> Any:
        return [PePRCallback("val_acc", SPACE, meter=WorkMeter(self))]


def test_a_callback_of_configure_callbacks_is_made_anew_and_its_run_goes_on(tmp_path: Path) -> None:
    module: LightningModule = Configured()
    run = trainer(root=tmp_path, max_epochs=1)
    run.fit(module)
    first = RunRecord.load(tmp_path)
    run.test(module, verbose=False)
    tested = RunRecord.load(tmp_path)
    assert tested.run_id == first.run_id
    assert tested.test_performance == 0.6875
    run.fit_loop.max_epochs = 2
    run.fit(module)
    again = RunRecord.load(tmp_path)
    assert again.run_id == first.run_id
    assert (len(again.epochs), again.costs["data_samples"].value) == (2, 28)
    assert [path.name for path in tmp_path.rglob("pepr*.json")] == ["pepr.json"]


def test_by_another_key_it_is_kept_beside_the_run_s_own(tmp_path: Path) -> None:
    path = trained(tmp_path / "run")
    for monitor, test_monitor in (("val_acc", None), ("val_other", "test_other")):
        module = Tested()
        callback = PePRCallback(monitor, test_monitor=test_monitor, meter=WorkMeter(module))
        trainer(callback, root=tmp_path / "other").test(module, ckpt_path=str(path), verbose=False)
    record = RunRecord.load(tmp_path / "run")
    assert (record.test_performance, record.test_others) == (0.6875, {"val_other": 0.25})


class Tested(Worker):
    """Logs another performance in testing, too."""

    def test_step(self, batch: Any, index: int) -> None:
        super().test_step(batch, index)
        self.log("test_other", 0.25)


def test_without_a_monitor_it_is_by_the_key_of_the_run(tmp_path: Path) -> None:
    path = trained(tmp_path / "run")
    trainer(PePRCallback(), root=tmp_path / "other").test(Worker(), ckpt_path=str(path), verbose=False)
    assert RunRecord.load(tmp_path / "run").test_performance == 0.6875


def test_without_record_nothing_is_written(tmp_path: Path) -> None:
    path = trained(tmp_path / "run")
    before = (tmp_path / "run" / "pepr.json").read_bytes()
    run = trainer(PePRCallback("val_acc", record=False), root=tmp_path / "other")
    run.test(Worker(), ckpt_path=str(path), verbose=False)
    assert (tmp_path / "run" / "pepr.json").read_bytes() == before


def test_while_the_run_still_trains_it_is_kept(tmp_path: Path) -> None:
    class Meanwhile(Worker):
        """Is tested, as in another process, after its second epoch."""

        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 2:
                path = tmp_path / "run" / "checkpoints" / "last.ckpt"
                run = trainer(PePRCallback("val_acc"), root=tmp_path / "other")
                run.test(Worker(), ckpt_path=str(path), verbose=False)

    saving = ModelCheckpoint(tmp_path / "run" / "checkpoints", filename="last")
    fit(Meanwhile(), tmp_path / "run", saving, enable_checkpointing=True)
    record = RunRecord.load(tmp_path / "run")
    assert (record.status, len(record.epochs)) == ("finished", 3)
    assert (record.test_performance, record.test_samples) == (0.6875, 6)
    assert "test" in record.stages
