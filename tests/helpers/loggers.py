"""Loggers of each kind, fits that log to them, and what they have then, read as their users do."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from lightning_pepr import ModelSpace, PePRCallback
from tests.helpers import servers
from tests.helpers.training import Worker, WorkMeter, trainer

SPACE = ModelSpace.budget(energy_kwh=1e-5, time_s=60)


SCORES = ["pepr_e", "pepr_t"]


COSTS = ["energy_kwh", "time_s", "memory_gb", "data_samples", "params"]


class Tuned(Worker):
    """A module with hyperparameters."""

    def __init__(self, lr: float = 0.125, optimizer: str = "sgd", **rest: Any) -> None:
        super().__init__(**rest)
        self.save_hyperparameters("lr", "optimizer")


class TrainingOnly(Worker):
    """A module whose performance is that in training."""

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        self.log("train_acc", torch.tensor(index / 8), on_step=False, on_epoch=True, batch_size=4)
        return super().training_step(batch, index)


def fit(module: Worker, root: Path, *loggers: Logger, monitor: str = "val_acc", **options: Any) -> PePRCallback:
    callback = PePRCallback(monitor, SPACE, meter=WorkMeter(module), record=options.pop("record", True))
    trainer(callback, root=root, logger=list(loggers), log_every_n_steps=1, **options).fit(module)
    return callback


def make_mlflow(root: Path, **options: Any) -> MLFlowLogger:
    artifacts = options.pop("artifact_location", (root / "artifacts").as_uri())
    return MLFlowLogger("nodules", tracking_uri=f"sqlite:///{root}/store.db", artifact_location=artifacts, **options)


def make_wandb(root: Path, **options: Any) -> WandbLogger:
    return WandbLogger(save_dir=root, offline=True, project="nodules", name="first", **options)


MAKE: dict[str, Callable[[Path], Logger]] = {
    "csv": lambda root: CSVLogger(root, "csv"),
    "tensorboard": lambda root: TensorBoardLogger(root, "tb"),
    "mlflow": make_mlflow,
    "wandb": make_wandb,
}


Values = dict[str, list[tuple[int, float]]]
"""For each metric the steps and values, in the order in which they were logged."""


def logged(logger: Any) -> Values:
    """What a logger has, by its own means of reading."""
    found: Values = defaultdict(list)
    if isinstance(logger, CSVLogger):
        with open(Path(logger.log_dir) / "metrics.csv", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for key, value in row.items():
                    if value and key != "step":
                        found[key].append((int(row["step"]), float(value)))
    elif isinstance(logger, TensorBoardLogger):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(logger.log_dir, size_guidance={"scalars": 0})
        events.Reload()
        for key in events.Tags()["scalars"]:
            found[key] = [(event.step, event.value) for event in events.Scalars(key)]
    elif isinstance(logger, MLFlowLogger):
        client = logger.experiment
        for key in client.get_run(logger.run_id).data.metrics:
            found[key] = [(point.step, point.value) for point in client.get_metric_history(logger.run_id, key)]
    else:
        for kind, entry in wandb_log(logger):
            if kind == "history":
                point = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in entry.item}
                for key, value in point.items():
                    found[key].append((point["trainer/global_step"], value))
    return found


def wandb_log(logger: WandbLogger) -> list[tuple[str, Any]]:
    """The entries of the log of an offline run, once it is finished."""
    folder = Path(logger.experiment.dir).parent
    logger.experiment.finish()
    return servers.wandb_entries(folder)
