"""Readings, their parts, and what their differences say."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.meters import Part, Quality, Reading
from tests.helpers.meters import microjoules

energies = st.integers(min_value=0, max_value=10**15)


@given(st.lists(energies, min_size=2, max_size=20))
def test_windows_add_up_to_the_whole_exactly(values: list[int]) -> None:
    readings = [Reading({"gpu:x": Part(value, Quality.COUNTER)}) for value in sorted(values)]
    windows = [microjoules((b - a).parts["gpu:x"]) for a, b in itertools.pairwise(readings)]
    assert sum(windows) == max(values) - min(values)


@given(energies, energies, st.floats(0, 10), st.floats(0, 10), st.floats(0, 10))
def test_a_window_has_the_errors_of_its_own_edges(
    first: int, more: int, early: float, late: float, drift: float
) -> None:
    a = Part(first, Quality.COUNTER, begin_j=5.0, end_j=early)
    b = Part(first + more, Quality.COUNTER, begin_j=5.0, end_j=late, drift_j=drift)
    assert (b - a).error_j == pytest.approx(early + late + drift)


def test_the_worst_part_gives_the_quality_and_nothing_unmeasured_is_zero() -> None:
    assert Quality.worst(Quality.COUNTER, Quality.ESTIMATED, Quality.INTEGRATED) is Quality.ESTIMATED
    assert Quality.worst() is Quality.UNAVAILABLE
    reading = Reading({"a": Part(5, Quality.COUNTER), "b": Part(None, Quality.UNAVAILABLE, reason="why")})
    assert math.isnan(reading.energy_j)
    assert math.isnan(Reading().energy_j)
    assert reading.quality is Quality.UNAVAILABLE
    window = reading - reading
    assert math.isnan(window.energy_j)
    assert window.parts["b"].reason == "why"


def test_a_window_is_a_lower_bound_only_if_something_was_lost_in_it() -> None:
    a = Part(10, Quality.COUNTER, losses=1, reason="gone")
    assert not (Part(20, Quality.COUNTER, losses=1, reason="gone") - a).lower_bound
    assert (Part(20, Quality.COUNTER, losses=1, reason="gone") - a).reason == ""
    assert (Part(20, Quality.COUNTER, losses=2, reason="gone again") - a).lower_bound


def test_readings_of_two_meters_do_not_subtract() -> None:
    with pytest.raises(ValueError, match="same meter"):
        Reading({"a": Part(5, Quality.COUNTER)}) - Reading({"b": Part(5, Quality.COUNTER)})
