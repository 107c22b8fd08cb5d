"""What the demo says of its runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_pepr import RunRecord
from lightning_pepr.cli.demo import print_demo
from lightning_pepr.record import CostEntry


def test_the_demo_ranks_by_energy(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says how well the energy is known."""
    print_demo(sorted(runs.iterdir()))
    out = " ".join(capsys.readouterr().out.split())
    assert "Take small, best in PePR-E by validation data" in out
    assert "Energy is estimated, ±0%; carbon is that at 151 g CO2e per kWh." in out


def test_without_energy_time_ranks(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no energy can be measured, as on AMD GPUs."""
    for folder in runs.iterdir():
        record = RunRecord.load(folder)
        record.costs["energy_kwh"] = CostEntry(reason="an AMD GPU")
        record.save(folder / "pepr.json")
    print_demo(sorted(runs.iterdir()))
    out = " ".join(capsys.readouterr().out.split())
    assert "PePR-T" in out
    assert "Energy could not be measured here" in out
