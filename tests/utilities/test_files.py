"""Files are written whole, found in folders that change, and recognised by their names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lightning_pepr import RunRecord, load_runs
from lightning_pepr.record import CostEntry
from lightning_pepr.report.data import fingerprint
from lightning_pepr.study.budget import StudyBudget
from lightning_pepr.utilities.files import (
    FILE_NAME,
    INCOMING,
    files_below,
    is_record,
    name_aside,
    signature,
    write_whole,
)


def test_the_names_that_records_have() -> None:
    assert is_record(Path("deep", name_aside("0a1b2c3d")))
    assert is_record(Path(name_aside("0a1b2c3d-2")))
    assert not is_record(Path(name_aside("unreadable")))


def test_a_file_is_written_whole_into_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    for text in ("one\n", "zwei: ü\n"):
        write_whole(target, text)
        assert target.read_text(encoding="utf-8") == text
    assert os.listdir(target.parent) == ["file.txt"]


def test_a_folder_that_is_being_filled_is_left_out(tmp_path: Path) -> None:
    for folder in ("whole", f"{INCOMING}0a1b", f"study/{INCOMING}0a1b/run", ".hidden"):
        write_whole(tmp_path / folder / FILE_NAME, "{}")
    assert {path.parent.name for path in files_below(tmp_path)} == {"whole", ".hidden"}


def test_a_signature_changes_with_the_file_and_is_none_without_one(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    assert signature(target) is None
    write_whole(target, "one")
    first = signature(target)
    assert first == signature(target) is not None
    write_whole(target, "two")
    assert signature(target) != first


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda folder: {path.parent.name for path in files_below(folder)}, {"a", "c"}),
        (lambda folder: set(load_runs(folder)["model"]), {"a", "c"}),
        (lambda folder: {Path(name).parent.name for name, *_ in fingerprint([folder])}, {"a", "c"}),
        (lambda folder: StudyBudget(folder, {"data_samples": 1.0}).refresh(), {"data_samples": 101.0}),
    ],
    ids=["files", "runs", "fingerprint", "budget"],
)
def test_a_folder_that_is_moved_away_meanwhile_is_left_out(
    read: Callable[[Path], Any], expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, samples in {"a": 1.0, "b": 10.0, "c": 100.0}.items():
        costs = {"data_samples": CostEntry(samples)}
        RunRecord(name, run_id=name, costs=costs).save(tmp_path / "runs" / name / "pepr.json")
    scandir = os.scandir

    def moved_away(path: Any = ".") -> Any:
        if Path(path).name == "b":
            os.rename(path, tmp_path / "aside")
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", moved_away)
        found = read(tmp_path / "runs")
    assert found == expected
