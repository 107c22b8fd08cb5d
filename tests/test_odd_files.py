"""What is no plain file is opened by no reader, and a folder that cannot be read is named."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lightning_pepr import ModelSpace, RunRecord, load_runs
from lightning_pepr.auditing import drop_rejected
from lightning_pepr.cli import main
from lightning_pepr.report.data import collect, fingerprint
from lightning_pepr.runs.wandb import read_wandb
from lightning_pepr.study.folder import STUDY_FILE, StudyFolder
from lightning_pepr.study.models import read_names
from lightning_pepr.study.settings import Settings
from tests.helpers.odd import ODD_FILES, odd_file
from tests.helpers.records import make_run, save_runs

pytestmark = pytest.mark.timeout(60)

ALONE: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "record": ("pepr.json", RunRecord.load),
    "its URL": ("pepr.json", lambda path: RunRecord.load(path.as_uri())),
    "table": ("t.csv", load_runs),
    "table without an ending": ("t", load_runs),
    "URL of a table's place": ("pepr.json", lambda path: load_runs(path.as_uri())),
    "space": ("space.json", ModelSpace.load),
    "space of a ranking": ("space.json", ModelSpace.of),
    "log": ("run-a.wandb", read_wandb),
    "table to drop from": ("t.csv", drop_rejected),
    "names of models": ("names.txt", lambda path: read_names(f"@{path}")),
}


@pytest.mark.parametrize("what", ODD_FILES)
@pytest.mark.parametrize("kind", ALONE)
def test_it_is_refused_in_words(tmp_path: Path, kind: str, what: str) -> None:
    name, read = ALONE[kind]
    with odd_file(tmp_path / name, what), pytest.raises((OSError, ValueError), match=name):
        read(tmp_path / name)


@pytest.mark.parametrize("what", ODD_FILES)
@pytest.mark.parametrize("name", ["pepr.json", "pepr-0a1b2c3d.json", "pepr.jsonl", "run-a.wandb", "study.json"])
def test_in_a_folder_it_costs_itself(tmp_path: Path, name: str, what: str) -> None:
    save_runs(tmp_path / "runs")
    if name == "pepr.jsonl":
        make_run("small").save(tmp_path / "runs" / "odd" / "pepr.json")
    with odd_file(tmp_path / "runs" / "odd" / name, what), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert set(load_runs(tmp_path / "runs")["model"]) == {"small", "medium", "large"}
        assert collect([tmp_path / "runs"])["runs"]["model"]
        assert fingerprint([tmp_path / "runs"])
        assert main(["rank", str(tmp_path / "runs")]) == 0
        assert main(["audit", str(tmp_path / "runs"), "--drop", str(tmp_path / "kept.csv")]) in (0, 1)


@pytest.mark.parametrize("what", ODD_FILES)
def test_a_study_has_such_a_file(tmp_path: Path, what: str) -> None:
    with odd_file(tmp_path / STUDY_FILE, what):
        assert StudyFolder.open(tmp_path, Settings("digits"), write=False).path == tmp_path


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that cannot be read, not even by root, whom no permission stops."""
    folder = save_runs(tmp_path / "runs") / "locked"
    shutil.copytree(tmp_path / "runs" / "small-0", folder)
    scan = os.scandir

    def scandir(path: Any = ".") -> Any:
        if os.fspath(path) == os.fspath(folder):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scan(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        yield folder


def test_a_folder_that_cannot_be_read_is_named(locked: Path) -> None:
    where = rf"1 folder in .* cannot be read, .*: {locked} \(Permission denied\)"
    with pytest.warns(UserWarning, match=where) as caught:
        runs = load_runs(locked.parent)
    assert len(runs) == 6
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=where):
        assert any(str(locked) in note for note in collect([locked.parent])["notes"]), "and the page says so"


def test_where_nothing_can_be_read_that_is_the_reason(locked: Path) -> None:
    with (
        pytest.warns(UserWarning, match="1 folder in .* cannot be read"),
        pytest.raises(ValueError, match="holds no run"),
    ):
        load_runs(locked)
