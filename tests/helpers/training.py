"""A small module whose performance and work are known in advance, for tests through a real Trainer."""

from __future__ import annotations

import time
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset

from lightning_pepr.meters import Meter, Part, Quality, Reading

TRAIN_UJ, VALIDATE_UJ, SANITY_UJ, TEST_UJ = 1_000_003, 50_021, 777_777_777, 30_011


class Worker(LightningModule):
    """Does work worth a known number of microjoules in each step, and logs a performance that is known in advance.

    Args:
        performances: What each evaluation logs as `val_acc`, in turn; the last one goes on.
        fail_at: The global step at which training raises `error`.
        error: What is raised.
    """

    def __init__(
        self,
        performances: tuple[float, ...] = (0.25, 0.5, 0.625, 0.75),
        fail_at: int | None = None,
        error: BaseException | None = None,
    ) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.frozen = torch.nn.Linear(5, 5).requires_grad_(False)
        self.performances = performances
        self.fail_at, self.error = fail_at, error
        self.work_uj = 0
        self.evaluations = 0

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        if self.error is not None and self.global_step == self.fail_at:
            raise self.error
        self.work_uj += TRAIN_UJ
        loss: torch.Tensor = self.layer(batch[0]).square().mean()
        return loss

    def on_validation_epoch_start(self) -> None:
        if not self.trainer.sanity_checking:
            self.evaluations += 1

    def validation_step(self, batch: Any, index: int) -> None:
        self.work_uj += SANITY_UJ if self.trainer.sanity_checking else VALIDATE_UJ
        value = self.performances[min(self.evaluations, len(self.performances)) - 1]
        self.log("val_acc", torch.tensor(value), batch_size=1)
        self.log("val_loss", torch.tensor(1.0 - value), batch_size=1)

    def test_step(self, batch: Any, index: int) -> None:
        self.work_uj += TEST_UJ
        self.log("test_acc", torch.tensor(0.6875), batch_size=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(torch.randn(14, 2)), batch_size=4)  # four batches, the last one smaller

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(torch.randn(6, 2)), batch_size=2)

    test_dataloader = val_dataloader


class WorkMeter(Meter):
    """A user's meter: its energy is the work that the module says it has done, so every boundary can be checked."""

    def __init__(self, module: Worker) -> None:
        self.module = module
        self.opened = time.monotonic()
        self.closed = False

    def read(self, wait: bool = True) -> Reading:
        part = Part(self.module.work_uj, Quality.COUNTER)
        return Reading({"work": part}, time.monotonic() - self.opened, time.time())

    def close(self) -> None:
        self.closed = True


def trainer(*callbacks: Any, root: Any, **kwargs: Any) -> Trainer:
    """A quiet trainer on the CPU."""
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "max_epochs": 3,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    return Trainer(callbacks=list(callbacks), default_root_dir=root, **{**defaults, **kwargs})
