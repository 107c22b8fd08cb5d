"""Files are written whole, found in folders that change, and recognised by their names."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
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
    AppendedFile,
    files_below,
    is_journal,
    is_record,
    journal_of,
    names_aside,
    read_plain,
    signature,
    write_new,
    write_whole,
)
from tests.helpers.odd import ODD_FILES, odd_file


@pytest.mark.parametrize("run_id", ["0a1b2c3d4e5f", "0a1b2c3d", "0a1b", "", "../../etc", "trial-7", "\ud800\n"])
def test_a_record_has_a_name_whatever_its_run_id_is(run_id: str) -> None:
    names = list(itertools.islice(names_aside(run_id), 3))
    assert len(set(names)) == 3
    assert all(is_record(Path("deep", name)) for name in names)
    assert all(is_journal(journal_of(Path("deep", name))) for name in names)
    assert names[0] == "pepr-0a1b2c3d.json" or not run_id.startswith("0a1b2c3d")
    assert not is_record(Path("pepr-unreadable.json"))
    assert not is_record(journal_of(Path(names[0])))


def test_a_file_is_written_whole_into_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    for text in ("one\n", "zwei: ü\n"):
        write_whole(target, text)
        assert target.read_text(encoding="utf-8") == text
    assert os.listdir(target.parent) == ["file.txt"]


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def link(*_: Any) -> None:
        raise PermissionError("this file system has no hard links")

    if not links:
        monkeypatch.setattr(os, "link", link)
    target = tmp_path / "deep" / "file.txt"
    assert write_new(target, "one")
    assert not write_new(target, "two")
    assert target.read_text() == "one"
    (tmp_path / "nothing").symlink_to(tmp_path / "nowhere")
    assert not write_new(tmp_path / "nothing", "two"), "a link that leads nowhere is something, too"
    assert os.listdir(target.parent) == ["file.txt"]


@pytest.mark.parametrize("what", ODD_FILES)
def test_plain_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    with odd_file(tmp_path / "odd", what):
        opened: list[Any] = []
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", lambda *args, **_: opened.append(args))
            with pytest.raises(OSError, match=str(tmp_path / "odd")):
                read_plain(tmp_path / "odd")
        assert opened == []
        with pytest.raises(OSError, match="odd"):
            AppendedFile(tmp_path / "odd").add(b"x", first=b"")


def test_a_plain_file_is_read_in_part(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("0123456789")
    assert read_plain(tmp_path / "file", 2, 3) == b"234"


class TestAppendedFile:
    def test_lines_are_added_to_what_there_is(self, tmp_path: Path) -> None:
        for number in (1, 2):
            file = AppendedFile(tmp_path / "lines")
            assert file.add(b"%d\n" % number, first=b"first\n")
            assert file.add(b"more\n", first=b"first\n")
            assert file.size == (tmp_path / "lines").stat().st_size
        assert (tmp_path / "lines").read_text().split() == ["first", "1", "more", "2", "more"]

    def test_a_line_that_was_cut_off_is_ended(self, tmp_path: Path) -> None:
        (tmp_path / "lines").write_text('first\n{"cut o')
        file = AppendedFile(tmp_path / "lines")
        file.add(b"next\n", first=b"first\n")
        assert (tmp_path / "lines").read_text() == 'first\n{"cut o\nnext\n'

    def test_a_disk_that_takes_a_part_keeps_none_of_it(self, tmp_path: Path) -> None:
        """Which the limit of a process shows: the kernel writes what fits, and then nothing."""
        script = """
import resource, signal, sys
from pathlib import Path
from lightning_pepr.utilities.files import AppendedFile

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = AppendedFile(Path(sys.argv[1]))
file.add(b"whole" * 20 + b"\\n", first=b"")
resource.setrlimit(resource.RLIMIT_FSIZE, (150, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        file.add(b"in part" * 20 + b"\\n", first=b"")
    except OSError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
file.add(b"again\\n", first=b"")
"""
        target = tmp_path / "lines"
        done = subprocess.run(
            [sys.executable, "-c", script, target], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout.count("bytes could be added to") == 2
        assert target.read_text().split() == ["whole" * 20, "again"]

    def test_it_tells_whether_somebody_else_has_changed_it(self, tmp_path: Path) -> None:
        target = tmp_path / "lines"
        file = AppendedFile(target)
        assert file.add(b"one\n", first=b"first\n")
        target.unlink()
        assert not file.add(b"two\n", first=b"first\n")
        assert target.read_text() == "first\ntwo\n"
        assert file.add(b"three\n", first=b"first\n")


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
    second = signature(target)
    assert second != first
    with target.open("a") as file:
        file.write("more")
    assert signature(target) != second


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
