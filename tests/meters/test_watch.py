"""Boundaries of counters and of integrated power alike: their bounds, and faults of the driver."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.meters.watch import PowerRange
from tests.helpers.meters import ask, near, only
from tests.simnvml import SimDevice, SimDriver


@given(
    st.lists(st.tuples(st.floats(0.001, 1.0), st.floats(50, 400)), min_size=1, max_size=8),
    st.floats(0, 1),
)
def test_no_power_in_range_exceeds_the_bound(
    steps: list[tuple[float, float]],
    share: float,
) -> None:
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


def test_an_extreme_that_was_seen_but_once_is_no_bound() -> None:
    powers = PowerRange(limit=1000, sure=2)
    for watts in (100, 101, 250):
        powers.see(watts)
    assert powers.high == 1000
    assert powers.low == pytest.approx(98)
    powers.see(251)
    assert powers.high == pytest.approx(1.02 * 251)


FAULT = """
sim.start({fault})
meter = HostMeter([0])
time.sleep(max(0.0, sim.epoch + 1.8 - time.monotonic()))
a = meter.read()
time.sleep(max(0.0, sim.epoch + 3.5 - time.monotonic()))
b = meter.read()
time.sleep(0.3)
c = meter.read()
print(json.dumps([show(a), show(b, a), show(c, b), show(c)]))
meter.close()
"""


@pytest.mark.alone
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("lost_at=2.8", "lost"),
        ("denied_at=2.8", "Permissions"),
        ("reset_at=2.8", "backwards"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("counter", [True, False])
def test_a_fault_leaves_a_lower_bound(fault: str, reason: str, counter: bool) -> None:
    """What was counted before a fault is kept."""
    if not counter and "reset" in fault:
        return  # there is nothing to reset
    sim = SimDriver(SimDevice(counter=counter))
    before, during, after, total = map(only, ask(sim, FAULT.format(fault=fault)))
    assert near(before)
    assert not before["lower_bound"]
    assert during["lower_bound"] == total["lower_bound"] == bool(fault)
    assert reason in total["reason"]
    assert all(part["settled"] for part in (before, during, after, total))
    assert total["uj"] >= before["uj"] > 0
    assert total["energy"] <= total["truth"] + total["error"]
    if not fault:
        assert near(during)
        assert total["reason"] == ""
    if "reset" in fault:
        assert not after["lower_bound"]
        assert near(after)
        assert total["energy"] > 0.7 * total["truth"]


@pytest.mark.alone
@pytest.mark.parametrize("counter", [True, False])
def test_a_driver_that_hangs_holds_nobody_up(counter: bool) -> None:
    script = """
sim.start(hang_at=2.0, hang_s=3.0)
meter = HostMeter([0])
time.sleep(1.7)
a = meter.read()
time.sleep(max(0.0, sim.epoch + 2.3 - time.monotonic()))
took, readings = [], []
for wait in (False, True, False):
    begun = time.perf_counter()
    readings.append(meter.read(wait=wait))
    took.append(time.perf_counter() - begun)
    time.sleep(0.2)
hung = [only for r in readings for only in show(r).values()]
time.sleep(max(0.0, sim.epoch + 5.5 - time.monotonic()))
late = meter.read()
settled = [meter.settle(r) for r in readings]
print(json.dumps({"took": took, "hung": hung, "late": show(late), "settled": [show(r) for r in settled]}))
"""
    found = ask(SimDriver(SimDevice(counter=counter)), script)
    assert max(found["took"]) < 1.0
    assert all(part["lower_bound"] and not part["settled"] for part in found["hung"])
    assert all(0 < part["energy"] <= part["truth"] + part["error"] for part in found["hung"])
    late, settled = only(found["late"]), [only(part) for part in found["settled"]]
    assert late["lower_bound"] != counter  # a counter goes on counting meanwhile
    assert [part["uj"] for part in settled] == sorted(part["uj"] for part in settled)
    if counter:
        assert near(late)
        assert all(near(part) and part["settled"] and not part["lower_bound"] for part in settled)
    else:
        assert late["energy"] < late["truth"]


@pytest.mark.alone
def test_closing_while_the_driver_hangs_takes_no_longer() -> None:
    script = """
sim.start(hang_at=1.0, hang_s=30.0)
meter = HostMeter([0])
time.sleep(1.2)
begun = time.perf_counter()
reading = meter.read(wait=False)
meter.close()
took = time.perf_counter() - begun
print(json.dumps({"took": took, "part": show(meter.settle(reading))}))
"""
    found = ask(SimDriver(), script)
    assert found["took"] < 1.0
    assert only(found["part"])["settled"]
    assert only(found["part"])["lower_bound"]
