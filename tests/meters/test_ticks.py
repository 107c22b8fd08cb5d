"""The beat of a sensor, found by looking."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_pepr.meters.ticks import TickClock


def show(
    clock: TickClock,
    period: float,
    phase: float,
    begin: float,
    end: float,
    rng: random.Random,
    every: float = 0.002,
    jitter: float = 0.0,
    visible: float = 1.0,
) -> None:
    """Look at a sensor every so often, and tell the clock between which looks it ticked."""
    number, last = math.ceil((begin - phase) / period + jitter / period), begin
    tick = phase + number * period + jitter * rng.uniform(-1, 1)
    while last < end:
        now = last + rng.uniform(0.5, 1.5) * every
        if tick <= now:
            if rng.random() < visible:
                clock.see(last, now)
            number += 1
            tick = phase + number * period + jitter * rng.uniform(-1, 1)
        last = now


@settings(max_examples=60, deadline=None)
@given(st.floats(0.02, 0.5), st.floats(0, 1), st.integers(0, 10**6), st.floats(0, 1e6))
def test_period_and_phase_are_found(period: float, phase: float, seed: int, start: float) -> None:
    clock, rng = TickClock(every=True), random.Random(seed)
    phase += start
    show(clock, period, phase, phase + 0.3 * period, phase + 12 * period, rng)
    assert clock.ready
    assert clock.period == pytest.approx(period, rel=0.02)
    soon = phase + 15 * period
    assert clock.nearest(soon) == pytest.approx(soon, abs=0.004)
    assert abs(clock.nearest(soon) - soon) <= clock.error_at(soon) + 1e-6
    assert clock.last(soon + 0.3 * period) == pytest.approx(soon, abs=0.004)
    assert clock.following(soon + 0.3 * period) == pytest.approx(soon + period, abs=0.004)


def test_ticks_that_do_not_all_show_still_tell_the_period() -> None:
    """Of a hundred sensors whose ticks show three times in five, at most one is taken for a slower one."""
    found = []
    for seed in range(100):
        clock, rng = TickClock(every=False), random.Random(seed)
        show(clock, 0.1, 0.03, 0.05, 6.0, rng, visible=0.6)
        assert clock.ready
        found.append(clock.period)
    assert sum(period == pytest.approx(0.1, rel=0.01) for period in found) >= 99


def test_ticks_that_are_not_punctual_widen_the_error() -> None:
    """Of a hundred such sensors; the bound of at most one is wider than 25 ms."""
    errors = []
    for seed in range(100):
        clock, rng = TickClock(every=True), random.Random(seed)
        show(clock, 0.1, 0.03, 0.05, 4.0, rng, jitter=0.008)
        assert clock.ready
        assert clock.period == pytest.approx(0.1, rel=0.02)
        errors.append(clock.error_at(4.0))
    assert min(errors) > 0.001
    assert sum(error < 0.025 for error in errors) >= 99


def test_after_long_the_phase_is_forgotten_and_found_again() -> None:
    clock, rng = TickClock(every=True), random.Random(1)
    show(clock, 0.1, 0.03, 0.05, 1.0, rng)
    assert clock.in_phase(1.2)
    assert not clock.in_phase(10_000.0)
    begin = 10_000.0
    show(clock, 0.1, 0.03 + 0.047, begin, begin + 1.0, rng)
    assert clock.in_phase(begin + 1.2)
    assert clock.nearest(begin + 1.177) == pytest.approx(begin + 1.177, abs=0.004)


def test_the_longer_it_looks_the_better_it_knows() -> None:
    clock, rng = TickClock(every=True), random.Random(1)
    show(clock, 0.1, 0.03, 0.05, 1.0, rng)
    early = clock.error_at(11.0) - clock.error_at(1.0)
    show(clock, 0.1, 0.03, 1.05, 30.0, rng)
    assert clock.error_at(40.0) - clock.error_at(30.0) < early / 5


def test_a_tick_is_placed_where_both_looks_and_beat_agree() -> None:
    clock, rng = TickClock(every=True), random.Random(1)
    show(clock, 0.1, 0.03, 0.05, 3.0, rng)
    moment, error = clock.place(3.02, 3.09)
    assert moment == pytest.approx(3.03, abs=0.002)
    assert error < 0.004
    moment, error = clock.place(3.05, 3.06)  # seen where none was expected
    assert 3.05 <= moment - error <= moment + error <= 3.06


def test_what_has_no_period_has_none() -> None:
    clock, rng = TickClock(every=False), random.Random(1)
    moment = 0.0
    for _ in range(40):
        moment += rng.uniform(0.001, 1.0)
        clock.see(moment, moment + 0.0001)
    assert not clock.ready
    assert not clock.in_phase(moment)
    assert clock.place(1.0, 2.0) == (1.5, 0.5)
