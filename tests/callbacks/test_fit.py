"""When a fit is evaluated, and which values are performances."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping

from lightning_pepr import ModelSpace, PePRCallback, RunRecord, pepr
from tests.helpers.fits import EPOCH_UJ, SPACE, fit, record_of
from tests.helpers.training import Worker, WorkMeter, trainer


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


def test_a_requested_resource_that_cannot_be_measured_is_one_warning(tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning, match="carbon was requested, but carbon_g cannot be measured: .*carbon_intensity"
    ) as caught:
        fit(Worker(), tmp_path, space=None, resources=["carbon", "energy"])
    assert len([w for w in caught if "carbon was requested" in str(w.message)]) == 1


def test_a_key_that_is_not_logged_lists_those_that_are(tmp_path: Path) -> None:
    callback = PePRCallback("val_auroc", space=SPACE)
    listed = r"'val_auroc', which is not logged.*Logged are val_acc, val_loss"
    with pytest.warns(UserWarning, match=listed) as caught:
        trainer(callback, root=tmp_path).fit(Worker())
    assert len([each for each in caught if "is not logged" in str(each.message)]) == 1
    assert [str(each.message) for each in caught if "never logged" in str(each.message)]
    run = RunRecord.load(tmp_path)
    assert (run.status, run.performance, len(run.epochs)) == ("finished", None, 3)
    stop = EarlyStopping("pepr_e", mode="max")
    with pytest.raises(ValueError, match=listed):
        trainer(PePRCallback("val_auroc", space=SPACE), stop, root=tmp_path).fit(Worker())


@pytest.mark.parametrize("value", [1.5, 73.0, math.inf])
def test_a_first_performance_that_is_none_raises(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match=rf"val_acc is {value}; PePR needs a performance in \[0, 1\]"):
        fit(Worker((value,)), tmp_path)


def test_a_later_one_is_nan_with_one_warning_and_training_goes_on(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"val_acc is 1.5; .* The score is NaN") as caught:
        run = fit(Worker((0.5, 1.5, 1.75, 0.75)), tmp_path, max_epochs=4).run
    assert len([w for w in caught if "The score is NaN" in str(w.message)]) == 1
    assert run is not None
    assert run.status == "finished"
    assert [math.isnan(e.scores["pepr_e"] or 0.0) for e in run.epochs] == [False, True, True, False]
    loaded = RunRecord.load(tmp_path)
    assert [e.performance for e in loaded.epochs] == [0.5, 1.5, 1.75, 0.75]
    assert loaded.performance is None


@pytest.mark.parametrize("values", [(-0.25, 0.5, 0.25), (0.5, -0.25, 0.25)])
def test_less_than_0_counts_as_0(tmp_path: Path, values: tuple[float, ...]) -> None:
    with pytest.warns(UserWarning, match=r"val_acc is -0.25; .* It counts as 0 in the score") as caught:
        run = record_of(fit(Worker(values), tmp_path, max_epochs=3))
    assert len([w for w in caught if "counts as 0" in str(w.message)]) == 1
    assert run.status == "finished"
    assert [e.scores["pepr_e"] == 0.0 for e in run.epochs] == [value < 0 for value in values]
    loaded = RunRecord.load(tmp_path)
    assert [e.performance for e in loaded.epochs] == list(values)
    assert loaded.performance == 0.5


def test_rounding_just_outside_is_clipped(tmp_path: Path) -> None:
    run = fit(Worker((1.0 + 5e-7,)), tmp_path, max_epochs=1, space=ModelSpace({"energy": (1, 2)})).run
    assert run is not None
    assert run.epochs[0].scores == {"pepr_e": 1.0}


def test_low_equal_to_high_warns_once(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        run = record_of(fit(Worker(), tmp_path, space=ModelSpace({"energy": (1.0, 1.0)})))
    assert [e.scores["pepr_e"] for e in run.epochs] == [0.25, 0.5, 0.625]
    assert len([w for w in caught if "R is 0 for every cost" in str(w.message)]) == 1
