"""The outlines are drawn once for all tests of the study."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_pepr.study.data import NoduleData
from lightning_pepr.study.outlines import Outlines, load_outlines


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def outlines(cache: Path) -> Outlines:
    return load_outlines(32, cache=cache)


@pytest.fixture
def data(cache: Path) -> NoduleData:
    data = NoduleData(32, 64, cache=cache)
    data.setup()
    return data
