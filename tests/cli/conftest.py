"""Three runs, which the commands read."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_pepr import RunRecord
from lightning_pepr.record import CostEntry, Epoch


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three runs: the most expensive performs best, the middle one scores best."""
    for name, validation, test, kwh in (
        ("tiny", 0.5, 0.55, 1e-4),
        ("small", 0.8, 0.75, 2e-4),
        ("large", 0.85, 0.85, 1e-3),
    ):
        RunRecord(
            name,
            params=10**6,
            epochs=[Epoch(0, 1, validation)],
            test_performance=test,
            costs={"energy_kwh": CostEntry(kwh, 0.0, "estimated"), "time_s": CostEntry(kwh * 1e6, 0.0, "counter")},
        ).save(tmp_path / "runs" / name / "pepr.json")
    return tmp_path / "runs"
