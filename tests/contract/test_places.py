"""Where files go, and how large a batch is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from tests.helpers.contract import (
    ListLogger,
    MakeTrainer,
    Tiny,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers and loggers


def test_log_dir_without_a_logger(trainer_with: MakeTrainer, tmp_path: Path) -> None:
    """It is the `default_root_dir`."""
    assert trainer_with().log_dir == str(tmp_path) == trainer_with().default_root_dir


def test_log_dir_with_a_csv_logger(trainer_with: MakeTrainer, tmp_path: Path) -> None:
    """It is the folder of the version."""
    logger = CSVLogger(tmp_path, name="runs")
    assert trainer_with(logger=logger).log_dir == logger.log_dir == os.path.join(tmp_path, "runs", "version_0")


def test_log_dir_with_another_logger(trainer_with: MakeTrainer, tmp_path: Path) -> None:
    """It is its `save_dir` alone, but checkpoints go below name and version."""
    logger = ListLogger()
    logger.save_dir = str(tmp_path)
    save = ModelCheckpoint()
    trainer = trainer_with(save, logger=logger)
    trainer.fit(Tiny())
    assert trainer.log_dir == str(tmp_path)
    assert getattr(logger, "log_dir", None) is None
    assert save.dirpath == os.path.join(tmp_path, "listed", "version_0", "checkpoints")


def test_log_dir_is_a_collective(
    trainer_with: MakeTrainer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = trainer_with()
    monkeypatch.setattr(trainer.strategy, "broadcast", lambda obj: f"{obj} from rank 0")
    assert str(trainer.log_dir).endswith(" from rank 0")


def test_the_size_of_a_batch() -> None:
    """The first dimension of a tensor in it, and without one an error."""
    from lightning.pytorch.utilities.data import extract_batch_size

    @dataclass
    class Batch:
        image: torch.Tensor

    batches: tuple[Any, ...] = (torch.ones(3, 2), [torch.ones(3, 2)], {"x": torch.ones(3)}, Batch(torch.ones(3)))
    for batch in batches:
        assert extract_batch_size(batch) == 3
    with pytest.raises(Exception, match="could not infer the batch_size"):
        extract_batch_size(object())  # type: ignore[arg-type]
