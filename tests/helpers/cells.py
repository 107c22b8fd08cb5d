"""The cells of the callback's contract: where the performance is logged × how often is validated × who comes first.

A cell trains a model whose performance is known in advance, and notes on what value EarlyStopping and ModelCheckpoint
act. As a script, it runs all cells on the ranks of a torchrun and writes what rank 0 saw to a file.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

from lightning_pepr import ModelSpace, PePRCallback

PLACES = ("validation_step", "on_validation_epoch_end", "training_step")
SCHEDULES: dict[str, dict[str, Any]] = {
    "default": {},
    "twice": {"val_check_interval": 0.5},
    "every_other": {"check_val_every_n_epoch": 2},
}
ORDERS = ("before", "after")
CELLS = list(itertools.product(PLACES, SCHEDULES, ORDERS))
BUDGET_KWH = 1e-6


def performance(evaluations: int, rank: int) -> float:
    """What the model scores after so many evaluations: a binary fraction, so that averaging does not round."""
    return (16 + 5 * evaluations + rank) / 128


class Scripted(LightningModule):
    """Logs a performance that is known in advance: it counts evaluations, and the ranks differ."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place
        self.layer = torch.nn.Linear(2, 1)
        self.evaluations = 0

    def _log(self, place: str, **kwargs: Any) -> None:
        if place == self.place:
            self.log(
                "acc",
                torch.tensor(performance(self.evaluations, self.global_rank)),
                on_step=False,
                on_epoch=True,
                **kwargs,
            )

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        self._log("training_step", batch_size=len(batch[0]))
        loss: torch.Tensor = self.layer(batch[0]).square().mean()
        return loss

    def on_train_epoch_start(self) -> None:
        if self.place == "training_step":
            self.evaluations += 1

    def on_validation_epoch_start(self) -> None:
        if self.place != "training_step" and not self.trainer.sanity_checking:
            self.evaluations += 1

    def validation_step(self, batch: Any, index: int) -> None:
        self._log("validation_step", batch_size=len(batch[0]))

    def on_validation_epoch_end(self) -> None:
        self._log("on_validation_epoch_end")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(torch.randn(16, 2)), batch_size=2)

    val_dataloader = train_dataloader


def note(trainer: Trainer, module: LightningModule, seen: list[dict[str, float]]) -> None:
    """Note what is there at the moment in which a callback acts."""
    assert isinstance(module, Scripted)
    metrics = trainer.callback_metrics
    seen.append(
        {
            "epoch": trainer.current_epoch,
            "pepr_e": float(metrics["pepr_e"]),
            "energy_kwh": float(metrics["energy_kwh"]),
            "evaluations": module.evaluations,
        }
    )


class NotingStop(EarlyStopping):
    seen: list[dict[str, float]]

    def _run_early_stopping_check(self, trainer: Trainer) -> None:
        note(trainer, trainer.lightning_module, self.seen)
        super()._run_early_stopping_check(trainer)


class NotingCheckpoint(ModelCheckpoint):
    seen: list[dict[str, float]]

    def _save_topk_checkpoint(self, trainer: Trainer, monitor_candidates: dict[str, torch.Tensor]) -> None:
        note(trainer, trainer.lightning_module, self.seen)
        super()._save_topk_checkpoint(trainer, monitor_candidates)


def run_cell(place: str, schedule: str, order: str, folder: str) -> dict[str, Any]:
    """Train four epochs; return what was acted on, or the error that ended it."""
    stop = NotingStop("pepr_e", mode="max", patience=100)
    checkpoint = NotingCheckpoint(folder, monitor="pepr_e", mode="max", filename="{epoch}-{step}-{pepr_e:.6f}")
    stop.seen, checkpoint.seen = [], []
    callback = PePRCallback("acc", space=ModelSpace.budget(energy_kwh=BUDGET_KWH), record=False)
    ours = [stop, callback] if order == "before" else [callback, stop]
    module = Scripted(place)
    result: dict[str, Any] = {"error": None, "epoch": None}
    trainer = Trainer(
        accelerator="cpu",
        devices=int(os.environ.get("WORLD_SIZE", "1")),
        max_epochs=4,
        callbacks=[*ours, checkpoint],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **SCHEDULES[schedule],
    )
    try:
        trainer.fit(module)
    except Exception as error:
        result.update(error=f"{type(error).__name__}: {error}", epoch=trainer.current_epoch)
    result.update(stop=stop.seen, checkpoint=checkpoint.seen)
    return result


def main() -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        results = {"/".join(cell): run_cell(*cell, folder) for cell in CELLS}
    if os.environ["RANK"] == "0":
        Path(sys.argv[1]).write_text(json.dumps(results))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()  # else a rank may abort while it exits after the other


if __name__ == "__main__":
    main()
