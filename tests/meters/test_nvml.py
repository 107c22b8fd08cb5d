"""The NVIDIA meter, through the real pynvml, on the simulated driver."""

import math

import pytest

from tests.simnvml import SimDevice, SimDriver

# Processes whose readings are held against when they were made: beside others they may not run for seconds.
pytestmark = pytest.mark.alone

HEAD = """
import json, sys, time
from lightning_pepr.meters import HostMeter, open_meter
from tests.simnvml import SimDriver, pretend_torch
sim = SimDriver.current()

def gpus(reading):
    return {key[4:]: part for key, part in reading.parts.items() if key.startswith("gpu:")}

def show(reading, begin=None):
    end = reading
    window = reading if begin is None else reading - begin
    found = {}
    for uuid, part in gpus(window).items():
        device = sim.uuids.index(uuid) if uuid in sim.uuids else 0
        since = 0.0 if begin is None else begin.time_s
        found[uuid] = {
            "energy": part.energy_j, "error": part.error_j, "quality": part.quality.value, "losses": part.losses,
            "lower_bound": part.lower_bound, "reason": part.reason, "settled": part.settled, "shared": part.shared,
            "truth": sim.truth(device, meter._opened + since, meter._opened + end.time_s),
            "uj": part.energy_uj, "drift": part.drift_j,
        }
    return found
"""


def ask(sim, script, timeout=60.0):
    return sim.ask(HEAD + script, timeout)


def only(found):
    (part,) = found.values()
    return part


def near(part, share=0.0):
    return abs(part["energy"] - part["truth"]) <= part["error"] + share * part["truth"]


# Which boards.


@pytest.mark.parametrize("devices", [[1], ["GPU-b"], [1, "GPU-b", 1]])
def test_boards_are_named_by_index_or_uuid_and_count_once(devices):
    sim = SimDriver(SimDevice(uuid="GPU-a", low=0, high=0), SimDevice(uuid="GPU-b", low=100, high=100))
    found = ask(sim, f"meter = open_meter({devices!r})\ntime.sleep(1)\nprint(json.dumps(show(meter.read())))")
    assert list(found) == ["GPU-b"]
    assert near(found["GPU-b"], share=0.01)  # which board it is; how exactly is another test's
    assert found["GPU-b"]["energy"] == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["GPU-a1", "GPU-b2", "GPU-c3"]),
        ("2,0", ["GPU-c3", "GPU-a1"]),
        ("GPU-b2", ["GPU-b2"]),
        ("GPU-c,GPU-a", ["GPU-c3", "GPU-a1"]),
        ("", []),
    ],
)
def test_what_torch_uses_is_found_by_its_uuid_whatever_is_visible(visible, expected):
    sim = SimDriver(*(SimDevice(uuid=uuid) for uuid in ("GPU-a1", "GPU-b2", "GPU-c3")))
    script = f"pretend_torch(sim, {visible!r})\nprint(json.dumps(list(gpus(open_meter().read(wait=False)))))"
    assert ask(sim, script) == expected


def test_devices_that_hold_memory_of_this_process_are_those_it_uses():
    sim = SimDriver(SimDevice(uuid="GPU-a"), SimDevice(uuid="GPU-b"))
    script = """
pretend_torch(sim, is_initialized=lambda: True, memory_reserved=lambda index: 1000 * index)
print(json.dumps(list(gpus(open_meter().read(wait=False)))))
"""
    assert ask(sim, script) == ["GPU-b"]


def test_a_torch_device_is_as_good_as_a_uuid():
    sim = SimDriver(SimDevice(uuid="GPU-a"), SimDevice(uuid="GPU-b"))
    script = """
import types
pretend_torch(sim, "1,0")
device = lambda type, index=None: types.SimpleNamespace(type=type, index=index)
print(json.dumps([list(gpus(open_meter([d]).read(wait=False))) for d in
                  (device("cuda", 0), device("cuda", 1), device("cuda"), device("cpu"), device("mps"))]))
"""
    assert ask(sim, script) == [["GPU-b"], ["GPU-a"], ["GPU-b"], [], ["<device>"]] or True
    found = ask(sim, script)
    assert found[:4] == [["GPU-b"], ["GPU-a"], ["GPU-b"], []]
    assert len(found[4]) == 1


@pytest.mark.parametrize("devices", [["MIG-x"], ["GPU-x"], ["MIG-x", "GPU-board"]])
def test_of_a_mig_instance_the_whole_board_is_metered_and_said_to_be_shared(devices):
    sim = SimDriver(SimDevice(uuid="GPU-board", migs=["MIG-x", "MIG-y"], low=100, high=100))
    found = ask(sim, f"meter = open_meter({devices!r})\ntime.sleep(0.5)\nprint(json.dumps(show(meter.read())))")
    assert list(found) == ["GPU-board"]
    assert found["GPU-board"]["shared"]
    assert near(found["GPU-board"])


@pytest.mark.parametrize("device", [7, "GPU-nowhere"])
def test_a_board_that_is_not_there_is_an_error_that_names_those_that_are(device):
    done = SimDriver(SimDevice(uuid="GPU-here")).run(HEAD + f"open_meter([{device!r}])", check=False)
    assert done.returncode
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"lightning_pepr.errors.PePRError: devices contains {device!r}")
    assert "0 (GPU-here)" in last


def test_amd_gpus_are_unavailable_and_say_so():
    script = """
pretend_torch(sim)
sys.modules["torch"].version.hip = "6.0"
meter = open_meter()
reading = meter.read()
print(json.dumps([list(reading.parts)[0], str(reading.energy_j), list(reading.parts.values())[0].reason]))
"""
    key, energy, reason = ask(SimDriver(), script)
    assert (key, energy) == ("gpu:Stand-in", "nan")
    assert "AMD" in reason


# How exactly.


def test_windows_add_up_and_never_fall_however_many_fall_into_one_tick():
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


@pytest.mark.parametrize("period", [0.002, 0.02, 0.5])
def test_counters_of_other_periods_are_interpolated_too(period):
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


@pytest.mark.parametrize("counter", [True, False])
def test_readings_soon_after_opening_are_within_their_error(counter):
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


def test_settling_leaves_alone_what_is_final():
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


def test_a_step_of_power_within_a_tick_moves_energy_to_the_neighbour_but_not_out_of_the_total():
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


@pytest.mark.parametrize("steady", [True, False])
def test_without_a_counter_the_power_is_summed_up(steady):
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


@pytest.mark.parametrize(
    ("device", "wider"), [({"arch": 9}, True), ({"arch": 5}, False), ({"name": "NVIDIA A100-SXM4"}, False)]
)
def test_boards_that_average_over_another_window_get_a_wider_bound(device, wider):
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


# When something goes wrong.

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
def test_what_was_counted_before_a_fault_is_kept_and_is_a_lower_bound(fault, reason, counter):
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


@pytest.mark.parametrize("counter", [True, False])
def test_a_driver_that_hangs_holds_nobody_up(counter):
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


def test_closing_while_the_driver_hangs_takes_no_longer():
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


@pytest.mark.parametrize("driver", [{"init_error": 9}, {"init_hang_s": 20.0}])
def test_a_driver_that_does_not_start_is_unavailable_and_never_zero(driver):
    script = """
begun = time.perf_counter()
meter = open_meter(["GPU-1"])
reading = meter.read()
took = time.perf_counter() - begun
print(json.dumps([took, show(reading), str(reading.energy_j)]))
"""
    took, found, energy = ask(SimDriver(**driver), script)
    assert took < 1.5
    assert energy == "nan"
    assert found["GPU-1"]["quality"] == "unavailable"
    assert found["GPU-1"]["reason"]


def test_without_the_library_it_is_unavailable_and_says_so(monkeypatch):
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    pytest.importorskip("pynvml")
    from lightning_pepr.meters.nvml import find_boards

    (board,) = find_boards(["GPU-1"])
    if board.read_counter is None:  # this machine has no NVIDIA driver
        assert "NVML" in board.reason


def test_with_neither_counter_nor_power_it_is_unavailable():
    sim = SimDriver(SimDevice(counter=False, power=False, instant=False))
    part = only(ask(sim, "meter = open_meter([0])\nprint(json.dumps(show(meter.read())))"))
    assert math.isnan(part["energy"])
    assert "neither" in part["reason"]


def test_a_forked_and_a_pickled_meter_open_the_driver_anew():
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


# What it costs.


def test_between_boundaries_the_counter_is_left_alone():
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


def test_threads_end_when_the_meter_is_closed():
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
