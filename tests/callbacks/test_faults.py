"""Faults of the driver in a real training: it ends normally, and the record says what happened and keeps the rest.

Each is trained in a process of its own, by the real pynvml on the simulated driver, whose true energy is known.
"""

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
import json, os, sys, tempfile, threading, time, warnings

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # there is a driver to meter by, but no CUDA to train on
from pathlib import Path
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning_pepr import ModelSpace, PePRCallback, RunRecord
from tests.helpers.training import Worker, trainer
from tests.simnvml import SimDriver

warnings.simplefilter("ignore")
sim = SimDriver.current()
root = Path(tempfile.mkdtemp())

class Slow(Worker):
    # An epoch takes 0.8 s.
    def training_step(self, batch, index):
        time.sleep(0.2)
        return super().training_step(batch, index)

    def on_train_start(self):
        self.longest_hook, self.last = 0.0, None

class Begin(Callback):
    # Counting begins with the fit and not with its setup, which takes a second where the disk is slow.
    def on_fit_start(self, trainer, pl_module):
        self.at = time.monotonic()

counted = Begin()
callback = PePRCallback("val_acc", space=ModelSpace.budget(energy_kwh=1e-3), devices=sim.uuids)
OTHERS
stopping = [EarlyStopping("pepr_e", mode="max")] if WATCHED else []
run = trainer(callback, counted, *stopping, root=root, max_epochs=3, num_sanity_val_steps=0)
SIM_START
begin = time.monotonic()
run.fit(Slow())
end = time.monotonic()
record = json.loads((root / "pepr.json").read_text())
gpus = {key: device for key, device in record["devices"].items() if "gpu:" in key}
print(json.dumps({
    "status": record["status"], "epochs": len(record["epochs"]), "energy": record["costs"]["energy_kwh"],
    "time": record["costs"]["time_s"]["value"], "wall": end - begin, "gpus": list(gpus.values()),
    "scored": ["pepr_e" in epoch["scores"] for epoch in record["epochs"]],
    "truth": sum(sim.truth(i, counted.at, end) for i in range(len(sim.uuids))),
    "truth_until": [sim.truth(0, counted.at, sim.epoch + at) for at in CUTS],
}))
"""


def train(
    sim: SimDriver, cuts: tuple[float, ...] = (), others: str = "", watched: bool = True, **faults: Any
) -> dict[str, Any]:
    """Train against the simulation; faults come that many seconds after the fit begins."""
    script = SCRIPT.replace("SIM_START", f"sim.start(**{faults!r})").replace("CUTS", repr(list(cuts)))
    script = script.replace("WATCHED", repr(watched))
    found: dict[str, Any] = sim.ask(script.replace("OTHERS", others), timeout=120)
    assert found["status"] == "finished"
    assert found["epochs"] == 3
    return found


def joules(found: dict[str, Any]) -> float:
    return sum(gpu["energy_uj"] or 0 for gpu in found["gpus"]) / 1e6


def test_the_control_without_a_fault() -> None:
    found = train(SimDriver())
    (gpu,) = found["gpus"]
    assert gpu["quality"] == "counter"
    assert not found["energy"]["lower_bound"]
    assert gpu["reason"] == found["energy"]["reason"] == ""
    # The clock includes what the fit does after its last reading.
    assert joules(found) == pytest.approx(found["truth"], rel=0.1)
    assert found["scored"] == [True] * 3
    assert gpu["gain"] == 0.05


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ({"lost_at": 1.3}, "Lost"),
        ({"denied_at": 1.3}, "Permission"),
        ({"reset_at": 1.3}, "backwards"),
    ],
)
def test_a_board_that_fails_in_the_middle(faults: dict[str, Any], reason: str) -> None:
    found = train(SimDriver(), cuts=(1.3,), **faults)
    assert found["energy"]["lower_bound"]
    assert reason.lower() in found["energy"]["reason"].lower()
    assert found["energy"]["value"] is not None
    assert found["scored"] == [True] * 3, "what is known is scored"
    if "reset_at" in faults:
        assert found["truth_until"][0] * 0.5 < joules(found) < found["truth"] * 1.05
    else:
        # At least up to the last boundary before the fault: the end of the first epoch.
        assert found["truth_until"][0] * 0.5 < joules(found) < found["truth_until"][0] * 1.1


def test_a_board_that_comes_back_goes_on_counting_and_says_what_was_lost() -> None:
    found = train(SimDriver(), cuts=(0.3,), lost_at=0.3, lost_until=0.9)
    assert found["energy"]["lower_bound"]
    assert joules(found) > found["truth_until"][0]


def test_a_driver_that_hangs_does_not_keep_training_waiting() -> None:
    found = train(SimDriver(), hang_at=1.0, hang_s=10.0)
    control = 3 * 4 * 0.2
    assert found["time"] < control + 8, "it would be ten seconds more if training waited for the driver"
    assert "the driver does not answer" in found["energy"]["reason"]
    assert found["energy"]["lower_bound"]


def test_without_counter_and_power_it_is_unavailable_and_never_0() -> None:
    found = train(SimDriver(SimDevice(counter=False, power=False, instant=False)), watched=False)
    assert found["energy"]["value"] is None
    assert found["energy"]["quality"] == "unavailable"
    assert found["energy"]["reason"]
    assert found["scored"] == [False] * 3


def test_without_a_counter_it_is_integrated() -> None:
    found = train(SimDriver(SimDevice(counter=False)))
    assert found["energy"]["quality"] == "estimated", "of the sum, with the processor's"
    assert found["gpus"][0]["quality"] == "integrated"
    assert joules(found) == pytest.approx(found["truth"], rel=0.1)


def test_a_driver_that_does_not_start() -> None:
    found = train(SimDriver(init_error=999), watched=False)
    assert found["energy"]["value"] is None
    assert "NVML cannot be used: Unknown Error" in found["energy"]["reason"]


def test_who_monitors_what_cannot_be_measured_is_warned_before_training() -> None:
    with pytest.raises(
        AssertionError, match="EarlyStopping monitors 'pepr_e', but energy_kwh cannot be measured: NVML"
    ):
        train(SimDriver(init_error=999))


def test_forked_workers_that_live_while_metering(tmp_path: Any) -> None:
    others = """
from torch.utils.data import DataLoader, TensorDataset
import torch
Slow.train_dataloader = lambda self: DataLoader(
    TensorDataset(torch.randn(14, 2)), batch_size=4, num_workers=2, persistent_workers=True,
    multiprocessing_context="fork")
"""
    found = train(SimDriver(), others=others)
    assert not found["energy"]["lower_bound"]
    assert joules(found) == pytest.approx(found["truth"], rel=0.2)


def test_two_boards_are_summed() -> None:
    found = train(SimDriver(SimDevice(), SimDevice(low=100, high=100)))
    assert len(found["gpus"]) == 2
    assert joules(found) == pytest.approx(found["truth"], rel=0.1)


def test_two_trainers_one_after_the_other() -> None:
    found = SimDriver().ask(
        """
import json, os, tempfile, time
os.environ["CUDA_VISIBLE_DEVICES"] = ""
from pathlib import Path
from lightning_pepr import PePRCallback
from tests.helpers.training import Worker, trainer
from tests.simnvml import SimDriver

sim, found = SimDriver.current(), []
callback = PePRCallback("val_acc", devices=sim.uuids)
for name in "ab":
    root = Path(tempfile.mkdtemp())
    begin = time.monotonic()
    module = Worker()
    module.on_train_epoch_start = lambda: time.sleep(0.5)
    trainer(callback, root=root, num_sanity_val_steps=0).fit(module)
    record = json.loads((root / "pepr.json").read_text())
    gpu = next(d for key, d in record["devices"].items() if "gpu:" in key)
    found.append([gpu["energy_uj"] / 1e6, sim.truth(0, begin, time.monotonic()), gpu["reason"], record["run_id"]])
print(json.dumps(found))
"""
    )
    for energy, truth, reason, _ in found:
        assert energy == pytest.approx(truth, rel=0.25), "each its own, and nothing of the other's"
        assert reason == ""
    assert found[0][3] != found[1][3]


def test_two_processes_on_one_board_each_meter_the_whole_board() -> None:
    found = SimDriver(SimDevice(low=100, high=100)).ask(
        """
import json, subprocess, sys
script = '''
import time
from lightning_pepr.meters import open_meter
with open_meter([0]) as meter:
    a = meter.read()
    time.sleep(1.5)
    window = meter.read() - a
    part = next(part for key, part in window.parts.items() if key.startswith("gpu:"))
    print(part.energy_j / window.time_s, part.lower_bound)
'''
both = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(2)]
print(json.dumps([process.communicate()[0].split() for process in both]))
"""
    )
    for watts, lower_bound in found:
        assert float(watts) == pytest.approx(100, rel=0.05)
        assert lower_bound == "False"


def test_spawned_ranks_leave_a_whole_record(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        """
import os, sys
os.environ["CUDA_VISIBLE_DEVICES"] = ""
from lightning_pepr import ModelSpace, PePRCallback
from tests.helpers.training import Worker, trainer
from tests.simnvml import SimDriver

if __name__ == "__main__":
    callback = PePRCallback("val_acc", space=ModelSpace.budget(energy_kwh=1), devices=SimDriver.current().uuids)
    trainer(callback, root=sys.argv[1], strategy="ddp_spawn", devices=2).fit(Worker())
"""
    )
    command = [sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(command, env=SimDriver().env(), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((tmp_path / "pepr.json").read_text())
    assert record["status"] == "finished"
    assert record["hardware"]["ranks"] == 2
    assert len([key for key in record["devices"] if "gpu:" in key]) == 1, "the board that both use counts once"
    assert record["costs"]["data_samples"]["value"] == 3 * 14
    assert not record["costs"]["energy_kwh"]["lower_bound"]
