"""Folders of images: split, or in the parts that are there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lightning_pepr.study.data.images import PARTS, ImageData
from lightning_pepr.study.data.registry import check_data, make_data
from lightning_pepr.study.settings import Settings
from tests.helpers.images import write_folder


def files_of(data: ImageData, part: str) -> set[str]:
    subset = getattr(data, f"{part}_dataloader")().dataset
    return {subset.dataset.samples[index][0] for index in subset.indices}


def test_a_folder_of_classes_is_split_and_read_as_it_is_needed(tmp_path: Path) -> None:
    data = make_data(Settings(str(write_folder(tmp_path / "pets")), batch_size=8), 24)
    data.prepare_data()
    data.setup()
    assert data.num_classes == 2
    assert data.sizes() == {"train": 28, "val": 6, "test": 6}
    assert len(set.union(*(files_of(data, part) for part in PARTS))) == 40
    images, classes = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert images.shape == (8, 3, 24, 24)
    assert torch.equal(images.mean(dim=(1, 2, 3)), classes.float())
    check_data(data, "pets")


def test_parts_that_are_there_are_used_and_others_are_held_out(tmp_path: Path) -> None:
    data = make_data(Settings(str(write_folder(tmp_path / "pets", parts=("train", "test")))), 24, fraction=0.5)
    data.setup()
    assert data.sizes() == {"train": 17, "val": 6, "test": 40}
    for part, folder in (("train", "train"), ("val", "train"), ("test", "test")):
        assert all(f"/{folder}/" in file for file in files_of(data, part))


def test_folders_without_images_or_classes_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        make_data(Settings(str(tmp_path / "nowhere")), 24).setup()
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="class"):
        make_data(Settings(str(tmp_path / "empty")), 24).setup()
    write_folder(tmp_path / "pets", parts=("train",))
    write_folder(tmp_path / "pets", parts=("test",), classes=("cat", "cow"))
    with pytest.raises(ValueError, match=r"train and in test differ in \['cow', 'dog'\]"):
        make_data(Settings(str(tmp_path / "pets")), 24).setup()
