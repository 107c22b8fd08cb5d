"""Which GPUs are meant, by what torch and the driver say of them."""

from __future__ import annotations

from typing import Any

import pytest

from lightning_pepr.meters import open_meter
from tests.helpers.meters import ask
from tests.simnvml import SimDevice, SimDriver


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
def test_what_torch_uses_is_found_by_uuid(visible: str | None, expected: list[str]) -> None:
    """Whatever `CUDA_VISIBLE_DEVICES` shows, and in which order."""
    sim = SimDriver(*(SimDevice(uuid=uuid) for uuid in ("GPU-a1", "GPU-b2", "GPU-c3")))
    script = f"pretend_torch(sim, {visible!r})\nprint(json.dumps(list(gpus(open_meter().read(wait=False)))))"
    assert ask(sim, script) == expected


def test_devices_that_hold_memory_of_this_process_are_those_it_uses() -> None:
    sim = SimDriver(SimDevice(uuid="GPU-a"), SimDevice(uuid="GPU-b"))
    script = """
pretend_torch(sim, is_initialized=lambda: True, memory_reserved=lambda index: 1000 * index)
print(json.dumps(list(gpus(open_meter().read(wait=False)))))
"""
    assert ask(sim, script) == ["GPU-b"]


def test_a_torch_device_is_as_good_as_a_uuid() -> None:
    sim = SimDriver(SimDevice(uuid="GPU-a"), SimDevice(uuid="GPU-b"))
    script = """
import types
pretend_torch(sim, "1,0")
device = lambda type, index=None: types.SimpleNamespace(type=type, index=index)
print(json.dumps([list(gpus(open_meter([d]).read(wait=False))) for d in
                  (device("cuda", 0), device("cuda", 1), device("cuda"), device("cpu"), device("mps"))]))
"""
    found = ask(sim, script)
    assert found[:4] == [["GPU-b"], ["GPU-a"], ["GPU-b"], []]
    assert len(found[4]) == 1


def test_amd_gpus_are_unavailable_and_say_so() -> None:
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


@pytest.mark.parametrize("devices", ["GPU-1", 3, [None], [1.5], [True]])
def test_devices_of_a_wrong_type_are_refused(devices: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        open_meter(devices=devices)
