"""Three runs, which the commands read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.records import save_three


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The folder of three runs."""
    return save_three(tmp_path / "runs")
