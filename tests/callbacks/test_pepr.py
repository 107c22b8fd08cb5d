"""The callback in a real Trainer: what it counts, logs, records, refuses, and survives."""

from __future__ import annotations

import copy
import csv
import json
import math
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from lightning_pepr import ModelSpace, PePRCallback, RunRecord, load_runs, pepr
from lightning_pepr.utilities.files import FILE_NAME
from tests.helpers.training import TEST_UJ, TRAIN_UJ, VALIDATE_UJ, Worker, WorkMeter, trainer

SPACE = ModelSpace.budget(energy_kwh=1e-5, time_s=60)
EPOCH_UJ = 4 * TRAIN_UJ + 3 * VALIDATE_UJ  # four training batches, three of validation


def fit(module: Worker, root: Path, *others: Any, **kwargs: Any) -> PePRCallback:
    options = {name: kwargs.pop(name) for name in list(kwargs) if name in ("space", "resources", "baseline", "pue")}
    callback = PePRCallback("val_acc", **{"space": SPACE, **options}, meter=WorkMeter(module))
    trainer(callback, *others, root=root, **kwargs).fit(module)
    return callback


def uj(record: RunRecord | None) -> int:
    """The energy of a run in microjoules, as the stages have it."""
    assert record is not None
    return sum(stage.energy_uj or 0 for name, stage in record.stages.items() if name != "test")


def rows_of(logger: CSVLogger) -> list[dict[str, str]]:
    with open(Path(logger.log_dir) / "metrics.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# What is counted ------------------------------------------------------------------------------------------------------


def test_counts_training_and_validation_and_leaves_the_sanity_check_out(tmp_path: Path) -> None:
    module = Worker()
    run = RunRecord.load(tmp_path) if fit(module, tmp_path) else None
    assert run is not None
    assert {name: stage.energy_uj for name, stage in run.stages.items()} == {
        "other": 0,
        "train": 3 * 4 * TRAIN_UJ,
        "validate": 3 * 3 * VALIDATE_UJ,
    }
    assert run.costs["energy_kwh"].value == 3 * EPOCH_UJ / 3.6e12
    assert run.costs["energy_kwh"].quality == "counter"
    assert run.costs["data_samples"].value == 3 * 14
    assert run.costs["params"].value == 3, "a weight of two, and a bias; what is frozen does not count"
    assert run.costs["memory_gb"].value > 0.05
    assert run.costs["carbon_g"].value is None
    assert "carbon_intensity" in run.costs["carbon_g"].reason


def test_stages_add_up_to_the_whole_exactly(tmp_path: Path) -> None:
    callback = PePRCallback("val_acc", space=SPACE)  # the real meter of this host
    trainer(callback, root=tmp_path).fit(Worker())
    run = RunRecord.load(tmp_path)
    assert run.costs["energy_kwh"].value == uj(run) / 3.6e12 > 0
    assert run.costs["time_s"].value == sum(stage.time_ns for stage in run.stages.values()) / 1e9
    assert sum(device.energy_uj or 0 for device in run.devices.values()) == uj(run)


def test_each_epoch_has_its_own_cost_and_score(tmp_path: Path) -> None:
    run = fit(Worker(), tmp_path).run
    assert run is not None
    assert [e.epoch for e in run.epochs] == [0, 1, 2]
    assert [e.performance for e in run.epochs] == [0.25, 0.5, 0.625]
    assert [e.cost.energy_kwh for e in run.epochs] == [(n + 1) * EPOCH_UJ / 3.6e12 for n in range(3)]
    for e in run.epochs:
        assert e.scores["pepr_e"] == pepr(e.performance, SPACE.normalize(e.cost.energy_kwh, "energy"))
        assert e.scores["pepr_t"] == pepr(e.performance, SPACE.normalize(e.cost.time_s, "time"))
        assert set(e.scores) == {"pepr_e", "pepr_t"}, "scores of what the space has"


def test_a_training_metric_of_single_steps_is_scored_each_epoch(tmp_path: Path) -> None:
    class ByStep(Worker):
        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            self.log("train_acc", torch.tensor(index / 8), on_step=True, on_epoch=False)
            return super().training_step(batch, index)

    module = ByStep()
    callback = PePRCallback("train_acc", space=SPACE, meter=WorkMeter(module))
    trainer(callback, root=tmp_path).fit(module)
    assert callback.run is not None
    assert [e.performance for e in callback.run.epochs] == [3 / 8] * 3, "the last step's, though validation ran"
    assert callback.run.val_samples is None, "it is of no validation"


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


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        (torch.zeros(5, 2), 5),
        ([torch.zeros(4, 2), torch.zeros(4)], 4),
        ({"x": torch.zeros(3), "y": 1}, 3),
        ({"x": {"deep": [torch.zeros(2)]}}, 2),
        (torch.tensor(1.0), 1),
        (["a", "b"], None),
        (object(), None),
    ],
)
def test_batch_size(batch: Any, size: int | None) -> None:
    from lightning_pepr.callbacks._batches import batch_size

    found = batch_size(batch)
    assert found == size or (batch == ["a", "b"] and found == 1)  # Lightning takes a text's length


def test_samples_that_cannot_be_counted_are_none_never_0(tmp_path: Path) -> None:
    class Opaque(Worker):
        def train_dataloader(self) -> DataLoader:
            return DataLoader([1, 2, 3, 4], batch_size=2, collate_fn=frozenset)

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return self.layer(torch.randn(2, 2)).square().mean()

    run = fit(Opaque(), tmp_path).run
    assert run is not None
    assert run.costs["data_samples"].value is None
    assert "no tensor" in run.costs["data_samples"].reason


# What is logged -------------------------------------------------------------------------------------------------------


def test_scores_and_costs_are_in_every_logger_at_the_step_of_the_users_metrics(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loggers = [TensorBoardLogger(tmp_path, "tb"), CSVLogger(tmp_path, "csv")]
    run = fit(Worker(), tmp_path, logger=loggers, log_every_n_steps=1)
    events = EventAccumulator(loggers[0].log_dir)
    events.Reload()
    for key in ("pepr_e", "pepr_t", "energy_kwh", "time_s", "memory_gb", "data_samples", "params"):
        scalars = events.Scalars(key)
        assert [s.step for s in scalars] == [s.step for s in events.Scalars("val_acc")] == [3, 7, 11]
    assert [s.value for s in events.Scalars("pepr_e")] == pytest.approx([e.scores["pepr_e"] for e in run.run.epochs])
    rows = [row for row in rows_of(loggers[1]) if row["pepr_e"]]
    assert [float(row["pepr_e"]) for row in rows] == [e.scores["pepr_e"] for e in run.run.epochs]
    assert [int(row["step"]) for row in rows] == [3, 7, 11]
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    assert (Path(loggers[0].log_dir) / FILE_NAME).exists(), "the record is beside the first logger's files"


def test_scores_are_in_the_progress_bar_unless_it_is_told_not_to(tmp_path: Path) -> None:
    for prog_bar in (True, False):
        module = Worker()
        callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module), prog_bar=prog_bar)
        run = trainer(callback, root=tmp_path)
        run.fit(module)
        assert ("pepr_e" in run.progress_bar_metrics) is prog_bar
        assert "energy_kwh" not in run.progress_bar_metrics


def test_without_a_logger_the_record_is_in_the_root(tmp_path: Path) -> None:
    fit(Worker(), tmp_path)
    assert RunRecord.load(tmp_path / FILE_NAME).status == "finished"


def test_without_a_space_costs_are_logged_and_no_score_is(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", meter=WorkMeter(module), carbon_intensity=200.0, pue=1.5)
    run = trainer(callback, root=tmp_path)
    run.fit(module)
    assert float(run.callback_metrics["carbon_g"]) == pytest.approx(3 * EPOCH_UJ / 3.6e12 * 300)
    assert not [key for key in run.callback_metrics if key.startswith("pepr")]
    assert callback.run is not None
    assert callback.run.carbon == {"g_per_kwh": 200.0, "pue": 1.5, "source": "given"}


def test_only_the_resources_that_are_named_are_logged_and_all_are_recorded(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, resources=["T"], meter=WorkMeter(module))
    run = trainer(callback, root=tmp_path)
    run.fit(module)
    logged = set(run.callback_metrics) - {"val_acc", "val_loss"}
    assert logged == {"time_s", "pepr_t", "forecast_time_s"}
    assert callback.cost.energy_kwh == 3 * EPOCH_UJ / 3.6e12


def test_a_resource_that_is_named_and_cannot_be_had_is_one_warning(tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning, match="carbon was requested, but carbon_g cannot be measured: .*carbon_intensity"
    ) as caught:
        fit(Worker(), tmp_path, space=None, resources=["carbon", "energy"])
    assert len([w for w in caught if "carbon was requested" in str(w.message)]) == 1


def test_fast_dev_run_leaves_nothing(tmp_path: Path) -> None:
    fit(Worker(), tmp_path, fast_dev_run=True)
    assert not list(tmp_path.iterdir())


def test_checkpoint_names_take_the_score(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path, monitor="pepr_e", mode="max", filename="{epoch}-{pepr_e:.3f}")
    callback = fit(Worker((0.5, 0.25)), tmp_path, checkpoint, enable_checkpointing=True)
    assert callback.run is not None
    best = max(e.scores["pepr_e"] for e in callback.run.epochs)
    assert Path(checkpoint.best_model_path).name == f"epoch=0-pepr_e={best:.3f}.ckpt"


def test_two_callbacks_with_different_monitors_live_together(tmp_path: Path) -> None:
    module = Worker()
    first = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module), record=False)
    second = PePRCallback("val_acc2", meter=WorkMeter(module), record=False, resources=["params"])
    module.validation_step = lambda batch, batch_idx: module.log_dict({"val_acc": 0.5, "val_acc2": 0.25})
    trainer(first, second, root=tmp_path).fit(module)
    assert first.state_key != second.state_key
    assert [e.performance for e in second.run.epochs] == [0.25] * 3


def test_two_callbacks_leave_a_record_each(tmp_path: Path) -> None:
    module = Worker()
    first = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    second = PePRCallback("val_acc2", space=SPACE, meter=WorkMeter(module))
    module.validation_step = lambda batch, batch_idx: module.log_dict({"val_acc": 0.5, "val_acc2": 0.25})
    trainer(first, second, root=tmp_path).fit(module)
    found = [RunRecord.load(path) for path in tmp_path.rglob("pepr*.json")]
    assert sorted(run.monitor for run in found) == ["val_acc", "val_acc2"]
    assert [run.status for run in found] == ["finished"] * 2
    assert RunRecord.load(tmp_path).monitor == "val_acc", "the first in the user's list"
    assert [len(run.epochs) for run in found] == [3, 3]
    assert sorted(load_runs(tmp_path)["performance"]) == [0.25, 0.5]


def test_a_fit_that_fails_before_it_begins_leaves_the_last_runs_record_alone(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    trainer(callback, root=tmp_path / "one").fit(module)
    first = callback.run.run_id
    with pytest.raises(FileNotFoundError):
        trainer(callback, root=tmp_path / "two").fit(module, ckpt_path=tmp_path / "nowhere.ckpt")
    assert callback.run.status == "failed"
    assert [path.name for path in (tmp_path / "one").rglob("pepr*.json")] == [FILE_NAME]
    assert RunRecord.load(tmp_path / "one").run_id == first


@pytest.mark.parametrize(
    ("monitor", "key"),
    [
        ("val_acc", "test_acc"),
        ("valid_acc", "test_acc"),
        ("validation/acc", "test/acc"),
        ("eval_acc", "test_acc"),
        ("acc_val", "acc_test"),
        ("valAcc", "testAcc"),
        ("myval_acc", "mytest_acc"),
        ("invalid_share", "invalid_share"),
        ("acc", "acc"),
    ],
)
def test_the_test_performance_has_the_key_that_goes_with_the_monitor(monitor: str, key: str) -> None:
    assert PePRCallback(monitor).test_key == key


# fit, again -----------------------------------------------------------------------------------------------------------


def test_fit_again_on_the_same_model_and_trainer_goes_on_counting(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    run = trainer(callback, root=tmp_path, max_epochs=1)
    run.fit(module)
    first = callback.run.run_id
    run.fit_loop.max_epochs = 3
    run.fit(module)
    assert callback.run.run_id == first
    assert uj(RunRecord.load(tmp_path)) == 3 * EPOCH_UJ
    assert callback.run.costs["data_samples"].value == 3 * 14
    assert [e.epoch for e in callback.run.epochs] == [0, 1, 2]


def test_fit_of_another_model_is_a_new_run_and_the_old_record_is_kept(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    trainer(callback, root=tmp_path).fit(module)
    first = callback.run.run_id
    trainer(callback, root=tmp_path, max_epochs=1).fit(module)
    assert callback.run.run_id != first
    assert uj(RunRecord.load(tmp_path)) == EPOCH_UJ
    assert uj(RunRecord.load(tmp_path / f"pepr-{first[:8]}.json")) == 3 * EPOCH_UJ


@pytest.mark.parametrize(
    ("when", "steps", "samples"),
    [
        ({"every_n_train_steps": 2}, 2, 44),  # Lightning begins the epoch's batches anew, and the small one is the last
        ({"every_n_train_steps": 6}, 6, 44),
        ({"every_n_epochs": 1, "save_on_train_epoch_end": True}, 4, 42),
    ],
)
def test_resume_goes_on_from_the_checkpoint_and_counts_nothing_twice(
    tmp_path: Path, when: dict[str, Any], steps: int, samples: int
) -> None:
    saving = ModelCheckpoint(tmp_path / "ckpt", **when, save_top_k=-1, filename="{step}")
    module = Worker(fail_at=steps + 1, error=RuntimeError("power cut"))
    first = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    with pytest.raises(RuntimeError, match="power cut"):
        trainer(first, saving, root=tmp_path / "a", enable_checkpointing=True).fit(module)
    cut = RunRecord.load(tmp_path / "a")
    assert cut.status == "failed"
    assert cut.error == "RuntimeError: power cut"
    assert uj(cut) == (steps + 1) * TRAIN_UJ + (steps // 4) * 3 * VALIDATE_UJ, "what was spent is kept"

    again = Worker()
    second = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(again))
    trainer(second, root=tmp_path / "b").fit(again, ckpt_path=str(tmp_path / "ckpt" / f"step={steps}.ckpt"))
    whole = RunRecord.load(tmp_path / "b")
    assert whole.run_id == cut.run_id, "it is the same run"
    assert uj(whole) == 3 * EPOCH_UJ, "as if it had never stopped"
    assert whole.costs["data_samples"].value == samples
    assert [e.epoch for e in whole.epochs] == [0, 1, 2]
    assert whole.status == "finished"
    assert whole.error == ""


def test_a_checkpoint_loads_without_unpickling_classes(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path, filename="last")
    callback = fit(Worker(), tmp_path, checkpoint, enable_checkpointing=True)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"][callback.state_key]
    assert state["run_id"] == callback.run.run_id
    assert len(state["epochs"]) == 3


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


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_before_and_between_fits_work(tmp_path: Path, duplicate: Any) -> None:
    callback = duplicate(PePRCallback("val_acc", space=SPACE))
    trainer(callback, root=tmp_path / "a", max_epochs=1).fit(Worker())
    again = duplicate(callback)
    assert again.cost == callback.cost
    trainer(again, root=tmp_path / "b", max_epochs=1).fit(Worker())
    assert RunRecord.load(tmp_path / "b").run_id != callback.run.run_id


# What goes wrong ------------------------------------------------------------------------------------------------------


def test_an_exception_keeps_what_was_measured_and_closes_the_meter(tmp_path: Path) -> None:
    module = Worker(fail_at=5, error=ValueError("bad batch"))
    callback = PePRCallback("val_acc", space=SPACE)
    with pytest.raises(ValueError, match="bad batch"):
        trainer(callback, root=tmp_path).fit(module)
    run = RunRecord.load(tmp_path)
    assert (run.status, run.error) == ("failed", "ValueError: bad batch")
    assert len(run.epochs) == 1
    assert run.costs["energy_kwh"].value > run.epochs[0].cost.energy_kwh
    assert not run.costs["energy_kwh"].lower_bound, "nothing was lost on one rank"
    assert not callback._run.tracker.is_open


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    module = Worker(fail_at=5, error=KeyboardInterrupt())
    with pytest.raises(SystemExit):
        fit(module, tmp_path)
    run = RunRecord.load(tmp_path)
    assert run.status == "interrupted"
    assert uj(run) == EPOCH_UJ + TRAIN_UJ


def test_a_meter_that_raises_does_not_harm_training(tmp_path: Path) -> None:
    class Broken(WorkMeter):
        def read(self, wait: bool = True) -> Any:
            if self.module.work_uj > 5 * TRAIN_UJ:
                raise OSError("the cable is out")
            return super().read(wait)

    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, meter=Broken(module))
    trainer(callback, root=tmp_path, num_sanity_val_steps=0).fit(module)
    entry = RunRecord.load(tmp_path).costs["energy_kwh"]
    assert entry.value == EPOCH_UJ / 3.6e12, "what was measured until then"
    assert entry.lower_bound
    assert "OSError: the cable is out" in entry.reason


def test_a_disk_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="the record could not be written") as caught:
        fit(Worker(), tmp_path / "root")
    assert len([w for w in caught if "could not be written" in str(w.message)]) == 1


def test_record_false_writes_nothing(tmp_path: Path) -> None:
    module = Worker()
    trainer(PePRCallback("val_acc", space=SPACE, record=False), root=tmp_path).fit(module)
    assert not list(tmp_path.iterdir())


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"monitor": "val_loss"}, "'val_loss', which is better the lower it is"),
        ({"monitor": "test/RMSE"}, "better the lower it is"),
        ({"monitor": ""}, "expected the key of a performance"),
        ({"monitor": "pepr_e"}, "logs itself"),
        ({"monitor": "acc", "space": {"energy_kwh": (0, 1)}}, "expected a ModelSpace"),
        ({"monitor": "acc", "resources": ["joules"]}, "unknown resource 'joules'"),
        ({"monitor": "acc", "space": SPACE, "resources": ["memory"]}, "this space has no memory"),
        ({"monitor": "acc", "baseline": 1.0}, r"baseline is 1.0; expected a performance in \[0, 1\)"),
        ({"monitor": "acc", "meter": "nvidia-smi"}, "meter is 'nvidia-smi'; expected \"auto\""),
        ({"monitor": "acc", "carbon_intensity": -3.0}, "carbon_intensity is -3.0"),
        ({"monitor": "acc", "pue": 0.5}, "pue is 0.5"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PePRCallback(**arguments)


@pytest.mark.parametrize("monitor", ["val_acc", "val/AUROC", "dice_class0", "glossary_acc", "terror_recall"])
def test_performances_are_not_taken_for_losses(monitor: str) -> None:
    PePRCallback(monitor)


def test_a_key_that_is_not_logged_lists_those_that_are(tmp_path: Path) -> None:
    callback = PePRCallback("val_auroc", space=SPACE)
    with pytest.raises(ValueError, match=r"'val_auroc', which was not logged.*Logged are val_acc, val_loss"):
        trainer(callback, root=tmp_path).fit(Worker())


@pytest.mark.parametrize("value", [1.5, 73.0, -0.25, math.nan, math.inf])
def test_a_first_performance_outside_0_to_1_raises(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match=rf"val_acc is {value}; PePR needs a performance in \[0, 1\]"):
        fit(Worker((value,)), tmp_path)


def test_a_later_one_is_nan_with_one_warning_and_training_goes_on(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"val_acc is 1.5; .* The score is NaN") as caught:
        run = fit(Worker((0.5, 1.5, 1.75, 0.75)), tmp_path, max_epochs=4).run
    assert len([w for w in caught if "The score is NaN" in str(w.message)]) == 1
    assert run is not None
    assert run.status == "finished"
    assert [math.isnan(e.scores["pepr_e"]) for e in run.epochs] == [False, True, True, False]
    assert [e.performance for e in RunRecord.load(tmp_path).epochs] == [0.5, None, None, 0.75]


def test_rounding_just_outside_is_clipped(tmp_path: Path) -> None:
    run = fit(Worker((1.0 + 5e-7,)), tmp_path, max_epochs=1, space=ModelSpace({"energy": (1, 2)})).run
    assert run is not None
    assert run.epochs[0].scores == {"pepr_e": 1.0}


def test_a_monitored_score_without_a_space_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"space=ModelSpace.budget\(energy_kwh=0.5\)"):
        fit(Worker(), tmp_path, EarlyStopping("pepr_e", mode="max"), space=None)


def test_a_monitored_score_that_the_space_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"EarlyStopping monitors 'pepr_m', but this space has no memory"):
        fit(Worker(), tmp_path, EarlyStopping("pepr_m", mode="max"))


def test_a_monitored_score_whose_cost_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"monitors 'pepr_c', but carbon_g cannot be measured: .*carbon_intensity"):
        fit(Worker(), tmp_path, EarlyStopping("pepr_c", mode="max"), space=ModelSpace.budget(carbon_g=1.0))


def test_a_monitored_score_that_is_left_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"leaves energy out; it has time"):
        fit(Worker(), tmp_path, EarlyStopping("pepr_e", mode="max"), resources=["time"])


def test_a_monitor_that_others_minimise(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="monitors 'val_acc' with mode=\"min\""):
        fit(Worker(), tmp_path, EarlyStopping("val_acc", mode="min"))


def test_a_score_that_is_minimised_is_a_warning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match='pass mode="max"'):
        fit(Worker(), tmp_path, EarlyStopping("pepr_e"))


def test_low_equal_to_high_warns_once(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        run = fit(Worker(), tmp_path, space=ModelSpace({"energy": (1.0, 1.0)})).run
    assert [e.scores["pepr_e"] for e in run.epochs] == [0.25, 0.5, 0.625]
    assert len([w for w in caught if "R is 0 for every cost" in str(w.message)]) == 1


# Launchers ------------------------------------------------------------------------------------------------------------


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


def test_a_model_is_called_by_its_name_its_hyperparameter_or_its_class(tmp_path: Path) -> None:
    class Named(Worker):
        model_name = "resnet18"

    class WithHparams(Worker):
        def __init__(self, arch: str) -> None:
            super().__init__()
            self.save_hyperparameters()

    names = [fit(m, tmp_path, max_epochs=1).run.model for m in (Named(), WithHparams("vgg11"), Worker())]
    assert names == ["resnet18", "vgg11", "Worker"]


def test_lazy_parameters_are_none_never_0(tmp_path: Path) -> None:
    class Lazy(Worker):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.LazyLinear(1)

    from lightning_pepr.callbacks._model import trainable_parameters

    assert trainable_parameters(Lazy()) is None
    assert trainable_parameters(Worker()) == 3


def test_loggers_without_a_log_dir_get_the_record_where_checkpoints_go(tmp_path: Path) -> None:
    from lightning.pytorch.loggers.logger import Logger

    class Other(Logger):
        name, version, save_dir = "project", "abc123", str(tmp_path)

        def log_metrics(self, metrics: Any, step: int | None = None) -> None: ...

        def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    fit(Worker(), tmp_path, logger=Other())
    assert (tmp_path / "project" / "abc123" / FILE_NAME).exists()


def test_the_callback_is_a_lightning_callback_with_a_trivial_state_key() -> None:
    assert PePRCallback("val_acc").state_key == "PePRCallback[val_acc]"
    assert issubclass(Worker, LightningModule)
