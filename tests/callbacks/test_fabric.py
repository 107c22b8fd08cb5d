"""The metric in a loop of Fabric, on two ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

FABRIC = """
import json, sys, warnings
warnings.simplefilter("ignore")
from lightning.fabric import Fabric
from lightning_pepr import Cost, ModelSpace, PePR, open_meter

def train(fabric):
    score = PePR(ModelSpace.budget(energy_kwh=1.0), resource="energy")
    with open_meter([]) as meter:
        begin = meter.read()
        sum(range(1_000_000 * (1 + fabric.global_rank)))
        spent = meter.read() - begin
    energy_kwh = spent.energy_j / 3.6e6 * 1e6  # so that it is some of the budget
    score.update(0.25 + 0.5 * fabric.global_rank, Cost(energy_kwh=energy_kwh))
    both = fabric.all_gather(energy_kwh)
    found = score.compute().item()
    if fabric.is_global_zero:
        with open(sys.argv[1], "w") as file:
            json.dump({"energies": both.tolist(), "score": found}, file)

if __name__ == "__main__":
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    train(fabric)
    fabric.barrier()
"""


@pytest.mark.slow
def test_fabric_on_two_ranks_adds_up_what_each_has_spent(tmp_path: Path) -> None:
    script, found = tmp_path / "loop.py", tmp_path / "found.json"
    script.write_text(FABRIC)
    done = subprocess.run(
        [sys.executable, str(script), str(found)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True,
        timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads(found.read_text())
    assert len(set(result["energies"])) == 2
    assert result["score"] == pytest.approx(0.5 / (1 + sum(result["energies"])), rel=1e-5)
