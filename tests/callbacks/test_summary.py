"""The line at the end of a fit: one, from rank 0, with what the record says."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_pepr.callbacks._summary import one_line_summary
from lightning_pepr.cost import Cost
from lightning_pepr.record import CostEntry, Epoch, RunRecord
from tests.helpers.paths import ROOT
from tests.helpers.records import make_run

FIT = """
import os, sys, warnings
warnings.simplefilter("ignore")
from lightning_pepr import ModelSpace, PePRCallback
from tests.helpers.training import Worker, trainer
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
class Hide(Callback):  # rich, from here on: Lightning itself looks for it when it starts
    def on_train_end(self, *args):
        sys.modules["rich"] = None
others = [Hide(), TQDMProgressBar()] if "{hide}" else []
ranks = int(os.environ.get("WORLD_SIZE", 1))
callback = PePRCallback("val_acc", space=ModelSpace.budget(energy_kwh=1))
many = dict(devices=ranks, strategy="ddp") if ranks > 1 else dict()
trainer(callback, *others, root=sys.argv[1], max_epochs=2, enable_progress_bar={bar}, **many).fit(Worker())
if ranks > 1:
    import torch.distributed
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
"""


def test_a_score_of_another_epoch_than_the_best_says_so() -> None:
    run = RunRecord("m", monitor="val_acc", epochs=[Epoch(0, 1, 0.9), Epoch(1, 2, 0.5, scores={"pepr_e": 0.4})])
    assert one_line_summary(run) == "m: val_acc 0.900 at epoch 0 for nothing measured · PePR-E 0.400 at epoch 1"


def test_the_line_says_what_was_reached_and_what_that_cost() -> None:
    cost = Cost(energy_kwh=0.0125, time_s=90.0)
    run = RunRecord("resnet18", monitor="val_acc", epochs=[Epoch(0, 9, 0.5, cost, {"pepr_e": 0.4})])
    run.costs = {"energy_kwh": CostEntry(0.0125, 0.00025, "counter"), "time_s": CostEntry(90.0, 0.0, "counter")}
    assert one_line_summary(run) == ("resnet18: val_acc 0.500 at epoch 0 for 12.5 Wh ±2.0 %, 1.50 min · PePR-E 0.400")


def in_a_terminal(command: list[str], folder: Path) -> str:
    """What a terminal shows of a program, without colours."""
    own, other = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=other, stderr=other, cwd=folder, env=environment)
    os.close(other)
    text = b""
    while True:
        try:
            chunk = os.read(own, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        text += chunk
    process.wait(60)
    os.close(own)
    text = text.replace(b"\x1b[2K", b"\n")  # erases a line: what follows stands alone on it
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.decode(errors="replace")).replace("\r", "")
    assert process.returncode == 0, shown
    return shown


def write(folder: Path, hide: bool = False, bar: bool = True) -> str:
    script = folder / "fit.py"
    script.write_text(FIT.replace("{hide}", "yes" if hide else "").replace("{bar}", repr(bar)))
    return str(script)


@pytest.mark.slow
@pytest.mark.parametrize("hide", [False, True], ids=["rich", "without-rich"])
def test_one_neat_line_in_a_terminal(tmp_path: Path, hide: bool) -> None:
    shown = in_a_terminal([sys.executable, write(tmp_path, hide), str(tmp_path)], tmp_path)
    (line,) = (line for line in shown.splitlines() if line.startswith("Worker:"))
    assert re.match(r"Worker: val_acc 0\.500 at epoch 1 for \d", line)
    assert "PePR-E 0." in line
    assert line.endswith("pepr.json")
    assert shown.splitlines().index(line) > 0


@pytest.mark.slow
def test_other_ranks_are_silent(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", write(tmp_path)]
    shown = in_a_terminal([*command, str(tmp_path)], tmp_path)
    assert len(re.findall(r"^Worker: val_acc", shown, re.MULTILINE)) == 1, shown


@pytest.mark.slow
def test_who_has_no_progress_bar_has_no_line(tmp_path: Path) -> None:
    shown = in_a_terminal([sys.executable, write(tmp_path, bar=False), str(tmp_path)], tmp_path)
    assert "Worker:" not in shown


@pytest.mark.slow
def test_no_litter_where_there_is_no_terminal(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, write(tmp_path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
    assert "Worker:" not in done.stdout + done.stderr


def test_the_line_says_how_well_the_energy_is_known() -> None:
    run = make_run("net", 1e6)
    assert "5.00 Wh ±2.0 %," in one_line_summary(run)
    run.costs["energy_kwh"] = CostEntry(0.005, 0.00375, "estimated", True, "a board was lost")
    assert "at least 5.00 Wh ±75 % estimated" in one_line_summary(run)
    run.costs["energy_kwh"] = CostEntry(reason="no meter")
    assert "energy not measured" in one_line_summary(run)
    run.epochs = []
    assert "no performance" in one_line_summary(run)
    assert one_line_summary(run, Path("x/pepr.json")).endswith(" · x/pepr.json")


def test_what_is_no_score_or_no_performance_of_the_run_is_left_out() -> None:
    scores = {"pepr_e": None, "pepr_t": float("nan"), "pepr_m": 0.25, "auc_pepr_e": 0.7}
    run = RunRecord("m", monitor="val_acc", epochs=[Epoch(0, 1, 0.9, scores=scores)])
    assert one_line_summary(run) == "m: val_acc 0.900 at epoch 0 for nothing measured · PePR-M 0.250"
    run.epochs.append(Epoch(1, 2, 45.0))
    assert one_line_summary(run) == "m: no performance (val_acc was 45 at epoch 1) for nothing measured"
