"""What Lightning's loops and callbacks keep private: when a checkpoint is saved, and what batches are of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from lightning_pepr.callbacks._lightning import acts_in_epoch, loaders_of, logged_sizes, saves_at_step
from tests.helpers.contract import MakeTrainer, Tiny, batches

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers and loggers


def test_a_checkpoint_knows_in_which_epochs_and_at_which_steps_it_saves(tmp_path: Path) -> None:
    by_epoch, by_step = ModelCheckpoint(tmp_path, every_n_epochs=3), ModelCheckpoint(tmp_path, every_n_train_steps=4)
    assert (by_epoch._every_n_epochs, by_epoch._every_n_train_steps) == (3, 0)
    assert (by_step._every_n_epochs, by_step._every_n_train_steps) == (0, 4)
    trainer = Trainer(logger=False, enable_checkpointing=True, callbacks=[by_step], accelerator="cpu")
    assert [step for step in range(1, 9) if saves_at_step(trainer, step)] == [4, 8]
    assert not acts_in_epoch(trainer, by_epoch), "epoch 0 is the first of three"
    assert acts_in_epoch(trainer, by_step)


@pytest.mark.parametrize("sequential", [True, False])
def test_evaluation_has_its_loaders(trainer_with: MakeTrainer, sequential: bool) -> None:
    """In sequence or, as a `CombinedLoader` of mode "max_size", together."""
    from lightning.pytorch.utilities import CombinedLoader

    loaders = [batches(2), batches(2)]
    seen: list[Any] = []

    class Looking(Tiny):
        def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> None:
            seen.append(loaders_of(self.trainer))

        def val_dataloader(self) -> Any:
            return loaders if sequential else CombinedLoader(loaders, "max_size")

    trainer_with().validate(Looking(), verbose=False)
    assert seen
    for found, is_together in seen:
        assert is_together is not sequential
        assert [id(each) for each in found] == [id(each) for each in loaders]


def test_a_step_of_training_has_its_loader(trainer_with: MakeTrainer) -> None:
    loader, seen = batches(2), []

    class Looking(Tiny):
        def training_step(self, batch: Any, index: int) -> Any:
            seen.append(loaders_of(self.trainer))
            return super().training_step(batch, index)

        def train_dataloader(self) -> DataLoader[Any]:
            return loader

    trainer_with(max_epochs=1).fit(Looking())
    assert {(id(found), together) for found, together in seen} == {(id(loader), True)}


def test_a_value_that_is_averaged_has_the_sizes_of_its_batches(trainer_with: MakeTrainer) -> None:
    seen: list[Any] = []

    class Logging(Tiny):
        def training_step(self, batch: Any, index: int) -> Any:
            self.log("given", torch.tensor(0.5), on_step=False, on_epoch=True, batch_size=7)
            self.log("found", torch.tensor(0.5), on_step=False, on_epoch=True)
            return super().training_step(batch, index)

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            sizes, inferred = logged_sizes(self.trainer)
            seen.append(({key.rpartition(".")[2]: (n, int(total)) for key, (n, total) in sizes.items()}, inferred))

    module: LightningModule = Logging()
    trainer_with(max_epochs=1, limit_train_batches=2).fit(module)
    assert [sizes["given"] for sizes, _ in seen] == [(1, 7), (2, 14)]
    inferred = seen[0][1]
    assert inferred is not None
    assert [sizes["found"] for sizes, _ in seen] == [(1, inferred), (2, 2 * inferred)]
