"""What is written is whole or not there: a disk that fails leaves the older file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lightning_pepr import ModelSpace, RunRecord
from lightning_pepr.cli import main
from lightning_pepr.figures.style import PrintFigure, save_figure
from lightning_pepr.report.page import write_page
from tests.helpers.records import save_runs

WRITE: dict[str, Callable[[Path, Path], Any]] = {
    "pepr.json": lambda runs, path: RunRecord("net").save(path),
    "space.json": lambda runs, path: ModelSpace.budget(time_s=60).save(path),
    "page.html": lambda runs, path: write_page(runs, path),
    "by command.html": lambda runs, path: main(["report", str(runs), "-o", str(path)]),
    "ranking.csv": lambda runs, path: main(["rank", str(runs), "--output", str(path)]),
    "ranking.json": lambda runs, path: main(["rank", str(runs), "--output", str(path)]),
    "findings.csv": lambda runs, path: main(["audit", str(runs), "--output", str(path)]),
    "figure.svg": lambda runs, path: save_figure(PrintFigure("column"), path),
    "kept.csv": lambda runs, path: main(["audit", str(runs), "--drop", str(path)]),
}


@pytest.mark.parametrize("name", WRITE)
def test_a_disk_that_fails_leaves_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    runs, path = save_runs(tmp_path / "runs"), tmp_path / "out" / name
    path.parent.mkdir()
    path.write_text("older")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        try:
            assert WRITE[name](runs, path) == 2
            assert "No space left on device" in capsys.readouterr().err
        except OSError as error:
            assert "No space left on device" in str(error)  # noqa: PT017
    assert path.read_text() == "older"
    WRITE[name](runs, path)
    assert path.read_bytes() != b"older"
    assert os.listdir(path.parent) == [name], "nothing half written is left"
