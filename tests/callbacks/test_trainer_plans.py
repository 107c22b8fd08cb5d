"""However long and often the Trainer trains and validates: the score is in its epoch and step."""

from __future__ import annotations

import warnings
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
    ModelCheckpoint,
)
from torch.utils.data import DataLoader, TensorDataset

from lightning_pepr import PePRCallback, RunRecord
from tests.helpers.counting import SPACE, UJ, Counting, check, fit
from tests.helpers.fits import check_stages, record_of
from tests.helpers.training import TRAIN_UJ, VALIDATE_UJ, WorkMeter, trainer


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
def test_schedules(tmp_path: Path, options: Any, evaluations: list[tuple[int, int]]) -> None:
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
    assert record_of(again).run_id == record.run_id
    assert record_of(again).costs["energy_kwh"].value == pytest.approx(
        (3 * VALIDATE_UJ + 3 * TRAIN_UJ + sum(resumed.work.values())) / UJ
    )


def test_a_step_limit_within_an_epoch(tmp_path: Path) -> None:
    run, record = fit(Counting(), tmp_path, max_epochs=-1, max_steps=6)
    assert run.global_step == 6
    assert record.costs["data_samples"].value == 14 + 8, "what came after the last evaluation counts, too"
    check_stages(record, train=6 * TRAIN_UJ, validate=3 * VALIDATE_UJ)


@pytest.mark.parametrize("interval", ["step", "epoch"])
def test_a_time_limit(tmp_path: Path, interval: str) -> None:
    from lightning.pytorch.callbacks import Timer

    timer = Timer(timedelta(milliseconds=300), interval=interval, verbose=False)
    module = Counting()
    run, record = fit(module, tmp_path, timer, max_epochs=-1)
    assert (record.costs["time_s"].value or 0.0) > 0.3
    assert run.global_step * TRAIN_UJ == module.work["train"]


def test_max_time(tmp_path: Path) -> None:
    module = Counting()
    run, record = fit(module, tmp_path, max_epochs=-1, max_time={"seconds": 1})
    assert run.global_step * TRAIN_UJ == module.work["train"]
    assert len(record.evaluations) == len(record.epochs) > 1


class Sized(Counting):
    """Batches of four, as many as are asked for, the last one smaller."""

    def __init__(self, batches: int, validations: int) -> None:
        super().__init__((0.25, 0.5, 0.75, 0.625, 0.875))
        self.batches, self.validations = batches, validations

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(torch.randn(4 * self.batches - 1, 2)), batch_size=4)

    def val_dataloader(self) -> DataLoader[Any]:
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
    before = record_of(callback).to_dict()
    run.fit(module)
    assert record_of(callback).to_dict() == before == RunRecord.load(tmp_path).to_dict()
    check(module, record_of(callback))


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
    check(module, record_of(callback))
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
