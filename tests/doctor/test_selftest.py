"""The self-test finds the true power of boards, and those that contradict themselves."""

from __future__ import annotations

import pytest

from tests.doctor.simulated import examine_on
from tests.simnvml import SimDevice, SimDriver


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("check", ["0", "1"], ids=["cuda asked", "driver asked"])
def test_the_self_test_finds_the_true_power(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Set to 1, as importing lightning sets it, torch believes the driver that there are two devices.
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", check)
    sim = SimDriver(SimDevice(high=170, wave=0), SimDevice(high=200, wave=0, counter=False))
    found = examine_on(sim, "seconds=5")
    test = found["selftest"]
    assert test["seconds"] > 4
    for uuid, watts in zip(sim.uuids, (170.0, 200.0), strict=True):
        gpu = test["gpus"][uuid]
        assert gpu["mean_w"] == pytest.approx(watts, rel=0.02, abs=gpu["error_j"] / test["seconds"])
        assert 0 < gpu["error_j"] < 0.2 * gpu["energy_j"]
    assert test["load"].startswith("none: torch "), "what was no load is not called one"


@pytest.mark.slow
def test_boards_that_contradict_themselves_are_named() -> None:
    """A counter that a reset makes start anew within the test gives a lower bound, and that is said."""
    before = (
        "import torch  # it takes a while, and not within the test\n"
        "from tests.simnvml import SimDriver; SimDriver.current().start(reset_at=5.0)"
    )
    found = examine_on(SimDriver(SimDevice(period=0.02)), "seconds=5", before)
    assert any(trouble["grave"] and trouble["what"].startswith("GPU 0:") for trouble in found["troubles"])
