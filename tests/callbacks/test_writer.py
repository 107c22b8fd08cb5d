"""Where records go, beside which others, and what happens if a disk fails."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from lightning_pepr import PePRCallback, RunRecord, load_runs
from lightning_pepr.callbacks import _writer
from lightning_pepr.callbacks._base import WarnOnce
from lightning_pepr.callbacks._writer import RecordWriter, record_folder
from lightning_pepr.record import Epoch
from lightning_pepr.utilities.files import FILE_NAME
from tests.helpers.fits import EPOCH_UJ, SPACE, TwoMetrics, fit, record_of, uj
from tests.helpers.paths import ROOT
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


def test_fit_of_another_model_is_a_new_run_and_the_old_record_stays(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    trainer(callback, root=tmp_path).fit(module)
    first = record_of(callback).run_id
    before = (tmp_path / FILE_NAME).read_bytes()
    trainer(callback, root=tmp_path, max_epochs=1).fit(module)
    second = record_of(callback).run_id
    assert second != first
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert uj(RunRecord.load(tmp_path)) == 3 * EPOCH_UJ
    assert uj(RunRecord.load(tmp_path / f"pepr-{second[:8]}.json")) == EPOCH_UJ


def test_a_disk_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="the record could not be written") as caught:
        fit(Worker(), tmp_path / "root")
    assert len([w for w in caught if "could not be written" in str(w.message)]) == 1


def test_record_false_writes_nothing(tmp_path: Path) -> None:
    module = Worker()
    trainer(PePRCallback("val_acc", space=SPACE, record=False), root=tmp_path).fit(module)
    assert not list(tmp_path.iterdir())


# Where it goes ------------------------------------------------------------------------------------------------------


def test_loggers_without_a_log_dir_get_the_record_where_checkpoints_go(tmp_path: Path) -> None:
    from lightning.pytorch.loggers.logger import Logger

    class Other(Logger):
        name, version, save_dir = "project", "abc123", str(tmp_path)

        def log_metrics(self, metrics: Any, step: int | None = None) -> None: ...

        def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    fit(Worker(), tmp_path, logger=Other())
    assert (tmp_path / "project" / "abc123" / FILE_NAME).exists()


@pytest.mark.parametrize("kind", [CSVLogger, TensorBoardLogger])
def test_the_home_folder_is_where_the_loggers_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    fit(Worker(), tmp_path / "root", logger=kind("~/logs", name="net"))
    folder = tmp_path / "home" / "logs" / "net" / "version_0"
    assert len(list(folder.iterdir())) >= 3, "the logger's own are there"
    assert RunRecord.load(folder).status == "finished"
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("place", ["file://{}", "local://{}", "{}"])
def test_an_url_of_this_host_is_a_path(tmp_path: Path, place: str) -> None:
    assert record_folder(trainer(root=place.format(tmp_path))).endswith(str(tmp_path))
    writer = make_writer(place.format(tmp_path))
    writer.write(RunRecord("net"))
    assert writer.written_file == tmp_path / FILE_NAME


def test_a_remote_record_is_where_the_loggers_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    callback = fit(Worker(), tmp_path, logger=CSVLogger("memory://remote/logs", name="net"))
    (url,) = remote_files("memory://remote/logs", "metrics.csv")
    assert [callback._run and callback._run.writer.written_file] == [url.replace("metrics.csv", FILE_NAME)]
    record = RunRecord.load(url.removesuffix("/metrics.csv"))
    assert (record.status, len(record.epochs), record.run_id) == ("finished", 3, record_of(callback).run_id)
    assert load_runs("memory://remote/logs")["run_id"].to_list() == [record.run_id]
    assert remote_files("memory://remote/logs", "pepr.jsonl") == []
    assert not list(tmp_path.iterdir())


def test_a_remote_root_holds_records_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = (record_of(fit(Worker(), "memory://remote/root", max_epochs=1)).run_id for _ in range(2))
    assert RunRecord.load("memory://remote/root").run_id == first
    assert RunRecord.load(f"memory://remote/root/pepr-{second[:8]}.json").run_id == second
    assert load_runs("memory://remote/root").height == 2
    assert load_runs("memory://remote/root/pepr.json")["run_id"].to_list() == [first]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["nosuch://bucket/runs", "memory://nothing/there"])
def test_a_remote_place_that_cannot_be_had_is_a_warning_or_a_clear_error(url: str, tmp_path: Path) -> None:
    if url.startswith("nosuch"):
        writer = make_writer(url)
        with pytest.warns(UserWarning, match=r"the record could not be written to nosuch://.*nosuch"):
            writer.finish(RunRecord("net"))
    for read in (RunRecord.load, load_runs):
        with pytest.raises((ValueError, FileNotFoundError), match="nosuch|nothing/there"):
            read(url)


def test_what_can_only_be_written_whole_is_written_seldom_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    run, writer = RunRecord("net"), make_writer("memory://remote/seldom")
    for at in range(3):
        run.epochs.append(Epoch(at, at))
        writer.write(run)
    assert len(RunRecord.load("memory://remote/seldom").epochs) == 1
    clock = _writer.time.monotonic() + 61.0
    monkeypatch.setattr(_writer.time, "monotonic", lambda: clock)
    writer.write(run)
    assert len(RunRecord.load("memory://remote/seldom").epochs) == 3
    run.status = "finished"
    writer.finish(run)
    assert RunRecord.load("memory://remote/seldom").status == "finished"


def remote_files(url: str, name: str) -> list[str]:
    import fsspec

    store, path = fsspec.core.url_to_fs(url)
    return [store.unstrip_protocol(file) for file in store.find(path) if file.endswith(name)]


# What is written, and when ------------------------------------------------------------------------------------------


def make_writer(folder: Path | str | None) -> RecordWriter:
    writer = RecordWriter(WarnOnce("PePRCallback: "))
    writer.folder = None if folder is None else str(folder)
    return writer


def test_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    writer = make_writer(None)
    writer.write(RunRecord("model"))
    assert writer.written_file is None
    assert not list(tmp_path.iterdir())


def test_at_any_time_all_that_is_known_is_on_the_disk_and_little_is_written(tmp_path: Path) -> None:
    run, writer, written = RunRecord("net"), make_writer(tmp_path), 0
    for at in range(300):
        run.epochs.append(Epoch(at, at, 0.5))
        before = (tmp_path / FILE_NAME).stat().st_mtime_ns if at else 0
        writer.write(run)
        if at % 7 == 0:
            run.epochs[-1].forecasts = {"time_s": {"expected": float(at)}}
            writer.write(run)
        written += (tmp_path / FILE_NAME).stat().st_mtime_ns != before
        assert RunRecord.load(tmp_path) == run
    assert written == 9, "at 1, 2, 4, … evaluations"
    run.status = "finished"
    writer.finish(run)
    (tmp_path / "pepr.jsonl").unlink()
    assert RunRecord.load(tmp_path) == run


def test_a_run_that_goes_back_to_a_checkpoint_is_as_it_was_then(tmp_path: Path) -> None:
    """Also by the journal of a process that did not live to write more."""
    run, writer = RunRecord("net"), make_writer(tmp_path)
    for at in range(7):
        run.epochs.append(Epoch(at, at, 0.5))
        writer.write(run)
    run.epochs = run.epochs[:5]
    for each in (writer, make_writer(tmp_path)):
        each.write(run)
        assert RunRecord.load(tmp_path) == run
        run.epochs.append(Epoch(5, 50, 0.75))
        each.write(run)
        assert RunRecord.load(tmp_path) == run
        run.epochs.pop()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pepr.json", "pepr.jsonl"]


@pytest.mark.parametrize("harm", ["journal", "record", "both", "lines"])
def test_what_somebody_removes_or_adds_is_made_good(tmp_path: Path, harm: str) -> None:
    run, writer = RunRecord("net"), make_writer(tmp_path)
    for at in range(12):
        run.epochs.append(Epoch(at, at, 0.5))
        writer.write(run)
        if at in (6, 10):
            if harm == "lines":
                with (tmp_path / "pepr.jsonl").open("a") as file:
                    file.write('{"at": 1, "evaluation": {"epoch": 77, "step": 0}}\n')
            for name in {"journal": ["pepr.jsonl"], "record": ["pepr.json"], "both": os.listdir(tmp_path)}.get(
                harm, []
            ):
                (tmp_path / name).unlink()
        elif at > 6:
            assert RunRecord.load(tmp_path) == run
    assert RunRecord.load(tmp_path) == run


def test_a_disk_that_recovers_gets_the_record(tmp_path: Path) -> None:
    (tmp_path / "full").write_text("a file where the folder should be")
    writer = make_writer(tmp_path / "full")
    with pytest.warns(UserWarning, match="the record could not be written"):
        writer.write(RunRecord("model"))
    (tmp_path / "full").unlink()
    writer.write(RunRecord("model"))
    assert RunRecord.load(tmp_path / "full").model == "model"


def test_what_a_full_disk_did_not_take_comes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, writer = RunRecord("net"), make_writer(tmp_path)
    run.epochs = [Epoch(at, at, 0.5) for at in range(3)]
    writer.write(run)
    writer.write(run)

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="No space left") as caught:
        patch.setattr(os, "write", full)
        patch.setattr(os, "fsync", full)
        for at in range(3, 5):
            run.epochs.append(Epoch(at, at, 0.5))
            writer.write(run)
            assert len(RunRecord.load(tmp_path).epochs) == 3
    assert len(caught) == 1
    writer.write(run)
    assert RunRecord.load(tmp_path) == run


def test_where_no_file_can_be_added_to_the_record_is_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, writer = RunRecord("net", status="running"), make_writer(tmp_path)
    writer.write(run)
    (tmp_path / "pepr.jsonl").mkdir()
    clock = 0.0
    monkeypatch.setattr(_writer.time, "monotonic", lambda: clock)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for at in range(6):
            clock += 61.0 * (at % 2)
            run.epochs.append(Epoch(at, at, 0.5))
            writer.write(run)
            assert len(RunRecord.load(tmp_path).epochs) >= at
    run.status = "finished"
    writer.finish(run)
    assert RunRecord.load(tmp_path) == run


def test_what_a_user_gave_and_json_does_not_have_is_a_warning(tmp_path: Path) -> None:
    run = RunRecord("net", settings={"what": object()})
    with pytest.warns(UserWarning, match="could not be written .*object"):
        make_writer(tmp_path).write(run)


# Names --------------------------------------------------------------------------------------------------------------


def put_nothing_of_ours(target: Path, what: str) -> None:
    if what == "folder":
        target.mkdir(parents=True)
    elif what == "pipe":
        os.mkfifo(target)
    elif what == "link":
        target.symlink_to("/nowhere/at/all")
    elif what == "loop":
        target.symlink_to(target.name)
    elif what == "journal":
        target.with_suffix(".jsonl").write_text("{}\n")
    elif what == "record":
        RunRecord("other", run_id="../../etc").save(target)
    elif what == "unreadable":
        target.write_text("{")
        target.chmod(0)
    else:
        target.write_bytes({"empty": b"", "text": b"garbage", "bytes": b"\xff\x00", "list": b"[1]"}[what])


ODD = ["folder", "pipe", "link", "loop", "journal", "record", "unreadable", "empty", "text", "bytes", "list"]


@pytest.mark.parametrize("what", ODD)
@pytest.mark.timeout(60)
def test_what_has_the_name_of_a_record_stays_as_it_is(tmp_path: Path, what: str) -> None:
    put_nothing_of_ours(tmp_path / FILE_NAME, what)
    before = sorted((path.name, path.lstat().st_mtime_ns, path.lstat().st_ino) for path in tmp_path.iterdir())
    run = RunRecord("net")
    for writer in (make_writer(tmp_path), make_writer(tmp_path)):
        for _ in range(2):
            run.epochs.append(Epoch(len(run.epochs), 1, 0.5))
            writer.write(run)
    own = tmp_path / f"pepr-{run.run_id[:8]}.json"
    assert writer.written_file == own
    assert RunRecord.load(own) == run
    after = sorted((path.name, path.lstat().st_mtime_ns, path.lstat().st_ino) for path in tmp_path.iterdir())
    assert [each for each in after if run.run_id[:8] not in each[0]] == before
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "net" in load_runs(tmp_path)["model"].to_list(), "no reader waits for it either"


def test_a_name_that_even_the_run_ids_first_digits_share_has_a_number(tmp_path: Path) -> None:
    runs = [RunRecord("net", run_id=f"0a1b2c3d{number}") for number in range(4)]
    writers = [make_writer(tmp_path) for _ in runs]
    for _ in range(2):
        for run, writer in zip(runs, writers, strict=True):
            writer.write(run)
    names = ["pepr.json", "pepr-0a1b2c3d.json", "pepr-0a1b2c3d-2.json", "pepr-0a1b2c3d-3.json"]
    assert [RunRecord.load(tmp_path / name) for name in names] == runs
    again = make_writer(tmp_path)
    again.write(runs[2])
    assert again.written_file == tmp_path / names[2], "a resumed run goes on in its own"
    assert len(list(tmp_path.glob("*.json"))) == 4


def test_a_record_that_another_put_in_its_place_stays(tmp_path: Path) -> None:
    own, other = RunRecord("own"), RunRecord("other")
    writer = make_writer(tmp_path)
    writer.write(own)
    other.save(tmp_path / FILE_NAME)
    writer.write(own)
    assert RunRecord.load(tmp_path) == other
    assert RunRecord.load(tmp_path / f"pepr-{own.run_id[:8]}.json") == own


@pytest.mark.parametrize("run_id", ["", "0A1B2C3D", "../../etc/passwd", "a/b", "run 7", "\ud800"])
def test_a_run_id_of_any_kind_leaves_a_record_in_the_folder(tmp_path: Path, run_id: str) -> None:
    RunRecord("other").save(tmp_path / "runs" / FILE_NAME)
    run = RunRecord("net", run_id=run_id)
    if run_id == "\ud800":  # which no file can hold
        with pytest.warns(UserWarning, match="could not be written"):
            make_writer(tmp_path / "runs").write(run)
        return
    for _ in range(2):
        make_writer(tmp_path / "runs").write(run)
    assert load_runs(tmp_path).height == 2
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


SCRIPT = """
import sys
from pathlib import Path
from lightning_pepr.callbacks._base import WarnOnce
from lightning_pepr.callbacks._writer import RecordWriter
from lightning_pepr.record import Epoch, RunRecord

print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    run, writer = RunRecord("net"), RecordWriter(WarnOnce(""))
    writer.folder = f"{sys.argv[1]}/{number}"
    for at in range(5):
        run.epochs.append(Epoch(at, at, 0.5))
        writer.write(run)
    run.status = "finished"
    writer.finish(run)
    print(run.run_id)
"""


@pytest.mark.slow
def test_processes_that_start_together_in_one_folder_leave_a_record_each(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(8)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"  # type: ignore[union-attr]
    for process in processes:
        process.stdin.write("\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    run_ids = [line for process in processes for line in process.communicate(timeout=240)[0].split()]
    assert len(set(run_ids)) == 160
    found = [RunRecord.load(path) for path in tmp_path.rglob("*.json")]
    assert sorted(run.run_id for run in found) == sorted(run_ids)
    assert {(run.status, len(run.epochs)) for run in found} == {("finished", 5)}
    assert all(len(list(folder.glob("*.json"))) == 8 for folder in tmp_path.iterdir())
    assert [path for path in tmp_path.rglob(".*")] == [], "nothing half written is left"
