"""Whatever the Trainer is told: costs are counted once, all samples are, and the score is in its epoch and step.

The module knows what it has done, so that each of these can be checked exactly, and CSVLogger tells at what step and in
what epoch Lightning itself has the performance.
"""

from __future__ import annotations

import csv
import itertools
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import (
    EarlyStopping,
    GradientAccumulationScheduler,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lightning_pepr import ModelSpace, PePRCallback, RunRecord, pepr
from lightning_pepr.utilities.files import FILE_NAME
from tests.helpers.paths import ROOT
from tests.helpers.training import SANITY_UJ, TRAIN_UJ, VALIDATE_UJ, Worker, WorkMeter, trainer

SPACE = ModelSpace.budget(energy_kwh=1e-5, data_samples=100)
UJ = 3.6e12


class Counting(Worker):
    """A worker that keeps the books that the record is to agree with."""

    key = "val_acc"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.samples = 0
        self.work = {"train": 0, "validate": 0}
        self.evaluated: list[dict[str, Any]] = []

    def work_on(self, batch: Any) -> torch.Tensor:
        """What a training step does, but for the optimisation."""
        self.samples += len(batch[0])
        self.work_uj += TRAIN_UJ
        self.work["train"] += TRAIN_UJ
        return self.layer(batch[0]).square().mean()

    def training_step(self, batch: Any, index: int) -> torch.Tensor | None:
        return self.work_on(batch)

    def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> None:
        self.work_uj += SANITY_UJ if self.trainer.sanity_checking else VALIDATE_UJ
        if not self.trainer.sanity_checking:
            self.work["validate"] += VALIDATE_UJ
        value = self.performances[min(self.evaluations, len(self.performances)) - 1]
        self.log("val_acc", torch.tensor(value - dataloader_idx / 8), batch_size=1)

    def on_validation_epoch_end(self) -> None:
        if not self.trainer.sanity_checking:
            performance = self.performances[min(self.evaluations, len(self.performances)) - 1]
            self.evaluated.append(
                {
                    "epoch": self.current_epoch,
                    "performance": performance,
                    "energy_uj": sum(self.work.values()),
                    "samples": self.samples,
                }
            )


def fit(module: Counting, root: Path, *others: Any, **kwargs: Any) -> tuple[Trainer, RunRecord]:
    """Fit, and hold the record against the module's books and against what CSVLogger has of Lightning."""
    callback = PePRCallback(module.key, space=SPACE, meter=WorkMeter(module))
    run = trainer(*others, callback, root=root, **{"logger": CSVLogger(root), **kwargs})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run.fit(module)
    record = RunRecord.load(str(run.log_dir))
    assert record.to_dict() == callback.run.to_dict()
    check(module, record)
    with open(Path(str(run.log_dir)) / "metrics.csv", encoding="utf-8") as file:
        logged = [row for row in csv.DictReader(file) if row.get(module.key)]
    assert [(e.epoch, e.step) for e in record.evaluations] == [(int(r["epoch"]), int(r["step"])) for r in logged]
    return run, record


def check(module: Counting, record: RunRecord) -> None:
    """The record is whole, and agrees with the module's books."""
    assert record.status == "finished"
    stages = {name: stage.energy_uj for name, stage in record.stages.items()}
    assert {"train": 0, "validate": 0} | stages == {"other": 0, **module.work}, "each once, and in its stage"
    assert record.costs["energy_kwh"].value == sum(module.work.values()) / UJ
    assert record.costs["energy_kwh"].quality == "counter"
    assert record.costs["data_samples"].value == module.samples
    assert record.costs["time_s"].value == sum(stage.time_ns for stage in record.stages.values()) / 1e9
    assert [
        {
            "epoch": e.epoch,
            "performance": e.performance,
            "energy_uj": round((e.cost.energy_kwh or 0) * UJ),
            "samples": e.cost.data_samples,
        }
        for e in record.evaluations
    ] == module.evaluated
    for e in record.evaluations:
        assert e.scores["pepr_e"] == pepr(e.performance, SPACE.normalize(e.cost.energy_kwh, "energy"))
        assert e.scores["pepr_d"] == pepr(e.performance, SPACE.normalize(e.cost.data_samples, "data"))


# Precision ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed", "bf16-true", "16-true", "64-true"])
def test_precision(tmp_path: Path, precision: Any) -> None:
    """16-mixed is bf16-mixed on a CPU; Lightning says so."""
    run, record = fit(Counting(), tmp_path, precision=precision)
    assert len(record.evaluations) == 3
    assert record.params == 3
    half = {"bf16-true": torch.bfloat16, "16-true": torch.float16, "64-true": torch.float64}
    assert run.lightning_module.layer.weight.dtype is half.get(precision, torch.float32)
    for key in ("pepr_e", "energy_kwh", "data_samples"):
        assert run.callback_metrics[key].dtype is torch.float64, "no cost loses digits to the model's precision"
    assert float(run.callback_metrics["data_samples"]) == 42


# Optimisation ---------------------------------------------------------------------------------------------------------


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

    def training_step(self, batch: Any, index: int) -> None:
        loss = self.work_on(batch)
        optimizer = self.optimizers()
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

    def training_step(self, batch: Any, index: int) -> None:
        loss = self.work_on(batch) + self.other(batch[0]).square().mean()
        one, two = self.optimizers()
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
        def training_step(self, batch: Any, index: int) -> torch.Tensor | None:
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
    module.layer = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
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
    first = callback.run.run_id
    run.fit_loop.max_epochs = 4
    run.fit(compiled)
    assert callback.run.run_id == first, "fit again goes on counting"
    assert callback.run.model == "Counting"
    check(module, RunRecord.load(tmp_path))
    assert module.samples == 4 * 14


# Data -----------------------------------------------------------------------------------------------------------------


class TwoSets(Counting):
    """Two validation loaders, whose keys Lightning tells apart."""

    key = "val_acc/dataloader_idx_0"

    def val_dataloader(self) -> Any:
        return [super().val_dataloader(), DataLoader(TensorDataset(torch.randn(4, 2)), batch_size=1)]


def test_several_validation_loaders(tmp_path: Path) -> None:
    stop = EarlyStopping("pepr_e", mode="max", patience=5)
    _, record = fit(TwoSets(), tmp_path, stop)
    assert record.stages["validate"].energy_uj == 3 * (3 + 4) * VALIDATE_UJ
    assert [e.performance for e in record.epochs] == [0.25, 0.5, 0.625], "that of the first loader"
    assert record.monitor == "val_acc/dataloader_idx_0"
    assert record.test_monitor == "test_acc/dataloader_idx_0"
    assert record.val_samples == 6, "of the first loader alone"


def test_a_key_of_several_loaders_does_not_tell_of_how_many_samples_it_is(tmp_path: Path) -> None:
    class Together(TwoSets):
        def on_validation_epoch_end(self) -> None:
            self.log("val_both", 0.5)

    module = Together()
    callback = PePRCallback("val_both", space=SPACE, meter=WorkMeter(module))
    trainer(callback, root=tmp_path).fit(module)
    assert callback.run.performance == 0.5
    assert callback.run.val_samples is None


def test_several_validation_loaders_and_a_key_without_the_index(tmp_path: Path) -> None:
    module = TwoSets()
    with pytest.raises(ValueError, match="Logged are val_acc/dataloader_idx_0, val_acc/dataloader_idx_1"):
        trainer(PePRCallback("val_acc", space=SPACE), root=tmp_path).fit(module)


class Stream(IterableDataset):
    """Samples without a length; without an end, if `length` is None."""

    def __init__(self, length: int | None) -> None:
        self.length = length

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (torch.ones(2) for _ in (itertools.count() if self.length is None else range(self.length)))


class Streaming(Counting):
    def __init__(self, length: int | None) -> None:
        super().__init__()
        self.length = length

    def work_on(self, batch: Any) -> torch.Tensor:
        return super().work_on([batch])

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Stream(self.length), batch_size=4)


def test_data_without_a_length(tmp_path: Path) -> None:
    _, record = fit(Streaming(14), tmp_path)
    assert record.costs["data_samples"].value == 42
    assert [(e.epoch, e.step) for e in record.epochs] == [(0, 3), (1, 7), (2, 11)]


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"limit_train_batches": 5}, [4, 9, 14]),
        ({"max_epochs": -1, "max_steps": 10, "val_check_interval": 4}, [3, 7]),
        (
            {"max_epochs": -1, "max_steps": 10, "val_check_interval": 4, "check_val_every_n_epoch": None},
            [3, 7],
        ),
    ],
)
def test_data_without_an_end(tmp_path: Path, options: dict[str, Any], steps: list[int]) -> None:
    _, record = fit(Streaming(None), tmp_path, **options)
    assert [e.step for e in record.evaluations] == steps
    assert record.costs["data_samples"].value == 4 * (15 if "limit_train_batches" in options else 10)


class Paired(Counting):
    """Two training loaders, of which the first ends first."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode: Any = mode

    def work_on(self, batch: Any) -> torch.Tensor:
        return super().work_on(batch["short"] or batch["long"])

    def train_dataloader(self) -> CombinedLoader:
        short, long = (DataLoader(TensorDataset(torch.randn(n, 2)), batch_size=4) for n in (6, 14))
        return CombinedLoader({"short": short, "long": long}, self.mode)


@pytest.mark.parametrize(("mode", "samples"), [("min_size", 6), ("max_size_cycle", 12), ("max_size", 12)])
def test_of_several_training_loaders_the_first_that_has_samples_counts(tmp_path: Path, mode: str, samples: int) -> None:
    _, record = fit(Paired(mode), tmp_path)
    assert record.costs["data_samples"].value == 3 * samples


# How long and how often -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "evaluations"),
    [
        ({"limit_train_batches": 2}, [(0, 1), (1, 3), (2, 5)]),
        ({"limit_train_batches": 0.75}, [(0, 2), (1, 5), (2, 8)]),
        ({"limit_val_batches": 1}, [(0, 3), (1, 7), (2, 11)]),
        ({"limit_val_batches": 0.67}, [(0, 3), (1, 7), (2, 11)]),
        ({"overfit_batches": 2}, [(0, 1), (1, 3), (2, 5)]),
        ({"overfit_batches": 0.5}, [(0, 1), (1, 3), (2, 5)]),
        ({"max_epochs": None, "max_steps": 8}, [(0, 3), (1, 7)]),
        ({"max_epochs": -1, "max_steps": 6}, [(0, 3)]),
        ({"max_epochs": 2, "max_steps": 100}, [(0, 3), (1, 7)]),
        ({"val_check_interval": 2}, [(0, 1), (0, 3), (1, 5), (1, 7), (2, 9), (2, 11)]),
        ({"val_check_interval": 0.25, "max_epochs": 1}, [(0, 0), (0, 1), (0, 2), (0, 3)]),
        ({"val_check_interval": 3, "check_val_every_n_epoch": None}, [(0, 2), (1, 5), (2, 8), (2, 11)]),
        ({"val_check_interval": 8, "check_val_every_n_epoch": None, "max_epochs": 5}, [(1, 7), (3, 15)]),
        ({"check_val_every_n_epoch": 2, "max_epochs": 5}, [(1, 7), (3, 15)]),
        ({"accumulate_grad_batches": 2, "val_check_interval": 2}, [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (2, 5)]),
    ],
    ids=str,
)
def test_schedules(tmp_path: Path, options: dict[str, Any], evaluations: list[tuple[int, int]]) -> None:
    _, record = fit(Counting(), tmp_path, **options)
    assert [(e.epoch, e.step) for e in record.evaluations] == evaluations


def test_validation_across_epochs_is_what_others_act_on(tmp_path: Path) -> None:
    """With `check_val_every_n_epoch=None` an epoch may have no validation, and another two."""
    module = Counting((0.5, 0.25, 0.125, 0.0625))
    stop = EarlyStopping("pepr_e", mode="max", patience=2)
    keep = ModelCheckpoint(tmp_path / "ckpt", monitor="pepr_e", mode="max", filename="{epoch}-{step}-{pepr_e:.4f}")
    options = {"val_check_interval": 3, "check_val_every_n_epoch": None, "max_epochs": 20}
    run, record = fit(module, tmp_path, stop, keep, enable_checkpointing=True, **options)
    assert run.global_step == 9, "the third evaluation is the second without a better one"
    assert [e.step for e in record.evaluations] == [2, 5, 8]
    assert Path(keep.best_model_path).name == f"epoch=0-step=3-pepr_e={record.epochs[0].scores['pepr_e']:.4f}.ckpt"
    resumed = Counting((0.5, 0.25, 0.125, 0.0625))
    again = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(resumed))
    resumed_run = trainer(again, root=tmp_path / "b", **options | {"max_epochs": 2})
    resumed_run.fit(resumed, ckpt_path=keep.best_model_path)
    assert again.run.run_id == record.run_id
    assert again.run.costs["energy_kwh"].value == pytest.approx(
        (3 * VALIDATE_UJ + 3 * TRAIN_UJ + sum(resumed.work.values())) / UJ
    )


def test_a_step_limit_within_an_epoch(tmp_path: Path) -> None:
    run, record = fit(Counting(), tmp_path, max_epochs=-1, max_steps=6)
    assert run.global_step == 6
    assert record.costs["data_samples"].value == 14 + 8, "what came after the last evaluation counts, too"
    assert record.stages["train"].energy_uj == 6 * TRAIN_UJ


@pytest.mark.parametrize("interval", ["step", "epoch"])
def test_a_time_limit(tmp_path: Path, interval: str) -> None:
    from lightning.pytorch.callbacks import Timer

    timer = Timer(timedelta(milliseconds=300), interval=interval, verbose=False)
    run, record = fit(Counting(), tmp_path, timer, max_epochs=-1)
    assert record.costs["time_s"].value > 0.3
    assert run.global_step == record.stages["train"].energy_uj / TRAIN_UJ


def test_max_time(tmp_path: Path) -> None:
    run, record = fit(Counting(), tmp_path, max_epochs=-1, max_time={"seconds": 1})
    assert run.global_step == record.stages["train"].energy_uj / TRAIN_UJ
    assert len(record.evaluations) == len(record.epochs) > 1


class Sized(Counting):
    """Batches of four, as many as are asked for, the last one smaller."""

    def __init__(self, batches: int, validations: int) -> None:
        super().__init__((0.25, 0.5, 0.75, 0.625, 0.875))
        self.batches, self.validations = batches, validations

    def train_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(torch.randn(4 * self.batches - 1, 2)), batch_size=4)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(torch.randn(self.validations, 2)), batch_size=1)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Sized, dict[str, Any]]:
    """A module, and options of the Trainer that go together, with at least one validation."""
    batches = draw(st.integers(1, 7))
    epochs = draw(st.integers(1, 4))
    options: dict[str, Any] = {"max_epochs": epochs, "accumulate_grad_batches": draw(st.integers(1, 4))}
    match draw(st.sampled_from(["each epoch", "within", "across", "every other"])):
        case "within":
            options["val_check_interval"] = draw(st.integers(1, batches))
        case "across":
            interval = draw(st.integers(1, batches * epochs))
            options |= {"val_check_interval": interval, "check_val_every_n_epoch": None}
        case "every other":
            options["check_val_every_n_epoch"] = draw(st.integers(1, epochs))
    options["num_sanity_val_steps"] = draw(st.integers(0, 2))
    if draw(st.booleans()):
        options["limit_val_batches"] = draw(st.integers(1, 3))
    if draw(st.booleans()):
        options |= {"max_epochs": -1, "max_steps": draw(st.integers(1, 12))}
    return Sized(batches, draw(st.integers(1, 4))), options


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schedules())
def test_any_schedule(tmp_path: Path, schedule: tuple[Sized, dict[str, Any]]) -> None:
    fit(schedule[0], tmp_path, **schedule[1])


@pytest.mark.parametrize("options", [{"max_epochs": 0}, {"max_steps": 0}, {"limit_train_batches": 0}], ids=str)
def test_nothing_to_train_is_no_run(tmp_path: Path, options: dict[str, Any]) -> None:
    callback = PePRCallback("val_acc", space=SPACE)
    trainer(callback, root=tmp_path, **options).fit(Counting())
    assert callback.run is None
    assert not list(tmp_path.iterdir())


def test_nothing_left_to_train_leaves_a_run_as_it_is(tmp_path: Path) -> None:
    module = Counting()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    run = trainer(callback, root=tmp_path)
    run.fit(module)
    before = callback.run.to_dict()
    run.fit(module)
    assert callback.run.to_dict() == before == RunRecord.load(tmp_path).to_dict()
    check(module, callback.run)


def test_min_epochs_outlast_what_stops(tmp_path: Path) -> None:
    stop = EarlyStopping("pepr_e", mode="max", patience=1)
    _, record = fit(Counting((0.5, 0.25)), tmp_path, stop, min_epochs=4, max_epochs=10)
    assert [e.epoch for e in record.epochs] == [0, 1, 2, 3]


@pytest.mark.parametrize("debug", [True, 2])
def test_fast_dev_run_meters_and_leaves_nothing(tmp_path: Path, debug: bool | int) -> None:
    module = Counting()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    run = trainer(callback, root=tmp_path, fast_dev_run=debug)
    run.fit(module)
    check(module, callback.run)
    assert module.samples == 4 * int(debug)
    assert not list(tmp_path.iterdir())


def test_no_validation_at_all(tmp_path: Path) -> None:
    class Training(Counting):
        key = "train_acc"
        val_dataloader = LightningModule.val_dataloader

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            self.log("train_acc", torch.tensor(0.5), on_step=False, on_epoch=True)
            return self.work_on(batch)

        def on_train_epoch_end(self) -> None:
            now = {"energy_uj": sum(self.work.values()), "samples": self.samples}
            self.evaluated.append({"epoch": self.current_epoch, "performance": 0.5, **now})

    for options in ({}, {"limit_val_batches": 0}, {"limit_val_batches": 0.0, "overfit_batches": 1}):
        _, record = fit(Training(), tmp_path, **options)
        assert len(record.evaluations) == 3


def test_barebones_logs_nothing_and_counts_all_the_same(tmp_path: Path) -> None:
    module = Counting()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = Trainer(barebones=True, accelerator="cpu", max_epochs=2, callbacks=[callback], default_root_dir=tmp_path)
        run.fit(module)
    record = RunRecord.load(tmp_path)
    assert record.costs["energy_kwh"].value == sum(module.work.values()) / UJ
    assert record.costs["data_samples"].value == 28
    assert not record.evaluations


# Processes ------------------------------------------------------------------------------------------------------------

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
