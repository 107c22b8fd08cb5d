"""Packages that may be missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from lightning_pepr.utilities.imports import is_installed, missing, package_file, require


def test_what_is_there_is_imported() -> None:
    assert require("json", "cli", "reading") is json
    assert is_installed("json")
    assert package_file("json") == Path(json.__file__).parent


def test_what_is_missing_names_the_line_that_installs_it() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"^reading needs nowhere: pip install 'lightning-pepr\[cli\]'$"):
        require("nowhere.at.all", "cli", "reading")
    assert str(missing("nowhere", "cli", "reading")) == "reading needs nowhere: pip install 'lightning-pepr[cli]'"
    assert not is_installed("nowhere")
    assert package_file("nowhere") is None


def test_what_a_package_itself_misses_is_not_said_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_installed.py").write_text("import nowhere")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'nowhere'$"):
        require("half_installed", "cli", "reading")
    assert "half_installed" not in sys.modules
