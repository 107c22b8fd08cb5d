"""What is refused before it costs a training, and what the message says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import EarlyStopping

from lightning_pepr import ModelSpace, PePRCallback
from tests.helpers.fits import SPACE, fit
from tests.helpers.training import Worker


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
def test_the_key_in_testing_goes_with_the_monitor(monitor: str, key: str) -> None:
    assert PePRCallback(monitor).test_key == key


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
