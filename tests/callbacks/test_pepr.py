"""The callback in a real Trainer: what it counts, logs and records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from lightning_pepr import ModelSpace, PePRCallback, RunRecord, pepr
from tests.helpers.fits import EPOCH_UJ, SPACE, TwoMetrics, check_stages, fit, record_of, rows_of, uj
from tests.helpers.training import TEST_UJ, TRAIN_UJ, VALIDATE_UJ, Worker, WorkMeter, trainer


def test_counts_training_and_validation_and_leaves_the_sanity_check_out(tmp_path: Path) -> None:
    module = Worker()
    run = RunRecord.load(tmp_path) if fit(module, tmp_path) else None
    assert run is not None
    check_stages(run, train=3 * 4 * TRAIN_UJ, validate=3 * 3 * VALIDATE_UJ)
    assert run.costs["energy_kwh"].value == 3 * EPOCH_UJ / 3.6e12
    assert run.costs["energy_kwh"].quality == "counter"
    assert run.costs["data_samples"].value == 3 * 14
    assert run.costs["params"].value == 3, "a weight of two, and a bias; what is frozen does not count"
    assert (run.costs["memory_gb"].value or 0.0) > 0.05
    assert run.costs["carbon_g"].value is None
    assert "carbon_intensity" in run.costs["carbon_g"].reason


def test_stages_add_up_to_the_whole_exactly(tmp_path: Path) -> None:
    callback = PePRCallback("val_acc", space=SPACE)  # the real meter of this host
    trainer(callback, root=tmp_path).fit(Worker())
    run = RunRecord.load(tmp_path)
    assert run.costs["energy_kwh"].value == uj(run) / 3.6e12 > 0
    assert run.costs["time_s"].value == sum(stage.time_ns for stage in run.stages.values()) / 1e9
    assert sum(device.energy_uj or 0 for device in run.devices.values()) == uj(run)


def test_validating_alone_and_predicting_cost_nothing(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    run = trainer(callback, root=tmp_path)
    run.validate(module, verbose=False)
    assert callback.run is None
    assert not list(tmp_path.iterdir())
    run.fit(module)
    before = json.dumps(callback.run.to_dict() if callback.run else None)
    run.validate(module, verbose=False)
    assert json.dumps(callback.run.to_dict() if callback.run else None) == before


def test_gradient_accumulation_counts_every_sample(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    run = fit(Worker(), tmp_path, accumulate_grad_batches=2, logger=logger).run
    assert run is not None
    assert run.costs["data_samples"].value == 3 * 14
    steps = [row["step"] for row in rows_of(logger) if row["val_acc"]]
    assert [str(e.step) for e in run.epochs] == steps == ["1", "3", "5"]


def test_a_budget_of_one_lets_the_score_fall_to_half(tmp_path: Path) -> None:
    run = fit(Worker((0.5,)), tmp_path, max_epochs=1, space=ModelSpace.budget(energy_kwh=EPOCH_UJ / 3.6e12)).run
    assert run is not None
    assert run.epochs[0].scores["pepr_e"] == 0.25


def test_baseline_is_scored_above(tmp_path: Path) -> None:
    run = fit(Worker((0.75,)), tmp_path, max_epochs=1, baseline=0.5).run
    assert run is not None
    assert run.baseline == 0.5
    assert run.epochs[0].scores["pepr_e"] == pepr(0.5, SPACE.normalize(EPOCH_UJ / 3.6e12, "energy"))


def test_without_a_space_costs_are_logged_and_no_score_is(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", meter=WorkMeter(module), carbon_intensity=200.0, pue=1.5)
    run = trainer(callback, root=tmp_path)
    run.fit(module)
    assert float(run.callback_metrics["carbon_g"]) == pytest.approx(3 * EPOCH_UJ / 3.6e12 * 300)
    assert not [key for key in run.callback_metrics if key.startswith("pepr")]
    assert callback.run is not None
    assert callback.run.carbon == {"g_per_kwh": 200.0, "pue": 1.5, "source": "given"}


def test_only_requested_resources_are_logged_and_all_are_recorded(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, resources=["T"], meter=WorkMeter(module))
    run = trainer(callback, root=tmp_path)
    run.fit(module)
    logged = set(run.callback_metrics) - {"val_acc", "val_loss"}
    assert logged == {"time_s", "pepr_t", "forecast_time_s"}
    assert callback.cost.energy_kwh == 3 * EPOCH_UJ / 3.6e12


def test_fast_dev_run_leaves_nothing(tmp_path: Path) -> None:
    fit(Worker(), tmp_path, fast_dev_run=True)
    assert not list(tmp_path.iterdir())


def test_two_callbacks_with_different_monitors_live_together(tmp_path: Path) -> None:
    module = TwoMetrics()
    first = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module), record=False)
    second = PePRCallback("val_acc2", prefix="second_")
    trainer(first, second, root=tmp_path).fit(module)
    assert first.state_key != second.state_key
    assert [(e.performance, e.others) for e in record_of(second).epochs] == [(0.5, {"val_acc2": 0.25})] * 3


def test_testing_is_its_own_stage_and_gives_the_test_performance(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    checkpoint = ModelCheckpoint(tmp_path / "ckpt", monitor="val_acc", mode="max")
    run = trainer(callback, checkpoint, root=tmp_path, enable_checkpointing=True)
    run.fit(module)
    before = RunRecord.load(tmp_path)
    assert before.test_performance is None
    assert before.performance == 0.625, "the best epoch's"
    assert (before.val_samples, before.test_samples) == (6, None), "the sanity check's are not among them"
    for _ in range(2):
        run.test(module, ckpt_path="best", verbose=False)
    after = RunRecord.load(tmp_path)
    assert after.test_performance == after.performance == 0.6875
    assert after.stages["test"].energy_uj == 3 * TEST_UJ, "the last call wins"
    assert after.cost == before.cost, "and testing adds nothing to the fit"
    assert after.status == "finished"
    assert (after.val_samples, after.test_samples) == (6, 6), "of one evaluation, however many there were"


def test_testing_without_a_fit_leaves_no_record(tmp_path: Path) -> None:
    trainer(PePRCallback("val_acc", space=SPACE), root=tmp_path).test(Worker(), verbose=False)
    assert not list(tmp_path.iterdir())


def test_a_test_performance_that_is_not_logged_is_a_warning(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module), test_monitor="test_auroc")
    run = trainer(callback, root=tmp_path)
    run.fit(module)
    with pytest.warns(UserWarning, match="'test_auroc' was not logged in testing.*Logged are .*test_acc"):
        run.test(module, verbose=False)
    assert RunRecord.load(tmp_path).test_performance is None


def test_it_works_in_a_trainer_of_pytorch_lightning(tmp_path: Path) -> None:
    script = """
import sys, torch, pytorch_lightning as pl
from torch.utils.data import DataLoader, TensorDataset
from lightning_pepr import ModelSpace, PePRCallback
class Model(pl.LightningModule):
    def __init__(self): super().__init__(); self.layer = torch.nn.Linear(2, 1)
    def training_step(self, batch, i): return self.layer(batch[0]).square().mean()
    def validation_step(self, batch, i): self.log("val_acc", torch.tensor(0.5), batch_size=1)
    def configure_optimizers(self): return torch.optim.SGD(self.parameters(), 0.1)
    def train_dataloader(self): return DataLoader(TensorDataset(torch.randn(4, 2)))
    val_dataloader = train_dataloader
trainer = pl.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False,
    default_root_dir=sys.argv[1], enable_checkpointing=False,
    callbacks=[pl.callbacks.EarlyStopping("pepr_e", mode="max"),
               PePRCallback("val_acc", space=ModelSpace.budget(energy_kwh=1))])
trainer.fit(Model())
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, env={**os.environ}, timeout=120)
    assert len(RunRecord.load(tmp_path).epochs) == 2


def test_the_callback_is_a_lightning_callback_with_a_trivial_state_key() -> None:
    assert PePRCallback("val_acc").state_key == "PePRCallback[val_acc]"
    assert issubclass(Worker, LightningModule)
