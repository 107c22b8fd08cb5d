"""A run that is cut off by a real signal keeps what it measured, and a resumed one goes on counting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lightning_pepr import RunRecord
from tests.helpers.paths import ROOT
from tests.helpers.training import TRAIN_UJ, VALIDATE_UJ

pytestmark = pytest.mark.slow

EPOCH_UJ = 4 * TRAIN_UJ + 3 * VALIDATE_UJ

SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset
from lightning_pepr import ModelSpace, PePRCallback
from tests.helpers.training import Worker, WorkMeter, trainer

root, number, at_step, batches = Path(sys.argv[1]), *map(int, sys.argv[2:5])

class Struck(Worker):
    def training_step(self, batch, index):
        if self.global_step == at_step:
            os.kill(os.getpid(), number)
            time.sleep(0.01)  # so that Python sees the signal within this step
        return super().training_step(batch, index)

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.randn(4 * batches - 2, 2)), batch_size=4)

module = Struck()
callback = PePRCallback("val_acc", space=ModelSpace.budget(energy_kwh=1e-5), meter=WorkMeter(module))
saving = ModelCheckpoint(root / "ckpt", save_last=True, every_n_epochs=1, save_on_train_epoch_end=True)
last = root / "ckpt" / "last.ckpt"
trainer(callback, saving, root=root, enable_checkpointing=True, **json.loads(sys.argv[5])).fit(
    module, ckpt_path=str(last) if last.exists() else None)
"""

PATCH = "from lightning_pepr.callbacks import _fit; _fit.SAVE_EVERY_S"


def train(folder: Path, number: int, at_step: int, batches: int = 4, saving: float | None = None, **plan: Any) -> int:
    script = folder / "train.py"
    script.write_text(SCRIPT if saving is None else f"{PATCH} = {saving}\n{SCRIPT}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    plan = plan or {"max_epochs": 4}
    command = [sys.executable, str(script), *map(str, (folder, number, at_step, batches, json.dumps(plan)))]
    return subprocess.run(command, env=environment, capture_output=True, timeout=120).returncode


def load(folder: Path) -> dict[str, Any]:
    return RunRecord.load(folder).to_dict()


def spent(data: dict[str, Any]) -> int:
    return sum(stage["energy_uj"] or 0 for stage in data["stages"].values())


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "SIGTERM")])
def test_signals_that_can_be_caught(tmp_path: Path, number: int, name: str) -> None:
    train(tmp_path, number, at_step=9)  # with SIGTERM Lightning exits with status 0
    cut = load(tmp_path)
    assert cut["status"] == "interrupted"
    assert name in cut["error"]
    assert [e["epoch"] for e in cut["epochs"]] == [0, 1]
    assert spent(cut) in (2 * EPOCH_UJ + TRAIN_UJ, 2 * EPOCH_UJ + 2 * TRAIN_UJ), "what was done up to the signal"


def test_sigkill_then_resume(tmp_path: Path) -> None:
    assert train(tmp_path, signal.SIGKILL, at_step=9) == -signal.SIGKILL
    cut = load(tmp_path)
    assert cut["status"] == "running"
    assert [e["epoch"] for e in cut["epochs"]] == [0, 1], "the file is whole; at most the running epoch is lost"
    assert spent(cut) == 2 * EPOCH_UJ
    assert [name for name in os.listdir(tmp_path) if name.startswith(".pepr")] == []

    assert train(tmp_path, signal.SIGKILL, at_step=-1) == 0
    whole = load(tmp_path)
    assert whole["run_id"] == cut["run_id"]
    assert whole["status"] == "finished"
    assert [e["epoch"] for e in whole["epochs"]] == [0, 1, 2, 3]
    assert spent(whole) == 4 * EPOCH_UJ, "the gap costs nothing"
    assert not whole["costs"]["energy_kwh"]["lower_bound"]
    assert sorted(path.name for path in tmp_path.glob("pepr*.json")) == ["pepr.json"], "it goes on in its own record"


def test_sigkill_within_a_long_epoch_keeps_its_evaluations(tmp_path: Path) -> None:
    plan = {"max_epochs": -1, "max_steps": 150, "val_check_interval": 20}
    assert train(tmp_path, signal.SIGKILL, at_step=130, batches=200, **plan) == -signal.SIGKILL
    cut = load(tmp_path)
    assert cut["status"] == "running"
    assert [e["performance"] for e in cut["epochs"]] == [0.25, 0.5, 0.625, 0.75, 0.75, 0.75]
    assert all("pepr_e" in e["scores"] for e in cut["epochs"])
    assert spent(cut) == 120 * TRAIN_UJ + 6 * 3 * VALIDATE_UJ, "up to the last evaluation"
    assert cut["costs"]["energy_kwh"]["value"] == cut["epochs"][-1]["cost"]["energy_kwh"]


def test_sigkill_within_an_epoch_keeps_what_was_saved_last(tmp_path: Path) -> None:
    assert train(tmp_path, signal.SIGKILL, at_step=130, batches=200, saving=0.0) == -signal.SIGKILL
    cut = load(tmp_path)
    assert (cut["status"], cut["epochs"]) == ("running", [])
    assert spent(cut) == 130 * TRAIN_UJ
    assert cut["costs"]["data_samples"]["value"] == 130 * 4


HANDLED = """
import signal, sys
from pathlib import Path
import torch
from torch.utils.data import DataLoader, TensorDataset
from lightning_pepr import PePRCallback, RunRecord
from tests.helpers.training import Worker, WorkMeter, trainer

root, own = Path(sys.argv[1]), sys.argv[2] == "work"
states, within = [], []

def dump(*_):  # all that saving a checkpoint in a handler does but for the file, which is Lightning's
    if not within:
        within.append(1)
        states.append(run._checkpoint_connector.dump_checkpoint()["callbacks"][callback.state_key])
        within.clear()

class Struck(Worker):
    def on_train_start(self):
        signal.signal(signal.SIGALRM, dump)
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)  # as SLURM does once

    def on_train_end(self):
        signal.setitimer(signal.ITIMER_REAL, 0)

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.randn(200, 2)), batch_size=4)

module = Struck()
callback = PePRCallback("val_acc", meter=WorkMeter(module) if own else "auto")
run = trainer(callback, root=root, max_epochs=10, num_sanity_val_steps=0)
run.fit(module)
assert len(states) > 20, len(states)
record = RunRecord.load(root)
assert record.costs["data_samples"].value == 2000
energies = [stage.energy_uj for stage in record.stages.values()]
assert round(record.costs["energy_kwh"].value * 3.6e12) == sum(energies)
assert not own or sum(energies) == module.work_uj, (energies, module.work_uj)
samples = [state["spent"]["data_samples"] for state in states]
assert samples == sorted(samples), samples
assert {state["run_id"] for state in states} == {record.run_id}
"""


@pytest.mark.parametrize("meter", ["work", "real"])
def test_a_checkpoint_from_a_signal_s_handler(tmp_path: Path, meter: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HANDLED, str(tmp_path), meter]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]


ONE_RANK = """
import sys
from pathlib import Path
from lightning_pepr import PePRCallback, RunRecord
from tests.helpers.training import Worker, WorkMeter, trainer

class Asked(Worker):
    def training_step(self, batch, index):
        if self.global_rank == 0:
            state = callback.state_dict()  # as in a handler of one rank, while the others are elsewhere
            assert state["run_id"] == callback.run.run_id
        return super().training_step(batch, index)

module = Asked()
callback = PePRCallback("val_acc", meter=WorkMeter(module))
trainer(callback, root=sys.argv[1], devices=2, strategy="ddp", max_epochs=2).fit(module)
if module.global_rank == 0:
    record = RunRecord.load(sys.argv[1])
    assert record.costs["data_samples"].value == 28
    assert not any(entry.lower_bound for entry in record.costs.values()), record.costs
"""


def test_one_rank_that_saves_its_state_waits_for_no_other(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(ONE_RANK)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr[-3000:]
