import copy
import os
import pickle
import subprocess
import sys
import time

import pytest

from lightning_pepr.meters import open_meter


def test_importing_the_meters_imports_no_framework():
    script = (
        "import sys, lightning_pepr.meters;"
        "print([m for m in ('torch', 'lightning', 'pandas', 'pynvml', 'codecarbon') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"


def test_windows_have_the_length_and_the_time_of_the_calls():
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


def test_no_two_readings_are_of_the_same_moment():
    with open_meter(devices=[]) as meter:
        times = [meter.read().time_s for _ in range(200)]
    assert len(set(times)) == len(times)
    assert sorted(times) == times


def test_copies_count_from_their_own_beginning():
    with open_meter(devices=[]) as meter:
        time.sleep(0.1)
        for other in (copy.deepcopy(meter), pickle.loads(pickle.dumps(meter))):
            reading = other.read()
            assert reading.time_s < meter.read().time_s
            assert reading.parts.keys() == meter.read().parts.keys()
            other.close()


def test_a_forked_process_opens_its_own():
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


def test_a_closed_meter_says_so():
    meter = open_meter(devices=[])
    meter.close()
    meter.close()
    with pytest.raises(RuntimeError, match="open_meter"):
        meter.read()


@pytest.mark.parametrize("devices", ["GPU-1", 3, [None], [1.5], [True]])
def test_devices_of_a_wrong_type_are_refused(devices):
    with pytest.raises(ValueError, match="expected"):
        open_meter(devices=devices)
