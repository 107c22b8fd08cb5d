"""Where records go, beside which others, and what happens if a disk fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lightning_pepr import PePRCallback, RunRecord, load_runs
from lightning_pepr.callbacks._base import WarnOnce
from lightning_pepr.callbacks._writer import RecordWriter, record_path
from lightning_pepr.record import Status
from lightning_pepr.utilities.files import FILE_NAME
from tests.helpers.fits import EPOCH_UJ, SPACE, TwoMetrics, fit, record_of, uj
from tests.helpers.training import Worker, WorkMeter, trainer


def test_without_a_logger_the_record_is_in_the_root(tmp_path: Path) -> None:
    fit(Worker(), tmp_path)
    assert RunRecord.load(tmp_path / FILE_NAME).status == "finished"


def test_two_callbacks_leave_a_record_each(tmp_path: Path) -> None:
    module = TwoMetrics()
    first = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    second = PePRCallback("val_acc2", space=SPACE, meter=WorkMeter(module))
    trainer(first, second, root=tmp_path).fit(module)
    found = [RunRecord.load(path) for path in tmp_path.rglob("pepr*.json")]
    assert sorted(run.monitor for run in found) == ["val_acc", "val_acc2"]
    assert [run.status for run in found] == ["finished"] * 2
    assert RunRecord.load(tmp_path).monitor == "val_acc", "the first in the user's list"
    assert [len(run.epochs) for run in found] == [3, 3]
    assert sorted(load_runs(tmp_path)["performance"]) == [0.25, 0.5]


def test_a_fit_that_fails_early_leaves_the_last_runs_record_alone(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    trainer(callback, root=tmp_path / "one").fit(module)
    first = record_of(callback).run_id
    with pytest.raises(FileNotFoundError):
        trainer(callback, root=tmp_path / "two").fit(module, ckpt_path=tmp_path / "nowhere.ckpt")
    assert record_of(callback).status == "failed"
    assert [path.name for path in (tmp_path / "one").rglob("pepr*.json")] == [FILE_NAME]
    assert RunRecord.load(tmp_path / "one").run_id == first


def test_fit_of_another_model_is_a_new_run_and_the_old_record_is_kept(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    trainer(callback, root=tmp_path).fit(module)
    first = record_of(callback).run_id
    trainer(callback, root=tmp_path, max_epochs=1).fit(module)
    assert record_of(callback).run_id != first
    assert uj(RunRecord.load(tmp_path)) == EPOCH_UJ
    assert uj(RunRecord.load(tmp_path / f"pepr-{first[:8]}.json")) == 3 * EPOCH_UJ


def test_a_disk_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="the record could not be written") as caught:
        fit(Worker(), tmp_path / "root")
    assert len([w for w in caught if "could not be written" in str(w.message)]) == 1


def test_record_false_writes_nothing(tmp_path: Path) -> None:
    module = Worker()
    trainer(PePRCallback("val_acc", space=SPACE, record=False), root=tmp_path).fit(module)
    assert not list(tmp_path.iterdir())


def test_loggers_without_a_log_dir_get_the_record_where_checkpoints_go(tmp_path: Path) -> None:
    from lightning.pytorch.loggers.logger import Logger

    class Other(Logger):
        name, version, save_dir = "project", "abc123", str(tmp_path)

        def log_metrics(self, metrics: Any, step: int | None = None) -> None: ...

        def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    fit(Worker(), tmp_path, logger=Other())
    assert (tmp_path / "project" / "abc123" / FILE_NAME).exists()


def make_writer(target: Path | None) -> RecordWriter:
    writer = RecordWriter(WarnOnce("PePRCallback: "))
    writer.target = target
    return writer


def test_without_a_target_nothing_is_written(tmp_path: Path) -> None:
    writer = make_writer(None)
    writer.write(RunRecord("model"))
    assert writer.written_file is None
    assert not list(tmp_path.iterdir())


def test_a_run_overwrites_its_own_record_and_no_others(tmp_path: Path) -> None:
    other, own = RunRecord("other"), RunRecord("own")
    other.save(tmp_path / FILE_NAME)
    writer = make_writer(tmp_path / FILE_NAME)
    statuses: tuple[Status, ...] = ("running", "finished")
    for status in statuses:
        own.status = status
        writer.write(own)
    assert writer.written_file == tmp_path / FILE_NAME
    assert RunRecord.load(tmp_path).status == "finished"
    assert RunRecord.load(tmp_path / f"pepr-{other.run_id[:8]}.json").model == "other"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_record_that_another_put_there_meanwhile_is_moved_aside(tmp_path: Path) -> None:
    own, other = RunRecord("own"), RunRecord("other")
    writer = make_writer(tmp_path / FILE_NAME)
    writer.write(own)
    other.save(tmp_path / FILE_NAME)
    writer.write(own)
    assert RunRecord.load(tmp_path).model == "own"
    assert RunRecord.load(tmp_path / f"pepr-{other.run_id[:8]}.json").model == "other"


def test_a_disk_that_recovers_gets_the_record(tmp_path: Path) -> None:
    (tmp_path / "full").write_text("a file where the folder should be")
    writer = make_writer(tmp_path / "full" / FILE_NAME)
    with pytest.warns(UserWarning, match="the record could not be written"):
        writer.write(RunRecord("model"))
    (tmp_path / "full").unlink()
    writer.write(RunRecord("model"))
    assert RunRecord.load(tmp_path / "full").model == "model"


@pytest.mark.parametrize(("beside", "name"), [(False, FILE_NAME), (True, "pepr-0a1b2c3d.json")])
def test_the_name_beside_another_callbacks(tmp_path: Path, beside: bool, name: str) -> None:
    assert record_path(trainer(root=tmp_path), "0a1b2c3d4e5f", beside) == tmp_path / name
