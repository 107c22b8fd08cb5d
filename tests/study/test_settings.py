"""What all runs share, and which values are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lightning_pepr.study.settings import Settings

SETTINGS = Settings("lidc", epochs=2)


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
