"""The meter of a host: readings, copies, forks, and closing."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import time

import pytest

from lightning_pepr.meters import open_meter
from tests.helpers.meters import ask, near, only
from tests.simnvml import SimDevice, SimDriver


def test_importing_the_meters_imports_no_framework() -> None:
    script = (
        "import sys, lightning_pepr.meters;"
        "print([m for m in ('torch', 'lightning', 'pandas', 'pynvml', 'codecarbon') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"


def test_windows_have_the_length_and_the_time_of_the_calls() -> None:
    with open_meter(devices=[]) as meter:
        a, before = meter.read(), time.time()
        time.sleep(0.2)
        b = meter.read()
    window = b - a
    assert window.time_s == pytest.approx(b.timestamp - before, abs=0.05)
    assert window.time_s >= 0.2
    assert b.timestamp == pytest.approx(time.time(), abs=5)
    assert a.settled
    assert meter.settle(a) is a


def test_no_two_readings_are_of_the_same_moment() -> None:
    with open_meter(devices=[]) as meter:
        times = [meter.read().time_s for _ in range(200)]
    assert len(set(times)) == len(times)
    assert sorted(times) == times


def test_copies_count_from_their_own_beginning() -> None:
    with open_meter(devices=[]) as meter:
        time.sleep(0.1)
        for other in (copy.deepcopy(meter), pickle.loads(pickle.dumps(meter))):
            reading = other.read()
            assert reading.time_s < meter.read().time_s
            assert reading.parts.keys() == meter.read().parts.keys()
            other.close()


def test_a_forked_process_opens_its_own() -> None:
    with open_meter(devices=[]) as meter:
        time.sleep(0.2)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, f"{meter.read().time_s:.6f}".encode())
            meter.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert float(os.read(reader, 100)) < 0.2 <= meter.read().time_s


def test_a_closed_meter_says_so() -> None:
    meter = open_meter(devices=[])
    meter.close()
    meter.close()
    with pytest.raises(RuntimeError, match="open_meter"):
        meter.read()


@pytest.mark.alone
@pytest.mark.parametrize("counter", [True, False])
def test_readings_soon_after_opening_are_within_their_error(counter: bool) -> None:
    script = """
meter = open_meter([0])
early = []
for _ in range(8):
    time.sleep(0.1)
    early.append(meter.read(wait=False))
time.sleep(2.5)
print(json.dumps([show(r) for r in early] + [show(meter.settle(r)) for r in early]))
"""
    found = [only(part) for part in ask(SimDriver(SimDevice(counter=counter)), script)]
    assert all(near(part) for part in found)
    assert all(part["settled"] for part in found[8:])
    assert found[7]["energy"] > 20


@pytest.mark.alone
def test_settling_leaves_alone_what_is_final() -> None:
    script = """
meter = open_meter([0])
time.sleep(0.5)
early = meter.read(wait=False)
sum(range(10_000_000))
meter.read(wait=False)
late = meter.settle(early)
cpu = [part.energy_uj for r in (early, late) for key, part in r.parts.items() if key.startswith("cpu")]
print(json.dumps(cpu))
"""
    early, late = ask(SimDriver(), script)
    assert early == late


@pytest.mark.alone
def test_a_forked_and_a_pickled_meter_open_the_driver_anew() -> None:
    script = """
import multiprocessing, pickle
meter = open_meter([0])
time.sleep(1)
def child(meter):
    time.sleep(0.5)
    first = meter.read().time_s
    time.sleep(0.5)
    reading = meter.read()
    return [first, reading.time_s, gpus(reading).popitem()[1].energy_j]
with multiprocessing.get_context("fork").Pool(1) as pool:
    forked = pool.apply(child, (meter,))
copy = pickle.loads(pickle.dumps(meter))
copied = child(copy)
print(json.dumps([forked, copied, gpus(meter.read()).popitem()[1].energy_j]))
"""
    forked, copied, mine = ask(SimDriver(SimDevice(low=100, high=100)), script)
    assert mine > 250
    for first, total, energy in (forked, copied):
        assert first < 0.5
        assert energy == pytest.approx(100 * total, abs=12)


@pytest.mark.alone
def test_threads_end_when_the_meter_is_closed() -> None:
    script = """
import threading
with open_meter([0]) as meter:
    meter.read()
    during = [t.name for t in threading.enumerate() if t.name.startswith("pepr")]
after = [t.name for t in threading.enumerate() if t.name.startswith("pepr")]
print(json.dumps([during, after]))
"""
    during, after = ask(SimDriver(), script)
    assert during
    assert after == []
