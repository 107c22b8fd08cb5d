"""What counters may do that the simulated driver does not, and the bounds of what happens between two ticks."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.meters import Quality
from lightning_pepr.meters.counter import CounterWatch
from lightning_pepr.meters.power import PowerWatch
from lightning_pepr.meters.watch import PowerRange


@given(
    st.lists(st.tuples(st.floats(0.001, 1.0), st.floats(50, 400)), min_size=1, max_size=8),
    st.floats(0, 1),
)
def test_no_power_within_the_range_exceeds_the_bound(steps, share):
    powers = PowerRange(limit=1000, sure=1)
    for _, watts in steps:
        powers.see(watts)
    span = sum(seconds for seconds, _ in steps)
    total = sum(seconds * watts for seconds, watts in steps)
    left, head = share * span, 0.0
    for seconds, watts in steps:
        head += min(seconds, max(0.0, left)) * watts
        left -= seconds
    assert abs(head - share * total) <= powers.between(total, span, share) + 1e-6


def test_an_extreme_that_was_seen_but_once_is_no_bound():
    powers = PowerRange(limit=1000, sure=2)
    for watts in (100, 101, 250):
        powers.see(watts)
    assert powers.high == 1000
    assert powers.low == pytest.approx(98)
    powers.see(251)
    assert powers.high == pytest.approx(1.02 * 251)


class Counter:
    """100 W, ticking every 50 ms."""

    def __init__(self, start_mj=10**9):
        self.zero, self.start, self.add = time.monotonic(), start_mj, 0

    def __call__(self):
        ticks = int((time.monotonic() - self.zero) / 0.05)
        return self.start + self.add + ticks * 5000


def part(watch, times=None):
    at = time.monotonic()
    if times is not None:
        times.append(at)
    watch.post(at)
    return watch.part(at, time.monotonic() + 1.0)


@pytest.mark.parametrize("leap", [-(10**6), -(10**8), 10**12])
def test_a_glitch_of_the_counter_is_a_loss_and_never_an_invention(leap):
    counter = Counter()
    watch = CounterWatch("test", counter, lambda: 100.0, limit=300.0)
    first = part(watch)
    time.sleep(0.7)
    before = part(watch)
    counter.add = leap
    time.sleep(0.3)
    times = []
    after = part(watch, times)
    time.sleep(0.3)
    last = part(watch, times)
    watch.close(time.monotonic() + 1)
    assert (before - first).losses == 0
    assert after.losses == 1
    assert after.reason
    assert 0 <= after.energy_uj - before.energy_uj <= 500e6
    assert (last - after).losses == 0
    assert (last - after).energy_j == pytest.approx(100 * (times[1] - times[0]), abs=6)


def test_an_error_that_passes_is_a_loss_of_one_window():
    counter, broken = Counter(), [False]

    def read():
        if broken[0]:
            raise OSError("not now")
        return counter()

    watch, times = CounterWatch("test", read, None, limit=300.0), []
    first = part(watch, times)
    time.sleep(0.7)
    broken[0] = True
    during = part(watch)
    time.sleep(3)
    broken[0] = False
    after = part(watch, times)
    watch.close(time.monotonic() + 1)
    assert during.settled
    assert during.losses == 1
    assert "not now" in during.reason
    assert (after - first).losses == 1
    assert (after - first).energy_j == pytest.approx(100 * (times[1] - times[0]), abs=25)  # the counter had gone on


def test_a_counter_that_stands_still_is_no_energy_and_holds_nobody_up():
    watch = CounterWatch("test", lambda: 5, lambda: 0.0, limit=300.0)
    first = part(watch)
    time.sleep(1.6)
    last = part(watch)
    watch.close(time.monotonic() + 1)
    assert last.energy_uj == first.energy_uj == 0
    assert last.settled


def test_a_bug_in_reading_ends_the_watch_but_nothing_else():
    watch = CounterWatch("test", lambda: "x", None, limit=300.0)
    found = part(watch)
    assert found.quality is Quality.UNAVAILABLE
    assert found.energy_uj is None
    assert part(watch).settled
    watch.close(time.monotonic() + 1)


def test_power_readings_that_stop_for_a_while_are_not_made_up():
    broken = [False]

    def read():
        if broken[0]:
            raise OSError("not now")
        return 100.0

    watch = PowerWatch("test", read, limit=300.0)
    first = part(watch)
    time.sleep(2)
    times = []
    before = part(watch, times)
    broken[0] = True
    time.sleep(2)
    broken[0] = False
    time.sleep(0.3)
    after = part(watch, times)
    watch.close(time.monotonic() + 1)
    assert (before - first).losses == 0
    assert (after - before).losses == 1
    assert (after - before).energy_j < 100 * (times[1] - times[0]) - 150
