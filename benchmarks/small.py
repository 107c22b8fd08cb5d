"""The module that the callbacks are tried on: so small that what they take is seen beside it."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule


class Small(LightningModule):
    """One layer, and a performance that stays as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        loss: torch.Tensor = self.layer(batch[0]).square().mean()
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_acc", 0.5)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)
