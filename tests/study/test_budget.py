"""What a study has spent is what its folder records, whoever wrote it, and each run once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightning_pepr.cli.study import run_here
from lightning_pepr.record import CostEntry, RunRecord
from lightning_pepr.study.budget import Purse
from lightning_pepr.study.local import LOCKS, Heard, StopRun, put_aside
from lightning_pepr.study.settings import DataSize, Estimate, Model, Run, Settings, StudyFolder, make_runs
from lightning_pepr.utilities.files import FILE_NAME


def spend(folder: Path, samples: float, status: str = "running") -> RunRecord:
    record = RunRecord(folder.name, status=status, costs={"data_samples": CostEntry(samples)})
    record.save(folder / FILE_NAME)
    return record


def test_what_other_jobs_spend_counts_as_soon_as_it_is_recorded(tmp_path: Path) -> None:
    purse = Purse(tmp_path, {"data_samples": 100})
    assert not purse.is_empty()
    spend(tmp_path / "theirs", 60)
    assert not purse.is_empty()
    assert purse.left == {"data_samples": 40}
    spend(tmp_path / "theirs", 90)  # the same run, further on
    assert purse.left == {"data_samples": 10}
    spend(tmp_path / "ours", 10)
    assert purse.is_empty()
    assert "100 of 100 samples" in purse.verdict(2)


def test_attempts_that_failed_stay_counted(tmp_path: Path) -> None:
    purse = Purse(tmp_path, {"data_samples": 100})
    spend(tmp_path / "run", 30, "failed")
    assert purse.left == {"data_samples": 70}
    put_aside(tmp_path / "run")
    spend(tmp_path / "run", 30)
    assert purse.left == {"data_samples": 40}


def test_what_is_on_its_way_into_the_folder_does_not_count_twice(tmp_path: Path) -> None:
    spend(tmp_path / "model" / "run", 30)
    spend(tmp_path / "model" / ".incoming-x" / "run", 30)
    assert Purse(tmp_path, {"data_samples": 100}).left == {"data_samples": 70}


def test_a_record_in_the_place_of_another_is_read_even_if_it_is_as_old(tmp_path: Path) -> None:
    purse = Purse(tmp_path, {"data_samples": 100})
    spend(tmp_path / "run", 30)
    file = tmp_path / "run" / "pepr.json"
    before = file.stat()
    assert purse.left == {"data_samples": 70}
    spend(tmp_path / "run", 40)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert purse.left == {"data_samples": 60}


def test_a_run_in_progress_counts_once_and_is_stopped_by_what_others_spend(tmp_path: Path) -> None:
    purse = Purse(tmp_path, {"data_samples": 100})
    heard = purse.watch()
    spend(tmp_path / "ours", 60)
    heard({"event": "progress", "epoch": 2})  # counted twice, it would be 120
    heard({"event": "ready"})
    spend(tmp_path / "theirs", 40)
    heard({"event": "progress", "epoch": 2})  # only after an epoch
    with pytest.raises(StopRun, match="budget is spent"):
        heard({"event": "progress", "epoch": 3})


def test_without_a_budget_nothing_is_ever_spent(tmp_path: Path) -> None:
    spend(tmp_path / "run", 1e9)
    purse = Purse(tmp_path, {})
    assert not purse.is_empty()
    assert purse.verdict(0) == ""


@pytest.mark.parametrize(("theirs", "done"), [(0, 4), (20, 3), (75, 1)])
def test_a_study_stops_before_the_run_that_other_jobs_have_left_nothing_for(
    theirs: float, done: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings("digits", accelerator="cpu")
    runs = make_runs(settings, [Model("a", "a", 32, 1)], DataSize(10, 100, 10, 10), seeds=5)
    folder = StudyFolder.open(tmp_path / "runs", settings)

    def execute(run: Run, out: Path, heard: Heard) -> RunRecord:
        spend(out / "of another job" / str(run.seed), theirs)
        return spend(out / run.folder, 25, "finished")

    monkeypatch.setenv(LOCKS, str(tmp_path / "locks"))
    monkeypatch.setattr("lightning_pepr.cli.study.execute", execute)
    purse = Purse(folder.path, {"data_samples": 100})
    failed, stopped = run_here(runs, folder, Estimate([1.0] * 5, 4.0), purse)
    assert not failed
    assert f"{5 - done} run" in stopped
    assert sum(folder.record_of(run) is not None for run in runs) == done


def test_what_the_study_that_was_waited_for_has_spent_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings("digits", accelerator="cpu")
    runs = make_runs(settings, [Model("a", "a", 32, 1)], DataSize(10, 100, 10, 10))
    folder = StudyFolder.open(tmp_path / "runs", settings)

    @contextlib.contextmanager
    def wait(*_: object) -> Iterator[str]:
        spend(folder.path / "of another job", 100)
        yield "cpu"

    monkeypatch.setattr("lightning_pepr.cli.study.device_lock", wait)
    monkeypatch.setattr("lightning_pepr.cli.study.execute", lambda *_: pytest.fail("it has begun a run"))
    _, stopped = run_here(runs, folder, Estimate([1.0], 4.0), Purse(folder.path, {"data_samples": 100}))
    assert "100 of 100 samples); 1 run left" in stopped
