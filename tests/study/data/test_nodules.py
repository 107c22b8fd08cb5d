"""The nodules: no patient in two parts, and the same split everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_pepr.study.data.images import split_by_patient
from lightning_pepr.study.data.nodules import NoduleData
from lightning_pepr.study.data.outlines import load_outlines


def loaded(cache: Path, **options: Any) -> NoduleData:
    data = NoduleData(32, 64, cache=cache, **options)
    data.prepare_data()
    data.setup()
    return data


def test_no_patient_is_in_two_parts(cache: Path) -> None:
    patients = load_outlines(32, cache=cache).patients
    part = split_by_patient(patients.tolist())
    groups = {name: set(patients[part == name].tolist()) for name in ("train", "val", "test")}
    assert {name: len(group) for name, group in groups.items()} == {"train": 580, "val": 124, "test": 124}
    assert not groups["train"] & groups["val"]
    assert not groups["train"] & groups["test"]
    assert not groups["val"] & groups["test"]


def test_the_parts_make_up_the_whole(cache: Path) -> None:
    data = loaded(cache)
    sizes = data.sizes()
    assert sum(sizes.values()) == 4253
    assert sizes == {"train": 3065, "val": 689, "test": 499}  # the same on every machine, for results that compare
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        positive = torch.cat([classes for _, classes in loader]).float().mean()
        assert 0.3 < positive < 0.5


def test_batches_are_floats_once_on_the_device(cache: Path) -> None:
    data = loaded(cache)
    batch = next(iter(data.val_dataloader()))
    assert batch[0].dtype == torch.uint8
    images, classes = data.on_after_batch_transfer(batch, 0)
    assert images.shape == (64, 3, 32, 32)
    assert images.dtype == torch.float32
    assert 0 < images.max() <= 1
    assert classes.dtype == torch.int64
    assert set(classes.tolist()) == {0, 1}


def test_training_is_shuffled_by_the_seed_and_evaluation_is_not(cache: Path) -> None:
    data = loaded(cache)
    val, test = (next(iter(loader))[0] for loader in (data.val_dataloader(), data.test_dataloader()))
    assert torch.equal(val, next(iter(data.val_dataloader()))[0])
    assert torch.equal(test, next(iter(data.test_dataloader()))[0])
    first: dict[int, torch.Tensor] = {}
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        batch = next(iter(data.train_dataloader()))[0]
        assert torch.equal(first.setdefault(seed, batch), batch)
    assert not torch.equal(first[0], first[1])


def test_a_last_batch_of_one_is_dropped_in_training_only(cache: Path) -> None:
    data = NoduleData(32, 64, cache=cache)  # 3065 = 47 × 64 + 57
    data.setup()
    assert sum(len(classes) for _, classes in data.train_dataloader()) == 3065
    data.batch_size = 8  # 3065 = 383 × 8 + 1
    assert sum(len(classes) for _, classes in data.train_dataloader()) == 3064
    data.batch_size = 4  # 689 = 172 × 4 + 1
    assert sum(len(classes) for _, classes in data.val_dataloader()) == 689


@pytest.mark.slow
def test_without_a_cache_it_draws_by_itself() -> None:
    data = NoduleData(8, cache=False)
    data.prepare_data()
    data.setup()
    assert next(iter(data.test_dataloader()))[0].shape == (32, 3, 8, 8)
