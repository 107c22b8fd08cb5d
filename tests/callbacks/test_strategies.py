"""However the Trainer optimises, on however many processes: costs and samples are counted once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import (
    GradientAccumulationScheduler,
    StochasticWeightAveraging,
)

from lightning_pepr import PePRCallback, RunRecord
from lightning_pepr.utilities.files import FILE_NAME
from tests.helpers.counting import SPACE, UJ, Counting, check, fit
from tests.helpers.fits import record_of
from tests.helpers.paths import ROOT
from tests.helpers.training import WorkMeter, trainer


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed", "bf16-true", "16-true", "64-true"])
def test_precision(tmp_path: Path, precision: Any) -> None:
    """16-mixed is bf16-mixed on a CPU; Lightning says so."""
    run, record = fit(Counting(), tmp_path, precision=precision)
    assert len(record.evaluations) == 3
    assert record.params == 3
    half = {"bf16-true": torch.bfloat16, "16-true": torch.float16, "64-true": torch.float64}
    layer: Any = run.lightning_module.layer
    assert layer.weight.dtype is half.get(precision, torch.float32)
    for key in ("pepr_e", "energy_kwh", "data_samples"):
        assert run.callback_metrics[key].dtype is torch.float64, "no cost loses digits to the model's precision"
    assert float(run.callback_metrics["data_samples"]) == 42


@pytest.mark.parametrize("accumulate", [3, 8])
def test_gradient_accumulation(tmp_path: Path, accumulate: int) -> None:
    run, record = fit(Counting(), tmp_path, accumulate_grad_batches=accumulate)
    assert run.global_step == 3 * -(-4 // accumulate), "the last batch of an epoch steps, too"
    assert record.costs["data_samples"].value == 42, "of every batch"


def test_a_schedule_of_gradient_accumulation(tmp_path: Path) -> None:
    run, _ = fit(Counting(), tmp_path, GradientAccumulationScheduler({0: 4, 1: 2, 2: 1}))
    assert run.global_step == 1 + 2 + 4


class Manual(Counting):
    """Optimises by hand, in every other batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, index: int) -> Any:
        loss = self.work_on(batch)
        optimizer: Any = self.optimizers()
        self.manual_backward(loss)
        if index % 2:
            optimizer.step()
            optimizer.zero_grad()


class Adversarial(Counting):
    """Two optimisers, one of which steps twice in a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.other = torch.nn.Linear(2, 1)

    def training_step(self, batch: Any, index: int) -> Any:
        loss = self.work_on(batch) + self.other(batch[0]).square().mean()
        optimizers: Any = self.optimizers()
        one, two = optimizers
        for optimizer in (one, two, two):
            optimizer.zero_grad()
            self.manual_backward(loss, retain_graph=True)
        for optimizer in (one, two, two):
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(part.parameters(), lr=0.01) for part in (self.layer, self.other)]


def test_manual_optimisation(tmp_path: Path) -> None:
    run, record = fit(Manual(), tmp_path)
    assert run.global_step == 3 * 2
    assert record.costs["data_samples"].value == 42


def test_several_optimisers(tmp_path: Path) -> None:
    run, record = fit(Adversarial(), tmp_path)
    assert run.global_step == 3 * 4 * 3, "Lightning counts each optimiser's steps"
    assert record.costs["data_samples"].value == 42, "and we each batch once"
    assert record.params == 6


def test_steps_that_are_skipped_have_cost_something(tmp_path: Path) -> None:
    class Skipping(Counting):
        def training_step(self, batch: Any, index: int) -> Any:
            loss = self.work_on(batch)
            return None if index % 2 else loss

    _, record = fit(Skipping(), tmp_path)
    assert record.costs["data_samples"].value == 42


def test_a_batch_that_ends_the_epoch(tmp_path: Path) -> None:
    """Lightning shows a callback no end of a batch that the module refuses."""

    class Refusing(Counting):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if batch_idx == 2 else None

    _, record = fit(Refusing(), tmp_path)
    assert record.costs["data_samples"].value == 3 * 8


def test_weight_averaging_adds_an_epoch_that_counts(tmp_path: Path) -> None:
    module = Counting()
    module.layer = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))  # type: ignore[assignment]
    _, record = fit(module, tmp_path, StochasticWeightAveraging(0.1, swa_epoch_start=1))
    assert record.costs["data_samples"].value == 4 * 14, "Lightning goes over the data once more, for the averages"


@pytest.mark.parametrize(
    "option",
    [
        {"detect_anomaly": True},
        {"deterministic": True, "benchmark": False},
        {"gradient_clip_val": 0.5, "gradient_clip_algorithm": "norm"},
        {"inference_mode": False},
        {"profiler": "simple"},
        {"num_sanity_val_steps": 0},
        {"num_sanity_val_steps": -1},
        {"reload_dataloaders_every_n_epochs": 1},
        {"log_every_n_steps": 1},
    ],
    ids=lambda option: next(iter(option)),
)
def test_options_that_change_nothing(tmp_path: Path, option: dict[str, Any]) -> None:
    try:
        run, record = fit(Counting(), tmp_path, **option)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.autograd.set_detect_anomaly(False)
    assert run.global_step == 12
    assert [(e.epoch, e.step) for e in record.epochs] == [(0, 3), (1, 7), (2, 11)]


def test_a_compiled_model(tmp_path: Path) -> None:
    module = Counting()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    run = trainer(callback, root=tmp_path)
    compiled: Any = torch.compile(module, backend="eager")
    run.fit(compiled)
    first = record_of(callback).run_id
    run.fit_loop.max_epochs = 4
    run.fit(compiled)
    assert record_of(callback).run_id == first, "fit again goes on counting"
    assert record_of(callback).model == "Counting"
    check(module, RunRecord.load(tmp_path))
    assert module.samples == 4 * 14


SCRIPT = """
import os, sys, warnings
os.environ["CUDA_VISIBLE_DEVICES"] = ""
warnings.simplefilter("ignore")
from lightning_pepr import PePRCallback
from tests.helpers.training import Worker, WorkMeter, trainer

if __name__ == "__main__":
    module = Worker()
    options = {"accumulate_grad_batches": 2, "max_epochs": 2, "num_sanity_val_steps": 0}
    trainer(PePRCallback("val_acc"), root=sys.argv[1], devices=2, strategy=sys.argv[2], **options).fit(module)
"""


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "ddp_fork", "ddp_find_unused_parameters_true"])
def test_processes_count_each_sample_once(tmp_path: Path, strategy: str) -> None:
    """`ddp_fork` is what a notebook gets."""
    (tmp_path / "train.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "train.py"), str(tmp_path), strategy]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-4000:]
    record = RunRecord.load(tmp_path / FILE_NAME)
    assert record.status == "finished"
    assert record.costs["data_samples"].value == 28, "each rank has seven samples an epoch"
    assert record.hardware["ranks"] == 2
    assert record.costs["energy_kwh"].value == sum(s.energy_uj or 0 for s in record.stages.values()) / UJ
    assert [e.epoch for e in record.evaluations] == [0, 1]
    assert record.val_samples == 6, "three of each rank"
