"""How the repository is kept: small files, short names of tests, and benchmarks that need no tests."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

PYTHON_LINES, JAVASCRIPT_LINES = 400, 350
MODULES_AT_THE_ROOT = 10


def files(*patterns: str) -> list[Path]:
    """The project's own files, as git has them, or will have them once they are added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("this is no checkout of git, which tells the project's files from others")
    return [path for name in done.stdout.splitlines() if (path := ROOT / name).is_file()]


def long(paths: list[Path], most: int) -> dict[str, int]:
    """The files that have more lines than that."""
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    return {name: count for name, count in lines.items() if count > most}


def test_no_python_file_is_long() -> None:
    assert long(files("*.py"), PYTHON_LINES) == {}


def test_no_javascript_file_is_long() -> None:
    assert long(files("*.js"), JAVASCRIPT_LINES) == {}


def test_nothing_is_minified() -> None:
    """Neither by its name, nor by lines that nobody writes by hand."""
    scripts = files("*.js", "*.css")
    assert [path.name for path in scripts if ".min." in path.name] == []
    assert [path.name for path in scripts if max(map(len, path.read_text("utf-8").splitlines()), default=0) > 500] == []


def test_few_modules_stand_beside_the_packages() -> None:
    """Those that a user names: `__init__` and `_version` are none."""
    modules = [path.stem for path in (ROOT / "lightning_pepr").glob("*.py") if not path.stem.startswith("_")]
    assert len(modules) <= MODULES_AT_THE_ROOT, sorted(modules)


def test_names_of_tests_fit_a_line_of_100_characters() -> None:
    """The sentence goes into the docstring."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if line.lstrip().startswith("def test_") and len(line) > 100
    ]
    assert found == []


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_benchmarks_import_nothing_of_the_tests_but_the_simulated_driver() -> None:
    found = {
        f"{path.name}: {name}"
        for path in files("benchmarks/*.py")
        for name in imports(path)
        if name.startswith("tests") and not name.startswith("tests.simnvml") and name != "tests"
    }
    assert found == set()


def test_tests_import_from_helpers_and_from_no_other_test() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files("tests/*.py")
        for name in imports(path)
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))
    }
    assert {each for each in found if "tests.helpers" not in each} == set()


def test_every_module_of_the_meters_has_its_tests() -> None:
    modules = {path.stem for path in (ROOT / "lightning_pepr" / "meters").glob("[a-z]*.py")}
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / "meters").glob("test_*.py")}
    assert modules - tested == set()
