"""Energy of several ranks, on the simulated driver: each board once, each host once, and the total is the truth."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.simnvml import SimDevice, SimDriver

pytestmark = pytest.mark.slow

SCRIPT = """
import json, os, socket, sys, time, warnings
os.environ["CUDA_VISIBLE_DEVICES"] = ""
warnings.simplefilter("ignore")
from pathlib import Path
from lightning_pepr import ModelSpace, PePRCallback
from lightning_pepr.meters import HostMeter
from tests.helpers.training import Worker, trainer
from tests.simnvml import SimDriver

rank, root, boards, hosts = int(os.environ["RANK"]), Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
socket.gethostname = lambda: hosts[rank]  # hosts are simulated by name
sim = SimDriver.current()

class Slow(Worker):
    def training_step(self, batch, index):
        time.sleep(0.3 * (1 + rank * UNEVEN))
        return super().training_step(batch, index)

class Noting(HostMeter):
    # When each boundary was, by the clock of the simulation.
    def read(self, wait=True):
        reading = super().read(wait)
        self.latest = self._opened + reading.time_s
        return reading

class Timed(PePRCallback):
    def on_fit_start(self, *args):
        super().on_fit_start(*args)
        (root / f"begin{rank}").write_text(repr(meter.latest))
    def on_train_end(self, *args):
        super().on_train_end(*args)
        (root / f"end{rank}").write_text(repr(meter.latest))

meter = Noting([sim.uuids[board] for board in boards[rank]])
callback = Timed("val_acc", space=ModelSpace.budget(energy_kwh=1), meter=meter)
trainer(callback, root=root, devices=2, strategy="ddp", max_epochs=3, num_sanity_val_steps=0).fit(Slow())
(root / f"run{rank}.json").write_text(json.dumps(callback.run.to_dict()))
meter.close()
import torch.distributed
torch.distributed.barrier()
torch.distributed.destroy_process_group()  # else a rank may abort while it exits after the other
"""


def train(
    folder: Path, sim: SimDriver, boards: list[list[int]], hosts: str = "aa", uneven: float = 0.0
) -> tuple[dict[str, Any], list[float]]:
    """Train on two ranks; return rank 0's record, and what each board drew while it was read."""
    script = folder / "train.py"
    script.write_text(SCRIPT.replace("UNEVEN", repr(uneven)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    command += [str(folder), json.dumps(boards), hosts]
    done = subprocess.run(command, env=sim.env(), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-4000:]
    runs = [json.loads((folder / f"run{rank}.json").read_text()) for rank in (0, 1)]
    assert runs[0]["costs"]["energy_kwh"] == runs[1]["costs"]["energy_kwh"], "all ranks know the same"
    begin, end = ([float((folder / f"{what}{rank}").read_text()) for rank in (0, 1)] for what in ("begin", "end"))
    readers = {board: [rank for rank in (0, 1) if board in boards[rank]] for board in range(len(sim.devices))}
    truth = [
        max((sim.truth(board, begin[rank], end[rank]) for rank in ranks), default=0.0)
        for board, ranks in readers.items()
    ]
    return runs[0], truth


def gpus(record: dict[str, Any]) -> dict[str, float]:
    return {key: device["energy_uj"] / 1e6 for key, device in record["devices"].items() if "gpu:" in key}


def check(record: dict[str, Any], truth: list[float]) -> None:
    """The boards' energy is within one percent of the truth, or what it says of its own error on a busy machine."""
    error = sum(device["error_j"] for key, device in record["devices"].items() if "gpu:" in key)
    assert sum(gpus(record).values()) == pytest.approx(sum(truth), rel=0.01, abs=error)


def test_two_ranks_with_a_board_each(tmp_path: Path) -> None:
    sim = SimDriver(SimDevice(), SimDevice(low=100, high=200, wave=0.31))
    record, truth = train(tmp_path, sim, [[0], [1]])
    check(record, truth)
    assert len(gpus(record)) == 2
    assert not record["costs"]["energy_kwh"]["lower_bound"]


def test_two_ranks_on_one_board_count_it_once(tmp_path: Path) -> None:
    sim = SimDriver(SimDevice())
    record, truth = train(tmp_path, sim, [[0], [0]])
    check(record, truth)
    assert len(gpus(record)) == 1


def test_two_hosts_have_a_processor_each(tmp_path: Path) -> None:
    record, truth = train(tmp_path, SimDriver(SimDevice(), SimDevice()), [[0], [1]], hosts="ab")
    assert {key for key in record["devices"] if key.startswith("cpu:")} == {"cpu:a", "cpu:b"}
    check(record, truth)
    assert {device["host"] for device in record["devices"].values()} == {"a", "b"}


def test_uneven_ranks(tmp_path: Path) -> None:
    record, truth = train(tmp_path, SimDriver(SimDevice(), SimDevice()), [[0], [1]], uneven=1.0)
    check(record, truth)
    assert record["costs"]["time_s"]["value"] == pytest.approx(3 * 4 * 0.6 / 2, rel=0.7), "of the slower one"


def test_a_rank_that_cannot_measure_makes_the_sum_unknown(tmp_path: Path) -> None:
    """What the other rank has measured is kept."""
    sim = SimDriver(SimDevice(), SimDevice(counter=False, power=False, instant=False))
    record, truth = train(tmp_path, sim, [[0], [1]])
    energy = record["costs"]["energy_kwh"]
    assert energy["value"] is None
    assert "neither an energy counter nor a power" in energy["reason"]
    measured = [device["energy_uj"] for key, device in record["devices"].items() if "gpu:" in key]
    assert None in measured
    assert next(uj for uj in measured if uj) / 1e6 == pytest.approx(truth[0], rel=0.03)
