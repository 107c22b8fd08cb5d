"""A counter that cannot be true beside the power is found, and no honest board is ever taken for one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_pepr.meters.agreement import CrossCheck
from tests.helpers.meters import ask, only
from tests.simnvml import SimDevice, SimDriver


@dataclass
class HonestBoard:
    """A board whose counter and power are true, each as coarse and as late as boards make them."""

    idle: float
    load: float
    wave: float  # seconds, of which it is under load for the share `duty`
    duty: float
    period: float  # of the counter,
    jitter: float  # by whose share of the period its ticks are late at most,
    step: float  # joules in which it counts
    window: float  # seconds that the power is the mean of,
    update: float  # and those between its updates

    def energy(self, t: float) -> float:
        whole, part = divmod(t / self.wave, 1.0)
        return self.idle * t + (self.load - self.idle) * (whole * self.duty + min(part, self.duty)) * self.wave

    def counter(self, t: float) -> float:
        number = math.floor(t / self.period)
        while (tick := number * self.period + self.jitter * self.period * (hash((number, "late")) % 997) / 997) > t:
            number -= 1
        return math.floor(self.energy(tick) / self.step) * self.step

    def power(self, t: float) -> float:
        tick = math.floor(t / self.update) * self.update
        return (self.energy(tick) - self.energy(tick - self.window)) / self.window


boards = st.builds(
    HonestBoard,
    idle=st.floats(2.0, 100.0),
    load=st.floats(100.0, 1200.0),
    wave=st.floats(0.05, 20.0),
    duty=st.floats(0.0, 1.0),
    period=st.floats(0.02, 1.0),
    jitter=st.floats(0.0, 0.3),
    step=st.sampled_from([0.001, 0.1, 1.0]),
    window=st.floats(0.02, 1.0),
    update=st.floats(0.02, 0.1),
)


def check(board: HonestBoard, looks: Sequence[float], period: float, lasts: float = 50e-6) -> list[str]:
    """What is found at looks at a board, each of which takes a while; what is not empty is a false alarm."""
    checked, found = CrossCheck(), []
    for t in looks:
        checked.look(t, t + lasts, board.counter(t + lasts / 2))
        found.append(checked.stands_still(period, lambda t=t: board.power(t)))  # type: ignore[misc]
    return found


@settings(max_examples=400, deadline=None)
@given(boards, st.floats(20.0, 40.0), st.lists(st.floats(0.0005, 3.0), min_size=5, max_size=60), st.booleans())
def test_no_honest_counter_stands_still(
    board: HonestBoard,
    begin: float,
    gaps: list[float],
    known: bool,
) -> None:
    """Idle, stepping, averaged over a second, ticking once a second: looks at any time."""
    looks = [begin + sum(gaps[:index]) for index in range(len(gaps))]
    looks += [looks[-1] + 0.01 * index for index in range(300)]  # a tick is looked for
    # Steps of a joule at 2 W are half a second apart, whatever the period: no period is found there.
    timed = known and board.step < 0.5 * board.idle * board.period
    assert not any(check(board, looks, board.period if timed else math.nan))


@settings(max_examples=300, deadline=None)
@given(boards, st.floats(20.0, 40.0))
def test_no_honest_counter_lags_while_it_is_learnt(board: HonestBoard, begin: float) -> None:
    """As in the first seconds of a meter, on a board that is under load for no less than a quarter of the time."""
    board.duty, board.window = max(board.duty, 0.25), min(board.window, 0.1)
    checked, last, ticks = CrossCheck(), board.counter(begin), 0
    for index in range(1500):
        t = begin + 0.004 * index
        value = board.counter(t)
        if value != last and checked.is_due(t):
            checked.compare(t, value, board.power(t))
        ticks, last = ticks + (value != last), value
        if ticks >= 10:
            break
    assert checked.lags() == ""


def test_a_call_that_hangs_is_no_counter_that_stands_still() -> None:
    """When in the long call the counter was read, nobody knows."""
    checked = CrossCheck()
    checked.look(0.0, 0.001, 5.0)
    checked.look(0.1, 9.0, 5.0)
    assert checked.stands_still(0.1, lambda: 300.0) == ""


@pytest.mark.parametrize(
    ("seconds", "period", "watts", "still"),
    [
        (0.3, 0.1, 300.0, False),
        (0.45, 0.1, 300.0, True),
        (0.45, 0.1, 8.0, False),  # an idle board's may tick more slowly
        (1.5, 0.1, 8.0, True),
        (2.0, 1.0, 300.0, False),
        (2.6, 1.0, 300.0, True),
        (1.4, math.nan, 300.0, False),  # the ticks may be a second apart
        (1.5, math.nan, 300.0, True),
        (60.0, 0.1, 0.0, False),
        (60.0, 0.1, None, True),  # no power to compare with, but no board draws nothing
        (0.45, 0.1, None, False),
    ],
)
def test_a_counter_that_stands_still_is_found(
    seconds: float,
    period: float,
    watts: float | None,
    still: bool,
) -> None:
    checked = CrossCheck()
    checked.look(0.0, 0.0, 5.0)
    checked.look(0.01, 0.01, 6.0)
    checked.look(0.01 + seconds, 0.01 + seconds, 6.0)
    found = checked.stands_still(period, lambda: watts)
    assert ("stands still" in found) == still
    if still and watts:
        assert f"{watts:.0f} W" in found


@pytest.mark.parametrize(("gain", "lags"), [(0.05, True), (0.1, True), (0.5, False), (1.0, False)])
def test_a_counter_that_counts_a_tenth_is_found(gain: float, lags: bool) -> None:
    checked = CrossCheck()
    for index in range(10):
        checked.compare(index * 0.1, gain * 30.0 * index, 300.0 + index)
    assert bool(checked.lags()) == lags
    assert ("reads at least 300 W" in checked.lags()) == lags


HONEST = {
    "idle": SimDevice(low=8, high=8),
    "idle, once a second": SimDevice(low=8, high=8, period=1.0),
    "load, once a second": SimDevice(low=300, high=300, period=1.0, jitter=0.1),
    "steps": SimDevice(low=5, high=650, wave=3.1, duty=0.5),
    "steps, power averaged over a second": SimDevice(low=5, high=650, wave=3.1, instant=False, power_window=1.0),
    "short spikes": SimDevice(low=30, high=700, wave=0.1, duty=0.25, instant_window=0.025),
    "finer than can be seen": SimDevice(period=0.0005),
    "20 ms": SimDevice(period=0.02, jitter=0.005),
    "no power": SimDevice(power=False, instant=False),
    "power garbled": SimDevice(garbled_at=0.0, garbled_until=60.0),
    "no limit": SimDevice(no_limit=True),
    "off": SimDevice(low=0, high=0),
}
WATCHED = """
sim.start()
with open_meter([0]) as meter:
    first = last = meter.read()
    found = []
    for pause in (0.05, 0.4, 0.9, 1.6, 0.2, 2.2, 0.0, 0.7):
        time.sleep(pause)
        now = meter.read()
        found.append(show(now, last))
        last = now
    print(json.dumps([*found, show(last)]))
"""


@pytest.mark.alone
def test_honest_boards_of_the_simulated_driver_are_never_flagged() -> None:
    # Side by side: nearly all of the time is waiting.
    with ThreadPoolExecutor(len(HONEST)) as pool:
        found = dict(zip(HONEST, pool.map(lambda board: ask(SimDriver(board), WATCHED), HONEST.values()), strict=True))
    flagged = [
        (name, part["quality"], part["losses"], part["reason"])
        for name, windows in found.items()
        for part in map(only, windows)
        if part["losses"] or part["reason"] or part["quality"] != "counter"
    ]
    assert not flagged
