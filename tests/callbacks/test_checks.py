"""What is refused before it costs a training, and what the message says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torchmetrics import R2Score

from lightning_pepr import ModelSpace, PePRCallback
from lightning_pepr.callbacks._checks import not_a_performance
from tests.helpers.fits import SPACE, fit, record_of
from tests.helpers.training import Worker, WorkMeter, trainer


@pytest.mark.parametrize(
    ("monitor", "key"),
    [
        ("val_acc", "test_acc"),
        ("valid_acc", "test_acc"),
        ("validation/acc", "test/acc"),
        ("eval_acc", "test_acc"),
        ("acc_val", "acc_test"),
        ("valAcc", "testAcc"),
        ("myVal_acc", "myTest_acc"),
        ("Val/acc", "Test/acc"),
        ("VAL_ACC", "TEST_ACC"),
        ("evaluation/acc", "test/acc"),
        ("val1_acc/dataloader_idx_0", "test1_acc/dataloader_idx_0"),
        ("val_retrieval_map", "test_retrieval_map"),
        ("retrieval_map_val", "retrieval_map_test"),
        ("val/retrieval", "test/retrieval"),
        ("retrieval_map", "retrieval_map"),
        ("validation_acc", "test_acc"),
        ("interval_val_acc", "interval_test_acc"),
        ("val/val_acc", "test/test_acc"),
        ("val_valid_molecules", "test_valid_molecules"),
        ("valid_molecules_val", "valid_molecules_test"),
        ("validation/evaluation_score", "test/evaluation_score"),
        ("valRetrievalMAP", "testRetrievalMAP"),
        ("retrieval/val_map", "retrieval/test_map"),
        ("interval_coverage", "interval_coverage"),
        ("val_survival_cindex", "test_survival_cindex"),
        ("approval_f1", "approval_f1"),
        ("VALUE_acc", "VALUE_acc"),
        ("valley_iou_val", "valley_iou_test"),
        ("medieval_eval_acc", "medieval_test_acc"),
        ("invalid_share", "invalid_share"),
        ("acc", "acc"),
    ],
)
def test_the_key_in_testing_goes_with_the_monitor(monitor: str, key: str) -> None:
    assert PePRCallback(monitor).test_key == key


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"monitor": "val_loss"}, "'val_loss', which is better the lower it is"),
        ({"monitor": "test/RMSE"}, "better the lower it is"),
        ({"monitor": "val_MeanSquaredError"}, "log it under another name, without the word for a loss"),
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


@pytest.mark.parametrize("monitor", ["val_r2", "val/R2Score", "r_squared", "valR²"])
def test_r_squared_below_0_gets_advice_of_its_own(monitor: str) -> None:
    advice = not_a_performance(monitor, -0.3)
    assert advice.startswith(f"{monitor} is -0.3; R² is below 0 as long as the model is worse than the mean")
    assert "percentages" not in advice
    assert "Divide percentages by 100" in not_a_performance(monitor, 45.0)
    assert "R²" not in not_a_performance("val_mcc", -0.3)


class Regressor(Worker):
    """Logs torchmetrics' R² of predictions that are as far off as an evaluation is given."""

    def __init__(self, *offsets: float) -> None:
        super().__init__()
        self.r2 = R2Score()
        self.offsets = iter(offsets)

    def validation_step(self, batch: Any, index: int) -> None:
        if index == 0:
            self.offset = next(self.offsets)
        targets = torch.linspace(0.0, 1.0, len(batch[0]))
        self.r2(targets + self.offset, targets)
        self.log(f"{'test' if self.trainer.testing else 'val'}_r2", self.r2, batch_size=len(targets))

    test_step = validation_step


def test_r_squared_that_begins_below_0_is_trained_and_advised(tmp_path: Path) -> None:
    """Of targets 0 and 1, an offset of 1 has an R² of 1 - 2 / 0.5 = -3, and one of 0.25 an R² of 0.75."""
    module = Regressor(1.0, 1.0, 0.25, 1.0)
    callback = PePRCallback("val_r2", SPACE, meter=WorkMeter(module))
    loop = trainer(callback, root=tmp_path, max_epochs=3, num_sanity_val_steps=0)
    with pytest.warns(UserWarning, match="val_r2 is ") as caught:
        loop.fit(module)
    (advice,) = [str(warning.message) for warning in caught if "val_r2 is " in str(warning.message)]
    assert re.search(r"val_r2 is -3\.0\d*; R² is below 0 .* one scale and shape. It counts as 0 in the score.$", advice)
    run = record_of(callback)
    assert [epoch.performance for epoch in run.epochs] == pytest.approx([-3.0, -3.0, 0.75])
    assert [epoch.known_scores["pepr_e"] > 0 for epoch in run.epochs] == [False, False, True]
    with pytest.warns(UserWarning, match=r"test_r2 is -3\.0\d*; R² is below 0 as long as .* counts as 0 in a ranking"):
        loop.test(module, verbose=False)
    assert run.test_performance == pytest.approx(-3.0)
    assert run.performance == 0.0, "and not that of the best epoch"


def test_a_monitored_score_without_a_space_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"space=ModelSpace.budget\(energy_kwh=0.5\)"):
        fit(Worker(), tmp_path, EarlyStopping("pepr_e", mode="max"), space=None)


def test_a_monitored_score_that_the_space_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"EarlyStopping monitors 'pepr_m', but this space has no memory"):
        fit(Worker(), tmp_path, EarlyStopping("pepr_m", mode="max"))


def test_a_monitored_score_whose_cost_cannot_be_measured(tmp_path: Path) -> None:
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
