"""The checks of `tests/gpu.py`: on a real GPU where there is one, and their arithmetic on the simulated driver."""

from __future__ import annotations

import pytest

from tests.simnvml import SimDevice, SimDriver


@pytest.mark.gpu
def test_the_claims_hold_on_this_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    from tests import gpu

    assert gpu.main() == 0


@pytest.mark.slow
def test_the_checks_find_the_period_and_the_energy_of_a_simulated_board() -> None:
    found = SimDriver(SimDevice(low=100, high=300, period=0.05, power_period=0.05, limit=400.0)).ask(
        """
import contextlib, json
from tests import gpu
from tests.simnvml import SimDriver
uuid = SimDriver.current().uuids[0]
figures = gpu.counter_ticks(gpu.board_of(uuid), seconds=2.0) + gpu.counter_against_power(uuid, seconds=4.0)
figures += gpu.known_load(uuid, load=contextlib.nullcontext, seconds=2.0)
print(json.dumps(figures))
"""
    )
    assert [holds for _, _, holds in found] == [True] * 5, found
    assert 40 < float(found[0][1].split(" ms")[0]) < 60


@pytest.mark.slow
def test_a_board_without_a_counter_fails_the_check() -> None:
    found = SimDriver(SimDevice(counter=False)).ask(
        "import json\nfrom tests import gpu\nprint(json.dumps(gpu.counter_ticks(gpu.board_of(0))))"
    )
    assert found == [["the board has an energy counter", "it has none", False]]
