"""The settings that all runs of a study share, and the values they may take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_pepr.errors import PePRError
from lightning_pepr.meters.devices import visible_gpus
from lightning_pepr.study.words import count

OPTIMIZERS = ("adam", "adamw", "sgd")
MEASURES = ("auroc", "acc")

MEDMNIST = "medmnist:"
"""The prefix of the name of a data set of MedMNIST."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all runs of a study share; `lightning-pepr study --help` says what each setting is."""

    data: str
    image_size: int | None = 64  # None takes for each model the smallest multiple of 32 that it accepts
    epochs: int = 10
    batch_size: int = 32
    lr: float = 5e-4
    optimizer: str = "adam"
    weight_decay: float = 0.0
    measure: str = "auroc"
    train_samples: int | None = None  # at most, before `Run.fraction`
    eval_samples: int | None = None
    num_workers: int = 0
    accelerator: str = "auto"
    precision: str = "32-true"
    carbon_intensity: float | str | None = None
    space: str | None = None

    def __post_init__(self) -> None:
        least = {"epochs": 1, "batch_size": 2, "num_workers": 0, "image_size": 2, "train_samples": 2, "eval_samples": 2}
        for name, fewest in least.items():
            value = getattr(self, name)
            if value is not None and value < fewest:
                raise PePRError(f"{option(name)} is {value}; expected at least {fewest}.")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise PePRError(f"--lr is {self.lr}; expected a positive number, such as 5e-4.")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise PePRError(f"--weight-decay is {self.weight_decay}; expected 0 or more.")
        for name, known in (("optimizer", OPTIMIZERS), ("measure", MEASURES)):
            if getattr(self, name) not in known:
                raise PePRError(f"{option(name)} is {getattr(self, name)!r}; expected one of {', '.join(known)}.")

    @property
    def monitor(self) -> str:
        """The key of the performance that is monitored."""
        return f"val_{self.measure}"

    def gpus(self) -> list[str]:
        """The UUIDs of the NVIDIA GPUs that a run may take, as far as they can be listed without torch."""
        return visible_gpus() if self.accelerator in ("auto", "gpu", "cuda") else []


def option(name: str) -> str:
    """The option of the command line that gives a setting: `--batch-size` for `batch_size`."""
    return f"--{name.replace('_', '-')}"


def shown(value: Any) -> str:
    """A setting's value as the command line has it."""
    return "auto" if value is None else str(value)


def in_words(name: str, value: Any) -> str:
    """A setting as a part of a group's name."""
    if name == "epochs":
        return count(value, "epoch")
    if name == "image_size":
        return f"{shown(value)} px"
    if name == "measure":
        return f"by {value}"
    nothing = "all" if name.endswith("_samples") else "none"
    return f"{name.replace('_', ' ')} {nothing if value is None else value}"


def data_name(data: str) -> str:
    """What a data set is called: the name of a file or folder without the path to it."""
    name = data.removeprefix(MEDMNIST)
    return Path(name).stem if name.endswith(".npz") else Path(name).name or name
