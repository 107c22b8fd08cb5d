"""A trainer for the contract: quiet, short, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from tests.helpers.contract import BATCHES, MakeTrainer


@pytest.fixture
def trainer_with(tmp_path: Path) -> MakeTrainer:
    """Makes a trainer of the given callbacks."""

    def make(*callbacks: Callback, make: Any = Trainer, **options: Any) -> Trainer:
        defaults: dict[str, Any] = {
            "accelerator": "cpu",
            "callbacks": list(callbacks),
            "default_root_dir": tmp_path,
            "devices": 1,
            "enable_checkpointing": any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
            "enable_model_summary": False,
            "enable_progress_bar": False,
            "limit_train_batches": BATCHES,
            "limit_val_batches": 2,
            "log_every_n_steps": 1,
            "logger": False,
            "max_epochs": 1,
            "num_sanity_val_steps": 0,
        }
        trainer: Trainer = make(**{**defaults, **options})
        return trainer

    return make
