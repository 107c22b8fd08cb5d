"""A worker that keeps accounts, and a fit that holds the record against them and against what CSVLogger has."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger

from lightning_pepr import ModelSpace, PePRCallback, RunRecord, pepr
from tests.helpers.fits import check_stages, record_of
from tests.helpers.training import SANITY_UJ, TRAIN_UJ, VALIDATE_UJ, Worker, WorkMeter, trainer

SPACE = ModelSpace.budget(energy_kwh=1e-5, data_samples=100)


UJ = 3.6e12


class Counting(Worker):
    """A worker that keeps the books that the record is to agree with."""

    key = "val_acc"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.samples = 0
        self.work = {"train": 0, "validate": 0}
        self.evaluated: list[dict[str, Any]] = []

    def work_on(self, batch: Any) -> torch.Tensor:
        """What a training step does, but for the optimisation."""
        self.samples += len(batch[0])
        self.work_uj += TRAIN_UJ
        self.work["train"] += TRAIN_UJ
        loss: torch.Tensor = self.layer(batch[0]).square().mean()
        return loss

    def training_step(self, batch: Any, index: int) -> Any:
        return self.work_on(batch)

    def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> None:
        self.work_uj += SANITY_UJ if self.trainer.sanity_checking else VALIDATE_UJ
        if not self.trainer.sanity_checking:
            self.work["validate"] += VALIDATE_UJ
        value = self.performances[min(self.evaluations, len(self.performances)) - 1]
        self.log("val_acc", torch.tensor(value - dataloader_idx / 8), batch_size=1)

    def on_validation_epoch_end(self) -> None:
        if not self.trainer.sanity_checking:
            performance = self.performances[min(self.evaluations, len(self.performances)) - 1]
            self.evaluated.append(
                {
                    "epoch": self.current_epoch,
                    "performance": performance,
                    "energy_uj": sum(self.work.values()),
                    "samples": self.samples,
                }
            )


def fit(module: Counting, root: Path, *others: Any, **kwargs: Any) -> tuple[Trainer, RunRecord]:
    """Fit, and hold the record against the module's books and against what CSVLogger has of Lightning."""
    callback = PePRCallback(module.key, space=SPACE, meter=WorkMeter(module))
    run = trainer(*others, callback, root=root, **{"logger": CSVLogger(root), **kwargs})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run.fit(module)
    record = RunRecord.load(str(run.log_dir))
    assert record.to_dict() == record_of(callback).to_dict()
    check(module, record)
    with open(Path(str(run.log_dir)) / "metrics.csv", encoding="utf-8") as file:
        logged = [row for row in csv.DictReader(file) if row.get(module.key)]
    assert [(e.epoch, e.step) for e in record.evaluations] == [(int(r["epoch"]), int(r["step"])) for r in logged]
    return run, record


def check(module: Counting, record: RunRecord) -> None:
    """The record is whole, and agrees with the module's books."""
    assert record.status == "finished"
    check_stages(record, **module.work)
    assert record.costs["energy_kwh"].value == sum(module.work.values()) / UJ
    assert record.costs["energy_kwh"].quality == "counter"
    assert record.costs["data_samples"].value == module.samples
    assert record.costs["time_s"].value == sum(stage.time_ns for stage in record.stages.values()) / 1e9
    assert [
        {
            "epoch": e.epoch,
            "performance": e.performance,
            "energy_uj": round((e.cost.energy_kwh or 0) * UJ),
            "samples": e.cost.data_samples,
        }
        for e in record.evaluations
    ] == module.evaluated
    for e in record.evaluations:
        assert e.scores["pepr_e"] == pepr(e.performance, SPACE.normalize(e.cost.energy_kwh, "energy"))
        assert e.scores["pepr_d"] == pepr(e.performance, SPACE.normalize(e.cost.data_samples, "data"))
