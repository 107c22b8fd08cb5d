"""A browser for the tests of the report, and a page of six runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lightning_pepr.report.page import write_page
from tests.helpers.browser import WITHOUT, Browser, find, launch
from tests.helpers.records import save_runs


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if find() is None:
        pytest.skip(WITHOUT)
    with launch() as started:
        yield started


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def page(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(runs, tmp_path_factory.mktemp("page") / "report.html", command="lightning-pepr report runs")
