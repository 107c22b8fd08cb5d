"""What all data sets share: how images are split, limited and chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from lightning_pepr.study.data.images import ImageData, choose, split_by_patient
from lightning_pepr.study.data.nodules import NoduleData
from lightning_pepr.study.data.registry import make_data
from lightning_pepr.study.settings import Settings


def test_the_split_is_seeded_and_does_not_depend_on_order() -> None:
    patients = [f"P{i % 50}" for i in range(200)]
    of_patient = dict(zip(patients, split_by_patient(patients), strict=True))
    assert of_patient == dict(zip(patients[::-1], split_by_patient(patients[::-1]), strict=True))
    assert of_patient != dict(zip(patients, split_by_patient(patients, seed=1), strict=True))


@pytest.mark.parametrize("shares", [(0.0, 0.2), (0.2, 0.0), (0.5, 0.5), (-0.1, 0.2)])
def test_shares_that_leave_nothing_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="leave something for training"):
        NoduleData(val_fraction=shares[0], test_fraction=shares[1])


def test_loading_before_setup_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="setup"):
        NoduleData().train_dataloader()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200), st.data())
def test_a_choice_has_every_class_and_smaller_ones_are_part_of_larger_ones(
    classes: list[int], data: st.DataObject
) -> None:
    labels = np.array(classes)
    count = data.draw(st.integers(1, len(labels)))
    chosen = choose(labels, count, seed=1)
    assert len(set(chosen.tolist())) == count
    assert set(choose(labels, max(1, count // 2), seed=1).tolist()) <= set(chosen.tolist())
    distinct, counts = np.unique(labels, return_counts=True)
    if count >= len(distinct):
        assert set(labels[chosen].tolist()) == set(distinct.tolist())
    for each, size in zip(distinct, counts, strict=True):
        assert abs((labels[chosen] == each).sum() - count * size / len(labels)) <= len(distinct)


def images_of(data: ImageData, part: str) -> torch.Tensor:
    dataset = getattr(data, f"{part}_dataloader")().dataset
    assert isinstance(dataset, TensorDataset)
    return dataset.tensors[0]


def test_a_fraction_is_of_the_training_part_alone_and_follows_its_seed() -> None:
    whole, tenth, again, other = (
        make_data(Settings("digits"), 8, fraction=fraction, seed=seed)
        for fraction, seed in ((1, 0), (0.1, 0), (0.1, 0), (0.1, 1))
    )
    for data in (whole, tenth, again, other):
        data.setup()
    assert whole.sizes() == {"train": 1257, "val": 270, "test": 270}
    assert tenth.sizes() == {"train": 126, "val": 270, "test": 270}
    assert set(tenth.classes_of("train").tolist()) == set(range(10))
    images = [images_of(data, "train") for data in (tenth, again, other)]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
    with pytest.raises(ValueError, match="fraction is 0"):
        make_data(Settings("digits"), 8, fraction=0)


def test_limits_come_before_the_fraction() -> None:
    data = make_data(Settings("digits", train_samples=100, eval_samples=40), 8, fraction=0.5, seed=3)
    data.setup()
    assert data.sizes() == {"train": 50, "val": 40, "test": 40}
    other = make_data(Settings("digits", eval_samples=40), 8)
    other.setup()
    for part in ("val", "test"):  # all runs are tested on the same images
        assert torch.equal(images_of(data, part), images_of(other, part))
