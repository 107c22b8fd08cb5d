"""Counters that move in steps: on the simulated driver, and what it does not do."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lightning_pepr.meters import Quality
from lightning_pepr.meters.counter import CounterWatch
from tests.helpers.meters import ask, boundary, near, only
from tests.simnvml import SimDevice, SimDriver


@pytest.mark.alone
def test_windows_add_up_and_never_fall_however_many_fall_into_one_tick() -> None:
    script = """
meter = open_meter([0])
time.sleep(1)
readings = []
for _ in range(12):
    readings += [meter.read(wait=False) for _ in range(5)]
    time.sleep(0.03)
late = meter.read()
settled = [meter.settle(r) for r in readings] + [late]
again = [meter.settle(r) for r in readings] + [late]
parts = [only for r in settled for only in gpus(r).values()]
windows = [only for a, b in zip(settled, settled[1:]) for only in gpus(b - a).values()]
print(json.dumps({
    "windows": [w.energy_uj for w in windows], "total": parts[-1].energy_uj - parts[0].energy_uj,
    "settled": all(r.settled for r in settled), "same": settled == again,
    "early": [gpus(r).popitem()[1].settled for r in readings],
    "apart": max(abs(gpus(a).popitem()[1].energy_j - gpus(b).popitem()[1].energy_j)
                 - gpus(a).popitem()[1].end_j - gpus(b).popitem()[1].end_j for a, b in zip(readings, settled)),
}))
"""
    found = ask(SimDriver(), script)
    assert sum(found["windows"]) == found["total"]
    assert min(found["windows"]) >= 0
    assert found["settled"]
    assert found["same"]
    assert not all(found["early"])
    assert found["apart"] <= 0.01  # the first value was within its error of the final one


@pytest.mark.alone
@pytest.mark.parametrize("period", [0.002, 0.02, 0.5])
def test_counters_of_other_periods_are_interpolated_too(period: float) -> None:
    script = """
meter = open_meter([0])
time.sleep(2.2)
a = meter.read()
time.sleep(1.3)
print(json.dumps(show(meter.read(), a)))
"""
    part = only(ask(SimDriver(SimDevice(low=150, high=150, period=period)), script))
    assert part["settled"]
    assert near(part)
    assert part["energy"] == pytest.approx(part["truth"], rel=0.02)


@pytest.mark.alone
def test_a_step_of_power_within_a_tick_stays_in_the_total() -> None:
    """It moves energy to the neighbouring window, but none out of the total."""
    # Power is 100 W, and 300 W from a boundary on that lies in the middle of a tick of 0.1 s.
    sim = SimDriver(SimDevice(low=100, high=300, wave=1000.0, duty=0.5, phase=0.0, limit=400))
    script = """
sim = sim.start(wave_phase=3.05)
meter = HostMeter([0])
time.sleep(1.5)
a = meter.read()
time.sleep(max(0.0, sim.epoch + 3.05 - time.monotonic()))
b = meter.read()
time.sleep(1)
c = meter.read()
print(json.dumps([show(b, a), show(c, b), show(c, a)]))
"""
    before, after, both = map(only, ask(sim, script))
    assert before["uj"] + after["uj"] == both["uj"]
    # ΔP × period / 4, as the docs say; less if the process woke up late.
    assert -1.0 <= before["energy"] - before["truth"] <= 200 * 0.1 / 4 + 1.0
    assert near(before)
    assert near(after)
    assert near(both)
    assert both["energy"] == pytest.approx(both["truth"], abs=1.5)


@pytest.mark.alone
def test_between_boundaries_the_counter_is_left_alone() -> None:
    script = """
meter = open_meter([0])
time.sleep(2)
asleep = sim.calls()
time.sleep(1)
slept = sim.calls() - asleep
counts = []
for _ in range(6):
    before = sim.calls()
    meter.read()
    time.sleep(0.21)
    counts.append(sim.calls() - before)
print(json.dumps([slept, counts]))
"""
    slept, counts = ask(SimDriver(latency=50e-6), script)
    assert slept == 0
    assert max(counts) <= 12


class Counter:
    """100 W, ticking every 50 ms."""

    def __init__(self, start_mj: int = 10**9) -> None:
        self.zero, self.start, self.add = time.monotonic(), start_mj, 0

    def __call__(self) -> int:
        ticks = int((time.monotonic() - self.zero) / 0.05)
        return self.start + self.add + ticks * 5000


@pytest.mark.parametrize("leap", [-(10**6), -(10**8), 10**12])
def test_a_glitch_of_the_counter_is_a_loss_and_never_an_invention(leap: int) -> None:
    counter = Counter()
    watch = CounterWatch("test", counter, lambda: 100.0, limit=300.0)
    first = boundary(watch)
    time.sleep(0.7)
    before = boundary(watch)
    counter.add = leap
    time.sleep(0.3)
    times: list[float] = []
    after = boundary(watch, times)
    time.sleep(0.3)
    last = boundary(watch, times)
    watch.close(time.monotonic() + 1)
    assert (before - first).losses == 0
    assert after.losses == 1
    assert after.reason
    assert 0 <= (after - before).energy_j <= 500
    assert (last - after).losses == 0
    assert (last - after).energy_j == pytest.approx(100 * (times[1] - times[0]), abs=6)


def test_an_error_that_passes_is_a_loss_of_one_window() -> None:
    counter, broken = Counter(), [False]

    def read() -> int:
        if broken[0]:
            raise OSError("not now")
        return counter()

    watch = CounterWatch("test", read, None, limit=300.0)
    times: list[float] = []
    first = boundary(watch, times)
    time.sleep(0.7)
    broken[0] = True
    during = boundary(watch)
    time.sleep(3)
    broken[0] = False
    after = boundary(watch, times)
    watch.close(time.monotonic() + 1)
    assert during.settled
    assert during.losses == 1
    assert "not now" in during.reason
    assert (after - first).losses == 1
    assert (after - first).energy_j == pytest.approx(100 * (times[1] - times[0]), abs=25)  # the counter had gone on


def test_a_counter_that_stands_still_is_no_energy_and_holds_nobody_up() -> None:
    watch = CounterWatch("test", lambda: 5, lambda: 0.0, limit=300.0)
    first = boundary(watch)
    time.sleep(1.6)
    last = boundary(watch)
    watch.close(time.monotonic() + 1)
    assert last.energy_uj == first.energy_uj == 0
    assert last.settled


def test_a_bug_in_reading_ends_the_watch_but_nothing_else() -> None:
    broken: Any = lambda: "x"  # noqa: E731
    watch = CounterWatch("test", broken, None, limit=300.0)
    found = boundary(watch)
    assert found.quality is Quality.UNAVAILABLE
    assert found.energy_uj is None
    assert boundary(watch).settled
    watch.close(time.monotonic() + 1)


LIES = """
sim.start({lie})
with HostMeter([0]) as meter:
    readings = [meter.read()]
    for moment in {moments}:
        time.sleep(max(0.0, sim.epoch + moment - time.monotonic()))
        readings.append(meter.read())
    print(json.dumps([*(show(b, a) for a, b in zip(readings, readings[1:])), show(readings[-1])]))
"""


def lie(board: SimDevice, moments: list[float], **faults: float) -> list[Any]:
    """What is metered of a board that lies: the windows between the moments, and the whole."""
    words = ", ".join(f"{name}={value}" for name, value in faults.items())
    return [only(part) for part in ask(SimDriver(board), LIES.format(lie=words, moments=moments))]


STEADY = SimDevice(low=300, high=300)


@pytest.mark.alone
@pytest.mark.parametrize("period", [0.02, 0.1, 1.0])
def test_a_counter_that_never_moves_is_a_loss_and_the_power_goes_on(period: float) -> None:
    board = SimDevice(low=300, high=300, period=period)
    first, second, total = lie(board, [3.0, 6.0], freeze_at=0.0)
    assert first["lower_bound"]
    assert total["lower_bound"]
    assert total["quality"] == "integrated"
    assert "stands still while its power reads 300 W" in total["reason"]
    assert 0.5 * total["truth"] < total["energy"] <= total["truth"] + total["error"]
    assert not second["lower_bound"]  # from then on all is known, by the power
    assert second["quality"] == "integrated"
    assert "the power is added up" in second["reason"]
    assert near(second)
    assert second["energy"] == pytest.approx(second["truth"], rel=0.03)


@pytest.mark.alone
@pytest.mark.parametrize("period", [0.002, 0.02, 0.1])
def test_a_counter_that_stops_in_the_middle_is_a_lower_bound(period: float) -> None:
    """It has ticked for two seconds of six, and is read at their end."""
    (window, _) = lie(SimDevice(low=300, high=300, period=period), [6.0], freeze_at=2.0)
    assert window["settled"]
    assert window["lower_bound"]
    assert "stands still while its power reads 300 W" in window["reason"]
    assert 300 < window["energy"] <= 2.0 * 300 + window["error"]


@pytest.mark.alone
def test_what_a_counter_missed_before_it_went_on_is_a_loss_and_counts_once() -> None:
    *windows, total = lie(STEADY, [1.5, 3.0, 4.5, 6.0], freeze_at=2.0, thaw_at=4.0)
    assert [part["lower_bound"] for part in windows] == [False, True, True, False]
    assert total["energy"] <= total["truth"] + total["error"]
    assert near(windows[-1])


@pytest.mark.alone
def test_a_counter_that_is_idle_and_stops_has_it_in_its_error() -> None:
    (window, _) = lie(SimDevice(low=8, high=8), [6.0], freeze_at=2.0)
    assert window["lower_bound"] or near(window)


@pytest.mark.alone
def test_a_counter_of_a_tenth_of_the_power_is_a_lower_bound_in_all_windows() -> None:
    *windows, total = lie(SimDevice(low=300, high=300, counter_gain=0.1), [1.5, 2.5, 3.5])
    assert all(part["lower_bound"] for part in [*windows, total])
    assert "says 30.0 W while its power reads at least 300 W" in total["reason"]


@pytest.mark.alone
@pytest.mark.parametrize("every", [2, 3, 7])
def test_a_counter_that_falls_for_a_moment_adds_nothing(every: int) -> None:
    *_, total = lie(SimDevice(low=300, high=300, dip_every=every), [1.0, 2.0, 3.0, 4.0], dip_at=0.0)
    assert total["lower_bound"]
    assert "backwards" in total["reason"]
    # The first look may have been a low one: that once, and never again.
    assert total["truth"] - 100 <= total["energy"] <= total["truth"] + total["error"] + 50


@pytest.mark.parametrize("fall", [20.0, 90.0])
def test_however_often_a_counter_falls_and_comes_back_it_counts_once(fall: float) -> None:
    counter, times = Counter(), list[float]()
    watch = CounterWatch("test", counter, lambda: 100.0, limit=300.0)
    first = boundary(watch, times)
    for _ in range(6):
        counter.add = round(-fall * 1000)
        boundary(watch)
        counter.add = 0
        last = boundary(watch, times)
    watch.close(time.monotonic() + 1)
    assert last.losses > 0
    assert (last - first).energy_j <= 100 * (times[-1] - times[0]) + last.error_j


def test_a_counter_that_is_reset_again_and_again_is_not_believed() -> None:
    counter = Counter(10**12)
    watch = CounterWatch("test", counter, lambda: 100.0, limit=300.0)
    boundary(watch)
    for _ in range(2):
        counter.add -= 10**9
        boundary(watch)
    last = boundary(watch)
    watch.close(time.monotonic() + 1)
    assert last.quality is Quality.INTEGRATED
    assert "again and again" in last.reason
    assert last.energy_j < 500
