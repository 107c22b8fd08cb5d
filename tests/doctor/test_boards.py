"""Each board is examined, and none keeps the doctor from its work."""

from __future__ import annotations

import pytest

from tests.doctor.simulated import examine_on, words
from tests.simnvml import SimDevice, SimDriver


def test_each_board_has_its_meter_its_tick_and_its_latency() -> None:
    found = examine_on(
        SimDriver(
            SimDevice(name="NVIDIA A", period=0.1),
            SimDevice(name="NVIDIA B", period=0.02, phase=0.003),
            SimDevice(name="NVIDIA Old", counter=False, power_period=0.05),
            latency=0.002,
        )
    )
    a, b, old = found["gpus"]
    assert [gpu["meter"] for gpu in found["gpus"]] == ["counter", "counter", "integrated"]
    assert [gpu["name"] for gpu in found["gpus"]] == ["NVIDIA A", "NVIDIA B", "NVIDIA Old"]
    assert a["driver"] == "580.65.06"
    assert a["period_ms"] == pytest.approx(100, rel=0.1)
    assert b["period_ms"] == pytest.approx(20, rel=0.3)
    assert all(gpu["latency_ms"] >= 2.0 for gpu in (a, b, old))
    assert found["measured"] is True
    assert found["selftest"] is None
    assert "GPU 2 (NVIDIA Old) has no energy counter; its power is added up instead" in words(found)
    assert "GPU 0" not in words(found)


def test_a_board_that_refuses_is_severe_and_says_what_to_do() -> None:
    found = examine_on(SimDriver(SimDevice(denied_at=0.0)))
    (gpu,) = found["gpus"]
    assert gpu["meter"] == "unavailable"
    assert "Insufficient Permissions" in gpu["reason"]
    assert found["measured"] is False
    (trouble,) = (each for each in found["troubles"] if each["grave"])
    assert "Insufficient Permissions" in trouble["what"]
    assert "access to the GPU's sensors" in trouble["do"]


def test_a_driver_that_hangs_does_not_hang_the_doctor() -> None:
    patience = "from lightning_pepr.doctor import boards; boards.DRIVER_S = 1.0"
    found = examine_on(SimDriver(init_hang_s=60.0), before=patience)
    assert found["gpus"] == []
    (trouble,) = (each for each in found["troubles"] if each["grave"])
    assert "did not answer" in trouble["what"]
    assert "nvidia-smi" in trouble["do"]


def test_a_driver_that_does_not_start() -> None:
    found = examine_on(SimDriver(init_error=9))
    assert "Driver Not Loaded" in words(found)
    assert found["gpus"] == []


def test_mig_is_named() -> None:
    found = examine_on(SimDriver(SimDevice(migs=["MIG-00000000-0000-4000-8000-000000000001"])))
    assert "shared by MIG" in words(found)


def test_slow_calls_are_named() -> None:
    found = examine_on(SimDriver(latency=0.06))
    assert "sudo nvidia-smi -pm 1" in words(found)


def test_a_board_that_stops_responding() -> None:
    """It answers at first, and hangs when its reading is watched."""
    patience = (
        "from lightning_pepr.doctor import boards; from tests.simnvml import SimDriver\n"
        "boards.DRIVER_S = 1.0; SimDriver.current().start(hang_at=0.3, hang_s=30.0)"
    )
    found = examine_on(SimDriver(SimDevice()), before=patience)
    (gpu,) = found["gpus"]
    assert gpu["meter"] == "unavailable"
    assert "GPU 0 (NVIDIA Simulated) stopped responding: the driver did not answer within 1 s." in words(found)


def test_a_counter_that_stands_still_is_severe() -> None:
    found = examine_on(SimDriver(SimDevice(freeze_at=0.0, low=300, high=300), SimDevice(low=0, high=0)))
    (trouble,) = (each for each in found["troubles"] if each["grave"])
    assert "GPU 0 (NVIDIA Simulated): its energy counter stands still while its power reads 300 W" in trouble["what"]


def test_what_is_no_text_or_no_number_does_not_end_the_doctor() -> None:
    boards = SimDevice(bad_uuid=True), SimDevice(bad_name=True), SimDevice(counter=False, power=False, nan_power=True)
    found = examine_on(SimDriver(*boards))
    assert [gpu["meter"] for gpu in found["gpus"]] == ["unavailable", "counter", "unavailable"]
    assert "its UUID is no text" in found["gpus"][0]["reason"]
    assert "nan W" in found["gpus"][2]["reason"]
