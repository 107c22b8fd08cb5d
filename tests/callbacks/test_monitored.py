"""What is taken for a performance, when it is waited for, and what happens without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import BackboneFinetuning, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from lightning_pepr import CostBudget, ModelSpace, PePRCallback, RunRecord, rank
from tests.helpers.fits import EPOCH_UJ, SPACE, fit, record_of, rows_of
from tests.helpers.training import Worker, WorkMeter, trainer


class Seldom(Worker):
    """Logs its performance in every third epoch."""

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", 1.0)
        if self.current_epoch % 3 == 2 and not self.trainer.sanity_checking:
            self.log("val_acc", 0.25 + self.current_epoch / 16)


def test_a_metric_of_every_third_epoch_is_waited_for(tmp_path: Path) -> None:
    module, logger = Seldom(), CSVLogger(tmp_path)
    callback = PePRCallback("val_acc", SPACE, meter=WorkMeter(module))
    with pytest.warns(UserWarning, match="'val_acc', which is not logged yet.*only costs are logged") as caught:
        trainer(callback, root=tmp_path, logger=logger, max_epochs=7).fit(module)
    assert len([each for each in caught if "not logged yet" in str(each.message)]) == 1
    assert not [each for each in caught if "never logged" in str(each.message)]
    record = RunRecord.load(logger.log_dir)
    assert record.status == "finished"
    assert [(e.epoch, e.performance) for e in record.evaluations] == [(2, 0.375), (5, 0.5625)]
    rows = [row for row in rows_of(logger) if row["energy_kwh"]]
    assert [row["pepr_e"] != "" for row in rows] == [False, False, True, False, False, True, False]


@pytest.mark.parametrize(
    "other",
    [lambda folder: EarlyStopping("pepr_e", mode="max"), lambda folder: ModelCheckpoint(folder, monitor="pepr_e")],
)
def test_it_is_an_error_where_a_callback_acts_on_its_score(tmp_path: Path, other: Any) -> None:
    module = Seldom()
    callback = PePRCallback("val_acc", SPACE, meter=WorkMeter(module))
    with pytest.raises(ValueError, match=r"'val_acc', which is not logged yet\. Logged are val_loss"):
        trainer(callback, other(tmp_path), root=tmp_path, enable_checkpointing=True).fit(module)


def test_a_callback_that_acts_every_third_epoch_waits_with_it(tmp_path: Path) -> None:
    module = Seldom()
    saving = ModelCheckpoint(tmp_path / "kept", monitor="pepr_e", mode="max", every_n_epochs=3)
    callback = PePRCallback("val_acc", SPACE, meter=WorkMeter(module))
    trainer(callback, saving, root=tmp_path, enable_checkpointing=True, max_epochs=6).fit(module)
    assert saving.best_model_path


@pytest.mark.parametrize("value", [1.5, 87.0])
def test_above_1_is_an_error_in_the_sanity_check(tmp_path: Path, value: float) -> None:
    module = Worker((value,))
    with pytest.raises(ValueError, match=f"val_acc is {value}; PePR needs a performance"):
        trainer(PePRCallback("val_acc", SPACE, meter=WorkMeter(module)), root=tmp_path).fit(module)
    assert module.global_step == 0, "before anything was trained"


def test_a_sanity_check_below_0_is_none_of_our_business(tmp_path: Path) -> None:
    assert record_of(fit(Worker((0.5, -1.0)), tmp_path, max_epochs=1)).performance == 0.5


@pytest.mark.parametrize("arguments", [(), (None,)])
def test_without_a_monitor_costs_are_metered(tmp_path: Path, arguments: Any) -> None:
    module, logger = Worker(), CSVLogger(tmp_path)
    callback = PePRCallback(*arguments, meter=WorkMeter(module), test_monitor="test_acc")
    budget = CostBudget(energy_kwh=1.5 * EPOCH_UJ / 3.6e12)
    run = trainer(callback, budget, root=tmp_path, logger=logger, max_epochs=9)
    run.fit(module)
    rows = [row for row in rows_of(logger) if row["energy_kwh"]]
    assert [float(row["energy_kwh"]) for row in rows] == pytest.approx([EPOCH_UJ / 3.6e12, 2 * EPOCH_UJ / 3.6e12])
    record = RunRecord.load(logger.log_dir)
    assert (record.monitor, record.performance, record.status) == ("", None, "finished")
    assert "budget" in record.stopped
    run.test(module, verbose=False)
    record = RunRecord.load(logger.log_dir)
    assert record.test_performance == record.performance == 0.6875
    assert rank(tmp_path)["performance"].to_list() == [0.6875]


def test_a_score_that_is_monitored_without_a_monitor_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="EarlyStopping monitors 'pepr_e', but PePRCallback has no monitor"):
        trainer(PePRCallback(space=SPACE), EarlyStopping("pepr_e", mode="max"), root=tmp_path).fit(Worker())


def test_the_largest_number_of_trained_parameters_counts(tmp_path: Path) -> None:
    class Finetuned(Worker):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = torch.nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.layer(self.backbone(x))
            return found

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD([p for p in self.parameters() if p.requires_grad], lr=0.01)

    module = Finetuned()
    callback = PePRCallback("val_acc", ModelSpace.budget(params=9), meter=WorkMeter(module))
    trainer(callback, BackboneFinetuning(unfreeze_backbone_at_epoch=1), root=tmp_path).fit(module)
    record = RunRecord.load(tmp_path)
    assert record.params == record.costs["params"].value == 9, "three of the head, six of the backbone"
    assert [e.cost.params for e in record.epochs] == [3, 9, 9]


def test_one_that_waits_for_its_key_waits_with_it(tmp_path: Path) -> None:
    module = Seldom()
    stop = EarlyStopping("pepr_e", mode="max", strict=False)
    trainer(PePRCallback("val_acc", SPACE, meter=WorkMeter(module)), stop, root=tmp_path, max_epochs=4).fit(module)
    assert RunRecord.load(tmp_path).status == "finished"


def test_above_1_after_a_nan_is_still_the_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"val_acc is 45\.0; PePR needs a performance"):
        fit(Worker((float("nan"), 45.0)), tmp_path, num_sanity_val_steps=0)


@pytest.mark.parametrize("options", [{"test_monitor": "test_loss"}, {"test_monitor": 5}, {"batch_size": 8}])
def test_arguments_that_cannot_be(options: Any) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} is"):
        PePRCallback(None, **options)


def test_a_run_that_has_its_performance_from_testing_ranks_by_that_key(tmp_path: Path) -> None:
    module = Worker()
    run = trainer(PePRCallback(meter=WorkMeter(module), test_monitor="test_acc"), root=tmp_path)
    run.fit(module)
    run.test(module, verbose=False)
    assert rank(tmp_path, monitor="test_acc")["performance"].to_list() == [0.6875]
