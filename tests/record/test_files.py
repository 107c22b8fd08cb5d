"""Which name a record has in its folder, and that all that is known is on the disk at any time."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from lightning_pepr import RunRecord, load_runs
from lightning_pepr.record import Epoch
from lightning_pepr.record.files import files_in
from lightning_pepr.utilities.files import FILE_NAME
from tests.helpers.paths import ROOT


def test_at_any_time_all_that_is_known_is_on_the_disk_and_little_is_written(tmp_path: Path) -> None:
    run, writer, written = RunRecord("net"), files_in(str(tmp_path)), 0
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
    writer.write(run, whole=True)
    (tmp_path / "pepr.jsonl").unlink()
    assert RunRecord.load(tmp_path) == run


def test_a_run_that_goes_back_to_a_checkpoint_is_as_it_was_then(tmp_path: Path) -> None:
    """Also by the journal of a process that did not live to write more."""
    run, writer = RunRecord("net"), files_in(str(tmp_path))
    for at in range(7):
        run.epochs.append(Epoch(at, at, 0.5))
        writer.write(run)
    run.epochs = run.epochs[:5]
    for each in (writer, files_in(str(tmp_path))):
        each.write(run)
        assert RunRecord.load(tmp_path) == run
        run.epochs.append(Epoch(5, 50, 0.75))
        each.write(run)
        assert RunRecord.load(tmp_path) == run
        run.epochs.pop()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pepr.json", "pepr.jsonl"]


@pytest.mark.parametrize("harm", ["journal", "record", "both", "lines"])
def test_what_somebody_removes_or_adds_is_made_good(tmp_path: Path, harm: str) -> None:
    run, writer = RunRecord("net"), files_in(str(tmp_path))
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


def test_where_nothing_can_be_added_the_record_is_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its evaluations have doubled, once a minute, and at the end."""
    run, writer, clock = RunRecord("net"), files_in(str(tmp_path)), 1000.0
    writer.write(run)
    (tmp_path / "pepr.jsonl").mkdir()
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    found = []
    for at in range(9):
        clock += 61.0 if at == 4 else 1.0
        run.epochs.append(Epoch(at, at, 0.5))
        with contextlib.suppress(OSError):
            writer.write(run)
        found.append(len(RunRecord.load(tmp_path).epochs))
    assert found == [1, 2, 2, 4, 5, 5, 5, 5, 5]
    writer.write(run, whole=True)
    assert RunRecord.load(tmp_path) == run


def test_a_store_is_written_to_seldom_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    run, writer = RunRecord("net"), files_in("memory://remote/seldom")
    for at in range(3):
        run.epochs.append(Epoch(at, at))
        writer.write(run)
    assert len(RunRecord.load("memory://remote/seldom").epochs) == 1
    clock = time.monotonic() + 61.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    writer.write(run)
    assert len(RunRecord.load("memory://remote/seldom").epochs) == 3
    run.status = "finished"
    writer.write(run, whole=True)
    assert RunRecord.load("memory://remote/seldom").status == "finished"


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
    for writer in (files_in(str(tmp_path)), files_in(str(tmp_path))):
        for _ in range(2):
            run.epochs.append(Epoch(len(run.epochs), 1, 0.5))
            writer.write(run)
    own = tmp_path / f"pepr-{run.run_id[:8]}.json"
    assert writer.written == own
    assert RunRecord.load(own) == run
    after = sorted((path.name, path.lstat().st_mtime_ns, path.lstat().st_ino) for path in tmp_path.iterdir())
    assert [each for each in after if run.run_id[:8] not in each[0]] == before
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "net" in load_runs(tmp_path)["model"].to_list(), "no reader waits for it either"


def test_a_name_that_even_the_run_ids_first_digits_share_has_a_number(tmp_path: Path) -> None:
    runs = [RunRecord("net", run_id=f"0a1b2c3d{number}") for number in range(4)]
    writers = [files_in(str(tmp_path)) for _ in runs]
    for _ in range(2):
        for run, writer in zip(runs, writers, strict=True):
            writer.write(run)
    names = ["pepr.json", "pepr-0a1b2c3d.json", "pepr-0a1b2c3d-2.json", "pepr-0a1b2c3d-3.json"]
    assert [RunRecord.load(tmp_path / name) for name in names] == runs
    again = files_in(str(tmp_path))
    again.write(runs[2])
    assert again.written == tmp_path / names[2], "a resumed run goes on in its own"
    assert len(list(tmp_path.glob("*.json"))) == 4


def test_a_record_that_another_put_in_its_place_stays(tmp_path: Path) -> None:
    own, other = RunRecord("own"), RunRecord("other")
    writer = files_in(str(tmp_path))
    writer.write(own)
    other.save(tmp_path / FILE_NAME)
    writer.write(own)
    assert RunRecord.load(tmp_path) == other
    assert RunRecord.load(tmp_path / f"pepr-{own.run_id[:8]}.json") == own


@pytest.mark.parametrize("run_id", ["", "0A1B2C3D", "../../etc/passwd", "a/b", "run 7", "\ud800"])
def test_a_run_id_of_any_kind_stays_in_the_folder(tmp_path: Path, run_id: str) -> None:
    RunRecord("other").save(tmp_path / "runs" / FILE_NAME)
    run = RunRecord("net", run_id=run_id)
    for _ in range(2):
        files_in(str(tmp_path / "runs")).write(run)
    assert load_runs(tmp_path).height == 2
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


SCRIPT = """
import sys
from pathlib import Path
from lightning_pepr.record import Epoch, RunRecord
from lightning_pepr.record.files import files_in

print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    run, writer = RunRecord("net"), files_in(f"{sys.argv[1]}/{number}")
    for at in range(5):
        run.epochs.append(Epoch(at, at, 0.5))
        writer.write(run)
    run.status = "finished"
    writer.write(run, whole=True)
    print(run.run_id)
"""


@pytest.mark.slow
def test_processes_that_start_together_leave_a_record_each(tmp_path: Path) -> None:
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
    assert list(tmp_path.rglob(".*")) == [], "nothing half written is left"
