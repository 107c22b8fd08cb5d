"""No module imports upwards, as the contract in pyproject.toml has it; and the contract sees those that do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

LINT = Path(sys.executable).with_name("lint-imports")
LAYERS = "Each layer imports only what is below it"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package in a folder, by the contract of its pyproject.toml."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run(
        [str(LINT), "--no-cache"], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the package, with the contract of the project."""
    shutil.copytree(ROOT / "lightning_pepr", tmp_path / "lightning_pepr", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_package_keeps_to_its_layers() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


UPWARDS = {
    "at the top": "from lightning_pepr.report import page",
    "in a function": """
        def draw() -> None:
            from lightning_pepr.report import page
    """,
    "for types": """
        from typing import TYPE_CHECKING

        if TYPE_CHECKING:
            from lightning_pepr.report import page
    """,
}


@pytest.mark.parametrize("code", UPWARDS.values(), ids=UPWARDS.keys())
def test_an_upward_import_breaks_the_contract(project: Path, code: str) -> None:
    with (project / "lightning_pepr" / "meters" / "base.py").open("a") as file:
        file.write(textwrap.dedent(code) + "\n")
    done = lint(project)
    assert done.returncode != 0
    assert f"{LAYERS} BROKEN" in done.stdout
    assert "lightning_pepr.meters.base -> lightning_pepr.report" in done.stdout


def test_a_circle_among_siblings_breaks_the_contract(project: Path) -> None:
    with (project / "lightning_pepr" / "meters" / "base.py").open("a") as file:
        file.write("import lightning_pepr.carbon\n")
    with (project / "lightning_pepr" / "carbon.py").open("a") as file:
        file.write("import lightning_pepr.meters.base\n")
    done = lint(project)
    assert done.returncode != 0
    assert "No circles among siblings BROKEN" in done.stdout


def test_meters_need_neither_lightning_nor_polars() -> None:
    """Not even within a function: they are usable alone."""
    for path in (ROOT / "lightning_pepr" / "meters").glob("*.py"):
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        imported = {words[1].partition(".")[0] for words in lines if len(words) > 1 and words[0] in ("import", "from")}
        assert not imported & {"lightning", "pytorch_lightning", "polars", "pandas"}, path.name
