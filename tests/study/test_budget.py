"""What a study has spent is what its folder records, whoever wrote it, and each run once."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from lightning_pepr.record import CostEntry, RunRecord, Status
from lightning_pepr.record.files import files_in
from lightning_pepr.study.budget import StudyBudget
from lightning_pepr.study.estimate import StudyEstimate
from lightning_pepr.study.folder import StudyFolder, put_aside
from lightning_pepr.study.local import run_here
from lightning_pepr.study.locks import LOCKS
from lightning_pepr.study.process import Listener, StopRun
from lightning_pepr.study.runs import DataSize, Model, Run, make_runs
from lightning_pepr.study.settings import Settings
from lightning_pepr.utilities.files import FILE_NAME


def spend(folder: Path, samples: float, status: Status = "running") -> RunRecord:
    record = RunRecord(folder.name, status=status, costs={"data_samples": CostEntry(samples)})
    record.save(folder / FILE_NAME)
    return record


def test_what_other_jobs_spend_counts_as_soon_as_it_is_recorded(tmp_path: Path) -> None:
    budget = StudyBudget(tmp_path, {"data_samples": 100})
    assert not budget.is_spent()
    spend(tmp_path / "theirs", 60)
    assert not budget.is_spent()
    assert budget.left == {"data_samples": 40}
    spend(tmp_path / "theirs", 90)  # the same run, further on
    assert budget.left == {"data_samples": 10}
    spend(tmp_path / "ours", 10)
    assert budget.is_spent()
    assert "100 of 100 samples" in budget.verdict(2)


def test_what_a_run_adds_to_its_journal_counts_also_when_it_is_put_aside(tmp_path: Path) -> None:
    budget = StudyBudget(tmp_path, {"data_samples": 100})
    files, run = files_in(str(tmp_path / "run")), RunRecord("net")
    for samples in (30.0, 60.0):
        run.costs = {"data_samples": CostEntry(samples)}
        files.write(run)
        assert budget.left == {"data_samples": 100 - samples}
    put_aside(tmp_path / "run")
    assert budget.left == {"data_samples": 40}
    assert sorted(path.name for path in tmp_path.rglob("*pepr*")) == ["attempt-pepr.json", "attempt-pepr.jsonl"]


def test_attempts_that_failed_stay_counted(tmp_path: Path) -> None:
    budget = StudyBudget(tmp_path, {"data_samples": 100})
    spend(tmp_path / "run", 30, "failed")
    assert budget.left == {"data_samples": 70}
    put_aside(tmp_path / "run")
    spend(tmp_path / "run", 30)
    assert budget.left == {"data_samples": 40}


def test_what_is_on_its_way_into_the_folder_does_not_count_twice(tmp_path: Path) -> None:
    spend(tmp_path / "model" / "run", 30)
    spend(tmp_path / "model" / ".incoming-x" / "run", 30)
    assert StudyBudget(tmp_path, {"data_samples": 100}).left == {"data_samples": 70}


def test_a_record_in_the_place_of_another_is_read_even_if_it_is_as_old(tmp_path: Path) -> None:
    budget = StudyBudget(tmp_path, {"data_samples": 100})
    spend(tmp_path / "run", 30)
    file = tmp_path / "run" / "pepr.json"
    before = file.stat()
    assert budget.left == {"data_samples": 70}
    spend(tmp_path / "run", 40)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert budget.left == {"data_samples": 60}


def test_a_run_in_progress_counts_once_and_is_stopped_by_what_others_spend(tmp_path: Path) -> None:
    budget = StudyBudget(tmp_path, {"data_samples": 100})
    on_message = budget.watch()
    spend(tmp_path / "ours", 60)
    on_message({"event": "progress", "share": 0.5, "epoch": 2, "epochs": 9})  # counted twice, it would be 120
    on_message({"event": "ready"})
    spend(tmp_path / "theirs", 40)
    on_message({"event": "progress", "share": 0.5, "epoch": 2, "epochs": 9})  # only after an epoch
    with pytest.raises(StopRun, match="budget is spent"):
        on_message({"event": "progress", "share": 0.5, "epoch": 3, "epochs": 9})


def test_without_a_budget_nothing_is_ever_spent(tmp_path: Path) -> None:
    spend(tmp_path / "run", 1e9)
    budget = StudyBudget(tmp_path, {})
    assert not budget.is_spent()
    assert budget.verdict(0) == ""


@pytest.mark.parametrize(("theirs", "done"), [(0, 4), (20, 3), (75, 1)])
def test_a_study_stops_before_the_run_that_other_jobs_have_left_nothing_for(
    theirs: float, done: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings("digits", accelerator="cpu")
    runs = make_runs(settings, [Model("a", "a", 32)], DataSize(10, 100, 10, 10), seeds=5)
    folder = StudyFolder.open(tmp_path / "runs", settings)

    def execute(run: Run, out: Path, on_message: Listener) -> RunRecord:
        spend(out / "of another job" / str(run.seed), theirs)
        return spend(out / run.folder, 25, "finished")

    monkeypatch.setenv(LOCKS, str(tmp_path / "locks"))
    monkeypatch.setattr("lightning_pepr.study.local.execute", execute)
    budget = StudyBudget(folder.path, {"data_samples": 100})
    failed, stopped = run_here(runs, folder, StudyEstimate([1.0] * 5, 4.0), budget)
    assert not failed
    assert f"{5 - done} run" in stopped
    assert sum(folder.record_of(run) is not None for run in runs) == done


def test_spending_while_waiting_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the study that was waited for has spent counts."""
    settings = Settings("digits", accelerator="cpu")
    runs = make_runs(settings, [Model("a", "a", 32)], DataSize(10, 100, 10, 10))
    folder = StudyFolder.open(tmp_path / "runs", settings)
    monkeypatch.setenv(LOCKS, str(tmp_path))
    held = threading.Event()

    def hold_and_spend() -> None:
        with FileLock(tmp_path / "lightning-pepr-cpu.lock"):
            held.set()
            time.sleep(0.5)  # until it is waited for
            spend(folder.path / "of another job", 100)

    other = threading.Thread(target=hold_and_spend)
    other.start()
    held.wait()
    _, stopped = run_here(runs, folder, StudyEstimate([1.0], 4.0), StudyBudget(folder.path, {"data_samples": 100}))
    other.join()
    assert "100 of 100 samples); 1 run left" in stopped
    assert not (folder.path / runs[0].folder).exists(), "it has begun a run"
