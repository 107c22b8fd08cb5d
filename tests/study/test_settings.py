"""What all runs share, and which values are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lightning_pepr.study.settings import Settings, data_name, in_words, option

SETTINGS = Settings("lidc", epochs=2)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epochs", 1, "1 epoch"),
        ("image_size", None, "auto px"),
        ("measure", "acc", "by acc"),
        ("lr", 0.01, "lr 0.01"),
        ("train_samples", None, "train samples all"),
        ("carbon_intensity", None, "carbon intensity none"),
    ],
)
def test_a_setting_in_words(name: str, value: Any, expected: str) -> None:
    assert in_words(name, value) == expected


def test_a_setting_has_an_option() -> None:
    assert option("batch_size") == "--batch-size"


def test_a_data_set_is_called_by_its_name_without_the_path() -> None:
    names = [data_name(data) for data in ("medmnist:dermamnist", "/data/derma.npz", "lidc")]
    assert names == ["dermamnist", "derma", "lidc"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"epochs": 0}, "--epochs is 0"),
        ({"batch_size": 1}, "--batch-size is 1"),
        ({"image_size": 1}, "--image-size is 1"),
        ({"lr": 0.0}, r"--lr is 0\.0"),
        ({"lr": float("nan")}, "--lr is nan"),
        ({"optimizer": "adamm"}, "--optimizer is 'adamm'; expected one of adam, adamw, sgd"),
        ({"measure": "loss"}, "--measure is 'loss'; expected one of auroc, acc"),
        ({"eval_samples": 0}, "--eval-samples is 0"),
        ({"weight_decay": -1.0}, "--weight-decay is -1"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        replace(SETTINGS, **options)
