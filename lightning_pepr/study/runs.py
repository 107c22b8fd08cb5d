"""The runs of a study: what each trains, what it is called, and how much work it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning_pepr.errors import PePRError
from lightning_pepr.record import RunRecord
from lightning_pepr.study.settings import Settings, data_name


@dataclass(frozen=True, slots=True)
class Model:
    """A model as timm has it."""

    name: str  # the paper's, or timm's
    timm: str  # its name in timm
    image_size: int
    params: int = 0  # trainable, with 1000 classes
    mmacs: float | None = None  # multiply-accumulates of a forward pass over one image, in millions; None if unknown


@dataclass(frozen=True, slots=True)
class DataSize:
    """How many classes there are, and images in each part."""

    classes: int
    train: int
    val: int
    test: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a study: a model, a start and a share of the training images, and what it shares with the others."""

    settings: Settings
    model: Model
    seed: int = 0  # of weights, of the order of batches, and of which images the fraction consists of
    fraction: float = 1.0
    pretrained: bool = False
    weights: str | None = None  # a file with pretrained weights; None takes timm's
    difference: str = ""  # from the settings of the first run of its study, by `StudyFolder.difference`

    def __post_init__(self) -> None:
        check_fraction(self.fraction)

    def to_dict(self) -> dict[str, Any]:
        """All that decides what the run does, as plain types."""
        plain = asdict(self)
        del plain["model"]["params"], plain["model"]["mmacs"]  # facts, which another version of timm may count anew
        del plain["difference"]  # a name for what the settings say
        return plain

    @property
    def start(self) -> str:
        """The weights that it starts from: "pretrained" or "scratch"."""
        return "pretrained" if self.pretrained else "scratch"

    @property
    def group(self) -> str:
        """What it is ranked within: the data, what it starts from, its share of them, and what else is different."""
        parts = [data_name(self.settings.data), self.start, f"{self.fraction * 100:g} %", self.difference]
        return ", ".join(part for part in parts if part)

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"{self.model.name} · {self.start} · {self.fraction * 100:g} % · seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Where it goes below the study's folder; other settings, another folder."""
        digest = hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:8]
        name = self.model.name.replace("/", "_").replace(":", "_")
        return Path(name) / f"{self.start}-{self.fraction * 100:g}%-seed{self.seed}-{digest}"

    def new_record(self) -> RunRecord:
        """A record that names the run, and nothing yet of what it cost."""
        return RunRecord(self.model.name, monitor=self.settings.monitor, group=self.group, settings=self.to_dict())

    def samples(self, size: DataSize) -> tuple[int, int]:
        """How many images it sees in training and, without gradients, in validation and testing."""
        train = min(size.train, self.settings.train_samples or size.train)
        most = self.settings.eval_samples or size.val + size.test
        train = max(size.classes, round(train * self.fraction))
        return self.settings.epochs * train, self.settings.epochs * min(size.val, most) + min(size.test, most)

    def work(self, size: DataSize) -> float | None:
        """Multiply-accumulates of the whole run, in millions; None if the model's are unknown.

        A training step takes those of a forward pass thrice: forward, gradients of activations, and of weights.
        """
        if self.model.mmacs is None:
            return None
        train, evaluated = self.samples(size)
        return self.model.mmacs * (3 * train + evaluated)


def check_fraction(fraction: float) -> None:
    """Refuse a share of the training images that is not in (0, 1]."""
    if not 0 < fraction <= 1:
        raise PePRError(f"--fraction is {fraction:g}; expected shares in (0, 1], such as 1.0,0.1.")


def make_runs(
    settings: Settings,
    models: Sequence[Model],
    size: DataSize,
    *,
    fractions: Sequence[float] = (1.0,),
    seeds: int = 1,
    pretrained: Sequence[bool] = (False,),
    weights: Mapping[str, str] | None = None,
) -> list[Run]:
    """List the runs of a study, those that take the least work first, so that what is cut off is known."""
    weights = weights or {}
    if seeds < 1:
        raise PePRError(f"--seeds is {seeds}; expected at least 1.")
    for name in weights:
        if name not in {model.name for model in models}:
            raise PePRError(f"--weights names {name!r}, which is none of the models of this study.")
    if weights and not any(pretrained):
        raise PePRError("--weights gives pretrained weights, but all runs start from random ones; add --pretrained.")
    runs = [
        Run(settings, model, seed, fraction, start, weights.get(model.name) if start else None)
        for model in models
        for start in dict.fromkeys(pretrained)
        for fraction in dict.fromkeys(fractions)
        for seed in range(seeds)
    ]
    return sorted(runs, key=lambda run: (run.work(size) is None, run.work(size) or run.model.params))
