"""Data that no performance can be measured on are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_pepr.study.data.registry import check_data, make_data
from lightning_pepr.study.settings import Settings
from tests.helpers.images import write_medmnist


@pytest.mark.parametrize(
    ("labels", "measure", "expected"),
    [
        ({"test": [0] * 35}, "auroc", "the test part of derma cannot be used: all 35 images are of class 0"),
        ({"test": [0] * 35}, "acc", "all 35 images are of class 0"),
        (
            {"val": [0, 1, 2] * 7},
            "auroc",
            r"the val part of derma \(21 images\) has none of class 3, 4, 5, 6 of 7.*--measure acc",
        ),
        ({"train": [0, 1] * 35}, "acc", r"the train part of derma \(70 images\) has none of class 2"),
    ],
)
def test_a_part_of_too_few_classes_is_refused(
    labels: dict[str, list[int]], measure: str, expected: str, tmp_path: Path
) -> None:
    replaced: dict[str, Any] = {f"{part}_labels": np.array(values).reshape(-1, 1) for part, values in labels.items()}
    data = make_data(Settings(str(write_medmnist(tmp_path / "derma.npz", **replaced))), 32)
    data.setup()
    with pytest.raises(ValueError, match=expected):
        check_data(data, "derma", measure)


def test_accuracy_does_without_some_classes(tmp_path: Path) -> None:
    file = write_medmnist(tmp_path / "derma.npz", val_labels=np.array([0, 1, 2] * 7).reshape(-1, 1))
    data = make_data(Settings(str(file)), 32)
    data.setup()
    check_data(data, "derma", "acc")
