"""The digits: whole, and enlarged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lightning_pepr.study.data.digits import DigitsData
from lightning_pepr.study.data.images import PARTS


def test_the_digits_are_whole_and_enlarged() -> None:
    from sklearn.datasets import load_digits

    data = DigitsData(32, 64)
    data.setup()
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    assert data.sizes() == {"train": 1257, "val": 270, "test": 270}
    images, classes = data.on_after_batch_transfer(next(iter(loaders[1])), 0)
    assert images.shape == (64, 3, 32, 32)
    assert 0.0 <= float(images.min()) < 0.05
    assert 0.9 < float(images.max()) <= 1.0
    assert sorted(set(classes.tolist())) == list(range(10))
    original, labels = load_digits(return_X_y=True)
    assert np.bincount(np.concatenate([data.classes_of(part) for part in PARTS])).tolist() == (
        np.bincount(labels).tolist()
    )
    whole = torch.cat([images for loader in loaders for images, _ in loader])
    small = torch.nn.functional.adaptive_avg_pool2d(whole / 1, 8)
    assert float(small[:, 0].mean()) == pytest.approx(original.mean() * 255 / 16, rel=0.01)
