"""Recorded traces, and what plays them."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.errors import PePRError
from lightning_pepr.meters import Quality, ReplayMeter, open_meter
from tests.helpers.meters import microjoules


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(0, 30), min_size=2, max_size=20))
def test_windows_add_up_to_the_whole_exactly(moments: list[float]) -> None:
    clock = Clock()
    meter = ReplayMeter([0, 1, 7, 30], {"gpu:x": [5, 6.1, 700, 701], "cpu:y": [0, 1, 2, 3]}, clock=clock)
    readings = []
    for moment in sorted(moments):
        clock.now = 100.0 + moment
        readings.append(meter.read())
    for key in ("gpu:x", "cpu:y"):
        windows = [microjoules((b - a).parts[key]) for a, b in itertools.pairwise(readings)]
        assert min(windows) >= 0
        assert sum(windows) == (readings[-1] - readings[0]).parts[key].energy_uj


def test_the_trace_is_interpolated_and_its_end_is_a_lower_bound() -> None:
    clock = Clock()
    meter = ReplayMeter([0, 2, 4], {"gpu:x": [10, 20, 50]}, Quality.INTEGRATED, clock)
    clock.now = 103.0
    reading = meter.read()
    assert (reading.energy_j, reading.time_s, reading.quality) == (25.0, 3.0, Quality.INTEGRATED)
    assert meter.settle(reading) is reading
    assert not reading.lower_bound
    clock.now = 105.0
    over = meter.read()
    assert over.energy_j == 40.0
    assert over.lower_bound
    assert (meter.read() - over).lower_bound, "a window that is wholly after the end has lost all of its energy"


def test_a_recorded_trace_plays_after_being_saved(tmp_path: Path) -> None:
    with open_meter(devices=[]) as meter:
        recorded = ReplayMeter.record(meter, seconds=0.3, interval_s=0.05)
    recorded.save(tmp_path / "trace.csv")
    clock = Clock()
    played = ReplayMeter.load(tmp_path / "trace.csv", clock=clock)
    a = played.read()
    clock.now += 0.25
    window = played.read() - a
    assert window.energy_j >= 0
    assert [key.split(":")[0] for key in window.parts] == ["cpu"]


@pytest.mark.parametrize(
    ("times", "energies"),
    [([], {"a": []}), ([0, 0], {"a": [1, 2]}), ([0, 1], {"a": [1]}), ([0, 1], {"a": [2, 1]})],
)
def test_what_is_no_trace_is_refused(times: list[float], energies: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="expected"):
        ReplayMeter(times, energies)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "time_s\n0\n", "time_s,gpu:x\n"])
def test_a_file_that_is_no_trace_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "trace.csv").write_text(text)
    with pytest.raises(ValueError, match="expected"):
        ReplayMeter.load(tmp_path / "trace.csv")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(PePRError, match="finite"):
        ReplayMeter([0.0, value], {"gpu:a": [0.0, 1.0]})
    with pytest.raises(PePRError, match="finite"):
        ReplayMeter([0.0, 1.0], {"gpu:a": [0.0, value]})
