"""Fits of the worker under a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from lightning_pepr import CostBudget, PePRCallback, RunRecord
from tests.helpers.training import TRAIN_UJ, VALIDATE_UJ, Worker, WorkMeter, trainer

EPOCH_KWH = (4 * TRAIN_UJ + 3 * VALIDATE_UJ) / 3.6e12


def fit(
    budget: CostBudget, root: Path, *others: Any, ckpt_path: Path | None = None, **kwargs: Any
) -> tuple[Trainer, RunRecord]:
    module = Worker()
    meter = PePRCallback("val_acc", meter=WorkMeter(module), **kwargs.pop("meter", {}))
    run = trainer(budget, meter, *others, root=root, **{"max_epochs": 10, **kwargs})
    run.fit(module, ckpt_path=ckpt_path)
    return run, RunRecord.load(run.log_dir or root)


def step_of(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, weights_only=True)["global_step"])
