"""Data sets of MedMNIST: read from files, found by name, refused if they are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightning_pepr.study.data.medmnist import as_classes
from lightning_pepr.study.data.registry import check_data, make_data
from lightning_pepr.study.settings import Settings
from tests.helpers.images import write_medmnist


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_of_medmnist_is_read_whole(channels: int, tmp_path: Path) -> None:
    data = make_data(Settings(str(write_medmnist(tmp_path / "derma.npz", channels=channels))), 32)
    data.prepare_data()
    data.setup()
    assert data.num_classes == 7
    assert data.sizes() == {"train": 70, "val": 21, "test": 35}
    images, classes = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    assert images.shape == (32, 3, 32, 32)
    brightness = images.mean(dim=(1, 2, 3)) * 255
    assert torch.equal((brightness / 30).floor().long(), classes)
    check_data(data, "derma")


def test_labels_of_one_column_are_classes() -> None:
    assert as_classes(np.array([[0], [2], [1], [1], [0], [2]]), "labels").tolist() == [0, 2, 1, 1, 0, 2]


def test_a_named_data_set_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the folder of the package medmnist."""
    package = pytest.importorskip("medmnist")
    monkeypatch.setattr(package.dataset, "DEFAULT_ROOT", str(tmp_path))
    write_medmnist(tmp_path / "dermamnist_64.npz")
    data = make_data(Settings("medmnist:dermamnist"), 48)  # the smallest published size from there on is 64
    data.prepare_data()
    data.setup()
    assert data.sizes()["test"] == 35


def test_a_named_data_set_that_cannot_be_downloaded_says_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = pytest.importorskip("medmnist")
    monkeypatch.setattr(package.dataset, "DEFAULT_ROOT", str(tmp_path / "none"))  # not there, so nothing is downloaded
    with pytest.raises(
        FileNotFoundError, match=r"pneumoniamnist\.npz is not there and cannot be downloaded.*--data PATH"
    ):
        make_data(Settings("medmnist:pneumoniamnist"), 28).prepare_data()
    with pytest.raises(ValueError, match=r"no data set 'pneumoniamnst'\. Did you mean 'pneumoniamnist'"):
        make_data(Settings("medmnist:pneumoniamnst"), 28).prepare_data()


@pytest.mark.parametrize(
    ("replaced", "expected"),
    [
        ({"val_labels": np.full((21, 1), 0.5)}, r"not classes: one is 0\.5; expected whole numbers from 0"),
        ({"val_labels": np.full((21, 1), -1)}, r"not classes: one is -1"),
        (
            {
                "train_labels": np.zeros((70, 14), int),
                "val_labels": np.zeros((21, 14), int),
                "test_labels": np.zeros((35, 14), int),
            },
            r"\(126, 14\), several for each image",
        ),
        ({"train_labels": np.arange(70).reshape(-1, 1)}, "70 different ones for 126 images"),
        (
            {f"{part}_labels": np.full((n, 1), "benign") for part, n in (("train", 70), ("val", 21), ("test", 35))},
            "not classes but such as 'benign'",
        ),
        ({"test_images": np.zeros((35, 28, 28, 28), np.uint8)}, r"volumes \(3D\) cannot be used"),
        ({"test_images": np.zeros((35, 28, 28, 3))}, r"float64 of shape .*; expected bytes"),
    ],
)
def test_files_that_hold_no_classes_of_images_are_refused(
    replaced: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    data = make_data(Settings(str(write_medmnist(tmp_path / "derma.npz", **replaced))), 32)
    with pytest.raises(ValueError, match=expected):
        data.setup()


def test_files_that_are_no_medmnist_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 cut short")
    (tmp_path / "empty.npz").touch()
    for name in ("other", "broken", "empty"):
        with pytest.raises(ValueError, match=rf"{name}\.npz is no data set of MedMNIST"):
            make_data(Settings(str(tmp_path / f"{name}.npz")), 32).setup()
    with pytest.raises(FileNotFoundError, match="there is no file"):
        make_data(Settings("nowhere.npz"), 32).setup()
