"""Fits of the worker whose costs are known in advance."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger

from lightning_pepr import ModelSpace, PePRCallback, RunRecord
from tests.helpers.training import TRAIN_UJ, VALIDATE_UJ, Worker, WorkMeter, trainer

SPACE = ModelSpace.budget(energy_kwh=1e-5, time_s=60)


EPOCH_UJ = 4 * TRAIN_UJ + 3 * VALIDATE_UJ  # four training batches, three of validation


class TwoMetrics(Worker):
    """A worker that logs two performances."""

    def validation_step(self, batch: Any, index: int) -> None:
        self.log_dict({"val_acc": 0.5, "val_acc2": 0.25})


def fit(module: Worker, root: Path | str, *others: Any, **kwargs: Any) -> PePRCallback:
    options = {name: kwargs.pop(name) for name in list(kwargs) if name in ("space", "resources", "baseline", "pue")}
    callback = PePRCallback("val_acc", **{"space": SPACE, **options}, meter=WorkMeter(module))
    trainer(callback, *others, root=root, **kwargs).fit(module)
    return callback


def uj(record: RunRecord | None) -> int:
    """The energy of a run in microjoules, as the stages have it."""
    assert record is not None
    return sum(stage.energy_uj or 0 for name, stage in record.stages.items() if name != "test")


def check_stages(record: RunRecord, **work_uj: int) -> None:
    """Each stage has the work that was done in it, but for the share that metering itself has; together exactly."""
    stages = {name: stage.energy_uj or 0 for name, stage in record.stages.items() if name != "test"}
    own_uj = stages.pop("metering")
    assert stages.keys() <= {"other", *work_uj}
    for name in {"other", *work_uj}:
        assert work_uj.get(name, 0) - own_uj <= stages.get(name, 0) <= work_uj.get(name, 0)
    assert sum(stages.values()) + own_uj == sum(work_uj.values())


def rows_of(logger: CSVLogger) -> list[dict[str, str]]:
    with open(Path(logger.log_dir) / "metrics.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def record_of(callback: PePRCallback) -> RunRecord:
    """The record of a callback that has had a fit."""
    assert callback.run is not None
    return callback.run
