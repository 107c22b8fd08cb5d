"""The budget in a real Trainer: when it ends a training, what it says, and what it refuses."""

from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, LearningRateFinder, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from lightning_pepr import CostBudget, ModelSpace, PePRCallback, RunRecord
from lightning_pepr.meters import Part, Quality, Reading
from tests.helpers.budgets import EPOCH_KWH, fit, step_of
from tests.helpers.paths import ROOT
from tests.helpers.training import TRAIN_UJ, VALIDATE_UJ, Worker, WorkMeter, trainer


@pytest.mark.parametrize(("epochs", "stops_after"), [(0.5, 1), (2.0, 2), (2.5, 3), (8.5, 9)])
def test_ends_with_the_epoch_of_the_limit(tmp_path: Path, epochs: float, stops_after: int) -> None:
    run, record = fit(CostBudget(energy_kwh=epochs * EPOCH_KWH), tmp_path)
    assert run.current_epoch == stops_after
    assert run.global_step == 4 * stops_after
    assert len(record.evaluations) == stops_after, "validated as in any epoch"
    assert record.status == "finished"
    assert f"CostBudget ends the training after epoch {stops_after - 1}: " in record.stopped
    assert record.costs["energy_kwh"].value == pytest.approx(stops_after * EPOCH_KWH)


@pytest.mark.parametrize("epochs", [9.5, 10.0, 11.0])
def test_a_run_that_reaches_its_plan_is_not_stopped(tmp_path: Path, epochs: float) -> None:
    run, record = fit(CostBudget(energy_kwh=epochs * EPOCH_KWH), tmp_path)
    assert run.current_epoch == 10
    assert record.stopped == ""
    assert float(run.callback_metrics["budget_used"]) == pytest.approx(10 / epochs)


def test_says_why_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("lightning.fabric")
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, logger="lightning.fabric"):
            _, record = fit(CostBudget(energy_kwh=1.75e-6, time_s=3600), tmp_path)
    finally:
        logger.removeHandler(caplog.handler)
    said = [r.getMessage() for r in caplog.records if "CostBudget" in r.getMessage()]
    assert said == [record.stopped]
    assert record.stopped == (
        "CostBudget ends the training after epoch 1: 2.306e-06 kWh of energy are spent, of a budget of 1.75e-06 kWh."
    )


def test_within_an_epoch(tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path / "ckpt", save_last=True)
    run, record = fit(
        CostBudget(energy_kwh=1.45 * EPOCH_KWH, every_n_steps=1), tmp_path, saving, enable_checkpointing=True
    )
    assert run.global_step == 6, "half of the second epoch's training"
    assert "CostBudget ends the training in epoch 1: " in record.stopped
    assert record.costs["energy_kwh"].value == pytest.approx((6 * TRAIN_UJ + 6 * VALIDATE_UJ) / 3.6e12)
    assert len(record.evaluations) == 2, "validated once more, so that it is known what the last weights are worth"
    assert step_of(tmp_path / "ckpt" / "last.ckpt") == 6


@pytest.mark.parametrize("every_n_steps", [None, 1])
@pytest.mark.parametrize(
    ("saving", "schedule"),
    [
        ({}, {}),
        ({"monitor": "val_acc", "mode": "max"}, {}),
        ({}, {"val_check_interval": 0.5}),
        ({"save_on_train_epoch_end": True}, {"check_val_every_n_epoch": 2}),
    ],
)
def test_what_it_ends_is_saved(
    tmp_path: Path, every_n_steps: int | None, saving: dict[str, Any], schedule: dict[str, Any]
) -> None:
    """Under the last of the schedules the third epoch is not validated."""
    checkpoint = ModelCheckpoint(tmp_path / "ckpt", save_last=True, **saving)
    budget = CostBudget(energy_kwh=2.55 * EPOCH_KWH, every_n_steps=every_n_steps)
    run, record = fit(budget, tmp_path, checkpoint, enable_checkpointing=True, **schedule)
    assert run.current_epoch == 3
    assert ("after epoch 2" if every_n_steps is None else "in epoch 2") in record.stopped
    assert (run.global_step == 12) == (every_n_steps is None)
    assert step_of(tmp_path / "ckpt" / "last.ckpt") == run.global_step


def test_it_goes_on_from_within_an_epoch_with_a_larger_budget(tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path / "ckpt", save_last=True)
    budget = CostBudget(energy_kwh=1.45 * EPOCH_KWH, every_n_steps=1)
    _, before = fit(budget, tmp_path / "a", saving, enable_checkpointing=True)
    larger = CostBudget(energy_kwh=3 * EPOCH_KWH)
    run, record = fit(larger, tmp_path / "b", ckpt_path=tmp_path / "ckpt" / "last.ckpt")
    assert record.run_id == before.run_id
    assert record.costs["energy_kwh"].value == pytest.approx((14 * TRAIN_UJ + 12 * VALIDATE_UJ) / 3.6e12)
    assert run.global_step == 14, "the epoch that was cut short is not made up for, as Lightning has it"
    assert "CostBudget ends the training after epoch 3: " in record.stopped


def test_a_second_fit_goes_on_counting_and_a_larger_budget_lets_it(tmp_path: Path) -> None:
    module, budget = Worker(), CostBudget(energy_kwh=1.5 * EPOCH_KWH)
    meter = PePRCallback("val_acc", meter=WorkMeter(module))
    run = trainer(budget, meter, root=tmp_path, max_epochs=4)
    run.fit(module)
    run.fit(module)
    assert run.global_step == 8, "nothing is left"
    assert meter.run is not None
    assert "before epoch 2" in meter.run.stopped
    budget.cost_limits["energy_kwh"] = 10 * EPOCH_KWH
    run.fit(module)
    assert run.global_step == 16
    assert RunRecord.load(tmp_path).stopped == "", "it reached its plan in the end"


def test_accumulated_gradients_are_not_looked_at_between(tmp_path: Path) -> None:
    budget = CostBudget(energy_kwh=1e-9, min_epochs=0, every_n_steps=1)
    run, record = fit(budget, tmp_path, accumulate_grad_batches=3)
    assert run.global_step == 1
    assert record.costs["data_samples"].value == 12, "three batches of four"


def test_a_limit_that_is_met_before_min_epochs_is_a_warning_once(tmp_path: Path) -> None:
    budget = CostBudget(energy_kwh=1e-9, min_epochs=2, every_n_steps=1)
    with pytest.warns(UserWarning, match=r"trains on for min_epochs=2, although .* kWh of energy are spent") as caught:
        run, _ = fit(budget, tmp_path)
    assert run.current_epoch == 2
    assert sum("min_epochs=2" in str(warning.message) for warning in caught) == 1


@pytest.mark.parametrize("options", [{"min_epochs": 3}, {"min_steps": 10}])
def test_what_the_trainer_asks_for_is_trained(tmp_path: Path, options: dict[str, Any]) -> None:
    run, record = fit(CostBudget(energy_kwh=1e-9), tmp_path, **options)
    assert run.global_step == 12
    assert "after epoch 2" in record.stopped


def test_what_stops_first_is_what_ended_it(tmp_path: Path) -> None:
    class Enough(Callback):
        def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
            trainer.should_stop = trainer.global_step == 5

    run, record = fit(CostBudget(energy_kwh=1.2 * EPOCH_KWH), tmp_path, Enough())
    assert run.global_step == 6
    assert record.stopped == ""
    assert float(run.callback_metrics["budget_used"]) > 1
    assert not record.epochs[1].forecasts, "the epoch was cut short"


def test_a_search_for_a_learning_rate_is_none_of_the_budget(tmp_path: Path) -> None:
    class Tunable(Worker):
        lr = 0.01

    module = Tunable()
    meter = PePRCallback("val_acc", meter=WorkMeter(module))
    finder = LearningRateFinder(num_training_steps=20)
    run = trainer(CostBudget(energy_kwh=2.5 * EPOCH_KWH), meter, finder, root=tmp_path, max_epochs=10)
    run.fit(module)
    assert run.global_step == 12
    assert meter.cost.energy_kwh == pytest.approx(3 * EPOCH_KWH)


def test_a_meter_that_fails_ends_nothing_and_warns_once(tmp_path: Path) -> None:
    class Failing(WorkMeter):
        def read(self, wait: bool = True) -> Reading:
            reading = super().read(wait)
            if self.module.evaluations < 2:
                return reading
            return Reading({"work": Part(None, Quality.UNAVAILABLE, reason="lost")}, reading.time_s, reading.timestamp)

    module = Worker()
    meter = PePRCallback("val_acc", meter=Failing(module))
    run = trainer(CostBudget(energy_kwh=2.5 * EPOCH_KWH), meter, root=tmp_path, max_epochs=5)
    with pytest.warns(UserWarning, match="does not limit energy_kwh at present: it could not be measured") as caught:
        run.fit(module)
    assert sum("does not limit" in str(warning.message) for warning in caught) == 1
    assert run.current_epoch == 5
    assert float(run.callback_metrics["budget_used"]) == pytest.approx(1 / 2.5), "the last that is known, and never 0"
    assert "forecast_energy_kwh" not in run.callback_metrics


def test_looks_only_every_so_many_steps(tmp_path: Path) -> None:
    run, _ = fit(CostBudget(energy_kwh=1.3 * EPOCH_KWH, every_n_steps=3), tmp_path)
    assert run.global_step == 7


@pytest.mark.parametrize("every_n_steps", [None, 1])
def test_not_before_min_epochs(tmp_path: Path, every_n_steps: int | None) -> None:
    budget = CostBudget(energy_kwh=EPOCH_KWH / 100, min_epochs=3, every_n_steps=every_n_steps)
    run, _ = fit(budget, tmp_path)
    assert run.global_step == 12


def test_of_several_limits_the_one_that_is_met_is_named(tmp_path: Path) -> None:
    budget = CostBudget(energy_kwh=1e6, carbon_g=151 * 1.5 * EPOCH_KWH, time_s=1e6)
    run, record = fit(budget, tmp_path, meter={"carbon_intensity": 151.0})
    assert run.current_epoch == 2
    assert "g CO2e are emitted" in record.stopped


def test_time_alone_needs_no_meter(tmp_path: Path) -> None:
    run, record = fit(CostBudget(time_s=1e-3), tmp_path)
    assert run.current_epoch == 1
    assert "s have gone by" in record.stopped


def test_logs_the_share_that_is_used(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    run, _ = fit(CostBudget(energy_kwh=4 * EPOCH_KWH, time_s=1e6), tmp_path, logger=logger, max_epochs=3)
    assert run.progress_bar_metrics["budget_used"] == pytest.approx(0.75)
    assert float(run.callback_metrics["budget_used"]) == pytest.approx(0.75)
    with open(Path(logger.log_dir) / "metrics.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["budget_used"]]
    assert [float(row["budget_used"]) for row in rows] == pytest.approx([0.25, 0.5, 0.75])
    assert [int(row["step"]) for row in rows] == [3, 7, 11]


def test_is_silent_in_the_progress_bar_if_asked(tmp_path: Path) -> None:
    run, _ = fit(CostBudget(energy_kwh=4 * EPOCH_KWH, prog_bar=False), tmp_path, max_epochs=1)
    assert "budget_used" not in run.progress_bar_metrics
    assert "budget_used" in run.callback_metrics


def test_a_resumed_run_goes_on_counting(tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path / "ckpt", save_last=True)
    limit = 3.5 * EPOCH_KWH
    fit(CostBudget(energy_kwh=limit), tmp_path / "a", saving, max_epochs=2, enable_checkpointing=True)
    run, record = fit(CostBudget(energy_kwh=limit), tmp_path / "b", ckpt_path=tmp_path / "ckpt" / "last.ckpt")
    assert run.current_epoch == 4
    # The checkpoint was saved before the end of its epoch was counted, of which nothing is left here.
    assert record.costs["energy_kwh"].value == pytest.approx(4 * EPOCH_KWH)


def test_a_resumed_run_that_has_nothing_left_is_not_trained(tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path / "ckpt", save_last=True)
    fit(CostBudget(energy_kwh=1.5 * EPOCH_KWH), tmp_path / "a", saving, enable_checkpointing=True)
    budget = CostBudget(energy_kwh=1.5 * EPOCH_KWH)
    run, record = fit(budget, tmp_path / "b", ckpt_path=tmp_path / "ckpt" / "last.ckpt")
    assert run.global_step == 8
    assert "CostBudget ends" in record.stopped


SCRIPT = """
import json, os, sys, warnings
os.environ["CUDA_VISIBLE_DEVICES"] = ""
warnings.simplefilter("ignore")
from pathlib import Path
from lightning_pepr import CostBudget, PePRCallback
from tests.helpers.training import Worker, WorkMeter, trainer

rank, root, every = int(os.environ["RANK"]), Path(sys.argv[1]), json.loads(sys.argv[2])

class Uneven(Worker):
    def training_step(self, batch, index):
        self.work_uj += 5_000_000 * rank
        return super().training_step(batch, index)

module = Uneven()
meter = PePRCallback("val_acc", meter=WorkMeter(module))
budget = CostBudget(energy_kwh=1.2e-5, every_n_steps=every)
run = trainer(budget, meter, root=root, devices=2, strategy="ddp", max_epochs=10)
run.fit(module)
(root / f"{rank}.json").write_text(json.dumps([run.current_epoch, run.global_step, meter.run.stopped]))
import torch.distributed
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("every_n_steps", [None, 1])
def test_all_ranks_stop_together(tmp_path: Path, every_n_steps: int | None) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    command += [str(tmp_path), json.dumps(every_n_steps)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-4000:]
    one, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert one == other
    assert "CostBudget ends" in one[2]
    assert 0 < one[1] < 20


def test_without_a_meter_there_is_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"reads the trainer's PePRCallback, and there is none\. Add one"):
        trainer(CostBudget(time_s=1.0), root=tmp_path).fit(Worker())


def test_what_cannot_be_measured_cannot_be_limited(tmp_path: Path) -> None:
    module = Worker()
    meter = PePRCallback("val_acc", meter=WorkMeter(module), space=ModelSpace.budget(energy_kwh=1.0))
    with pytest.raises(ValueError, match=r"limits carbon_g, but carbon_g cannot be measured: .*carbon_intensity"):
        trainer(CostBudget(carbon_g=1.0), meter, root=tmp_path).fit(module)
    assert module.work_uj == 0 or module.evaluations == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "got no limit"),
        ({"energy_kwh": 0.0}, "energy_kwh is 0.0; expected a finite amount larger than 0"),
        ({"time_s": -1}, "time_s is -1"),
        ({"time_s": float("nan")}, "time_s is nan"),
        ({"carbon_g": float("inf")}, "carbon_g is inf"),
        ({"energy_kwh": "0.5"}, "energy_kwh is '0.5'"),
        ({"energy_kwh": True}, "energy_kwh is True"),
        ({"time_s": 1.0, "on": "guessed"}, "on is 'guessed'; expected 'spent' or 'predicted'"),
        ({"time_s": 1.0, "min_epochs": -1}, "min_epochs is -1"),
        ({"time_s": 1.0, "every_n_steps": 0}, "every_n_steps is 0"),
        ({"time_s": 1.0, "every_n_steps": 0.5}, "every_n_steps is 0.5"),
    ],
)
def test_arguments_out_of_range_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CostBudget(**options)
