"""Which boards the driver has, and how their energy can be read, through the real pynvml."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lightning_pepr.meters.nvml import find_boards
from tests.helpers.meters import HEAD, ask, near, only
from tests.simnvml import SimDevice, SimDriver


@pytest.mark.alone
@pytest.mark.parametrize("devices", [[1], ["GPU-b"], [1, "GPU-b", 1]])
def test_boards_are_named_by_index_or_uuid_and_count_once(devices: list[int | str]) -> None:
    sim = SimDriver(SimDevice(uuid="GPU-a", low=0, high=0), SimDevice(uuid="GPU-b", low=100, high=100))
    found = ask(sim, f"meter = open_meter({devices!r})\ntime.sleep(1)\nprint(json.dumps(show(meter.read())))")
    assert list(found) == ["GPU-b"]
    assert near(found["GPU-b"], share=0.01)  # which board it is; how exactly is another test's
    assert found["GPU-b"]["energy"] == pytest.approx(100, rel=0.1)


@pytest.mark.alone
@pytest.mark.parametrize("devices", [["MIG-x"], ["GPU-x"], ["MIG-x", "GPU-board"]])
def test_a_mig_instance_gives_its_board_as_shared(devices: list[int | str]) -> None:
    """Only whole boards have an energy, which includes that of the other instances."""
    sim = SimDriver(SimDevice(uuid="GPU-board", migs=["MIG-x", "MIG-y"], low=100, high=100))
    found = ask(sim, f"meter = open_meter({devices!r})\ntime.sleep(0.5)\nprint(json.dumps(show(meter.read())))")
    assert list(found) == ["GPU-board"]
    assert found["GPU-board"]["shared"]
    assert near(found["GPU-board"])


@pytest.mark.parametrize("device", [7, "GPU-nowhere"])
def test_a_board_that_is_not_there_is_an_error_that_names_those_that_are(device: Any) -> None:
    done = SimDriver(SimDevice(uuid="GPU-here")).run(HEAD + f"open_meter([{device!r}])", check=False)
    assert done.returncode
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"lightning_pepr.errors.PePRError: devices contains {device!r}")
    assert "0 (GPU-here)" in last


@pytest.mark.alone
@pytest.mark.parametrize("driver", [{"init_error": 9}, {"init_hang_s": 20.0}])
def test_a_driver_that_does_not_start_is_unavailable_and_never_zero(driver: dict[str, Any]) -> None:
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


def test_without_the_library_it_is_unavailable_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    pytest.importorskip("pynvml")

    (board,) = find_boards(["GPU-1"])
    if board.read_counter is None:  # this machine has no NVIDIA driver
        assert "NVML" in board.reason


def test_with_neither_counter_nor_power_it_is_unavailable() -> None:
    sim = SimDriver(SimDevice(counter=False, power=False, instant=False))
    part = only(ask(sim, "meter = open_meter([0])\nprint(json.dumps(show(meter.read())))"))
    assert math.isnan(part["energy"])
    assert "neither" in part["reason"]


def test_a_power_that_is_no_number_is_unavailable_or_read_in_another_way() -> None:
    """NVML gives the field as a double then, of which the lower half is 0."""
    script = "meter = open_meter([0])\ntime.sleep(1)\nprint(json.dumps(show(meter.read())))"
    part = only(ask(SimDriver(SimDevice(counter=False, power=False, nan_power=True)), script))
    assert math.isnan(part["energy"])
    assert part["quality"] == "unavailable"
    assert "its power reads nan W" in part["reason"]
    part = only(ask(SimDriver(SimDevice(counter=False, nan_power=True, low=300, high=300)), script))
    assert part["quality"] == "integrated"
    assert part["energy"] > 100


@pytest.mark.parametrize("values", ["[]", "[None]", "None", "[float('nan')]"])
def test_what_is_no_field_is_unavailable(values: str) -> None:
    script = f"""
import pynvml
pynvml.nvmlDeviceGetFieldValues = lambda handle, fields: {values}
meter = open_meter([0])
print(json.dumps(show(meter.read())))
"""
    part = only(ask(SimDriver(SimDevice(counter=False, power=False)), script))
    assert part["quality"] == "unavailable"
    assert part["reason"]


def test_a_glitch_while_a_board_is_opened_is_read_again() -> None:
    script = """
sim.start(garbled_at=0.0, garbled_until=0.1)
meter = HostMeter([0])
time.sleep(1)
print(json.dumps(show(meter.read())))
"""
    assert only(ask(SimDriver(SimDevice(counter=False)), script))["quality"] == "integrated"


def test_a_uuid_that_is_no_text_costs_that_board_alone() -> None:
    sim = SimDriver(SimDevice(bad_uuid=True), SimDevice(uuid="GPU-b", low=100, high=100))
    script = """
meter = open_meter([0, 1])
time.sleep(0.5)
from lightning_pepr.meters.devices import visible_gpus
print(json.dumps([show(meter.read()), visible_gpus()]))
"""
    found, visible = ask(sim, script)
    assert found["0"]["quality"] == "unavailable"
    assert "its UUID is no text" in found["0"]["reason"]
    assert found["GPU-b"]["quality"] == "counter"
    assert found["GPU-b"]["energy"] > 10
    assert visible == ["0", "GPU-b"]


@pytest.mark.parametrize(
    ("board", "ceiling"),
    [(SimDevice(limit=350), 700.0), (SimDevice(no_limit=True), 10_000.0), (SimDevice(limit=0), 10_000.0)],
)
def test_the_ceiling_of_the_power_follows_the_limit(board: SimDevice, ceiling: float) -> None:
    script = """
from lightning_pepr.meters.nvml import find_boards
print(json.dumps([board.ceiling for board in find_boards([0])]))
"""
    assert ask(SimDriver(board), script) == [ceiling]
