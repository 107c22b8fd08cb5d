"""Batches of sequences that have the time first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from lightning_pepr import PePRCallback
from tests.helpers.training import Worker, WorkMeter, trainer


class Sequences(Worker):
    """Has batches with the time first: 50 steps of 8 samples."""

    logged = False
    targets = False

    def training_step(self, batch: Any, index: int) -> Any:
        if self.logged:
            self.log("loss", 0.5, on_epoch=True, batch_size=batch[0].shape[1])
        return super().training_step([batch[0].reshape(-1, 2)], index)

    def train_dataloader(self) -> Any:
        def collate(samples: Any) -> Any:
            found = torch.stack([each[0] for each in samples], dim=1)
            return [found, found[..., 0]] if self.targets else [found]

        return DataLoader(TensorDataset(torch.ones(30, 50, 2)), batch_size=8, collate_fn=collate)


@pytest.mark.parametrize("targets", [True, False])
@pytest.mark.parametrize(("logged", "samples"), [(True, 30.0), (False, None)])
def test_time_first(tmp_path: Path, logged: bool, samples: float | None, targets: bool) -> None:
    """It is counted where the module says of how many samples a batch is."""
    module = Sequences()
    module.logged, module.targets = logged, targets
    callback = PePRCallback("val_acc", meter=WorkMeter(module))
    trainer(callback, root=tmp_path, max_epochs=1).fit(module)
    assert callback.run is not None
    entry = callback.run.costs["data_samples"]
    assert entry.value == samples
    assert logged or "or 8, as its DataLoader draws, with the time first" in entry.reason
