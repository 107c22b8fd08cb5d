"""Power that is summed up where there is no counter."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lightning_pepr.meters.power import PowerWatch
from tests.helpers.meters import ask, boundary, near, only
from tests.simnvml import SimDevice, SimDriver


@pytest.mark.alone
@pytest.mark.parametrize("steady", [True, False])
def test_without_a_counter_the_power_is_summed_up(steady: bool) -> None:
    sim = SimDriver(SimDevice(counter=False, low=200 if steady else 70, high=200 if steady else 320))
    script = """
meter = open_meter([0])
time.sleep(1.7)
a = meter.read()
time.sleep(2)
print(json.dumps(show(meter.read(), a)))
"""
    part = only(ask(sim, script))
    assert part["quality"] == "integrated"
    assert near(part)
    assert part["energy"] == pytest.approx(part["truth"], rel=0.005 if steady else 0.04)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("device", "wider"), [({"arch": 9}, True), ({"arch": 5}, False), ({"name": "NVIDIA A100-SXM4"}, False)]
)
def test_boards_that_average_over_another_window_get_a_wider_bound(
    device: Any,
    wider: bool,
) -> None:
    sim = SimDriver(SimDevice(counter=False, instant=False, power_window=1.0 if wider else None, **device))
    script = """
from lightning_pepr.meters.nvml import find_boards
(board,) = find_boards([0])
meter = open_meter([0])
time.sleep(2.5)
a = meter.read()
time.sleep(2)
print(json.dumps([board.window, show(meter.read(), a)]))
"""
    window, found = ask(sim, script)
    part = only(found)
    assert near(part)
    assert window == (1.0 if wider else None)
    if wider:
        assert part["error"] > 100


def test_power_readings_that_stop_for_a_while_are_not_made_up() -> None:
    broken = [False]

    def read() -> float:
        if broken[0]:
            raise OSError("not now")
        return 100.0

    watch = PowerWatch("test", read, limit=300.0)
    first = boundary(watch)
    time.sleep(2)
    times: list[float] = []
    before = boundary(watch, times)
    broken[0] = True
    time.sleep(2)
    broken[0] = False
    time.sleep(0.3)
    after = boundary(watch, times)
    watch.close(time.monotonic() + 1)
    assert (before - first).losses == 0
    assert (after - before).losses == 1
    assert (after - before).energy_j < 100 * (times[1] - times[0]) - 150


@pytest.mark.alone
@pytest.mark.parametrize("limit", [True, False])
@pytest.mark.parametrize("milliwatts", [0xFFFFFFFF, 25_000_000])
def test_a_power_that_no_board_draws_is_no_sample(limit: bool, milliwatts: int) -> None:
    board = SimDevice(counter=False, low=300, high=300, no_limit=not limit, garbled_mw=milliwatts)
    script = """
sim.start(garbled_at=2.02, garbled_until=2.12)
meter = HostMeter([0])
time.sleep(3)
print(json.dumps(show(meter.read())))
"""
    part = only(ask(SimDriver(board), script))
    assert part["quality"] == "integrated"
    assert part["energy"] == pytest.approx(part["truth"], rel=0.02)
    assert near(part)
