"""What a study is: settings that all of its runs share, the runs, what each is called, and what it may cost."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from lightning_pepr.meters.devices import visible_gpus
from lightning_pepr.record import RunRecord
from lightning_pepr.utilities.environment import host_name
from lightning_pepr.utilities.files import FILE_NAME, files_below

OPTIMIZERS = ("adam", "adamw", "sgd")
MEASURES = ("auroc", "acc")

MEDMNIST = "medmnist:"
"""What stands before the name of a data set of MedMNIST."""

START_S = 15.0
"""Seconds that a run takes before and after it trains, unless finished runs say otherwise: mostly imports."""

MMACS_PER_S = {"cpu": 15_000.0, "gpu": 1_500_000.0}
"""Multiply-accumulates a second, in millions, of a core and of a GPU, unless finished runs say otherwise. Architectures
differ by a factor of several in what they make of the same hardware."""

SPREAD = 4.0
"""Costs that nothing was measured for are stated within this factor either way."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all runs of a study share.

    Attributes:
        data: "lidc", "digits", "medmnist:NAME", a file of MedMNIST (.npz), or a folder of images in one folder a class.
        image_size: Side of an image in pixels; None takes for each model the smallest multiple of 32 that it accepts.
        epochs: How many epochs each run trains.
        batch_size: Images in a batch.
        lr: Learning rate.
        optimizer: One of `OPTIMIZERS`.
        weight_decay: Of the optimizer.
        measure: The performance, one of `MEASURES`: area under the ROC curve, or accuracy.
        train_samples: How many training images to take at most, before `fraction`; None takes all.
        eval_samples: How many images to validate and to test on at most; None takes all.
        num_workers: Processes that load batches.
        accelerator: As of Lightning's `Trainer`: "auto" takes a GPU where there is one.
        precision: As of Lightning's `Trainer`.
        carbon_intensity: In g CO2e per kWh, or a country's code; None records no carbon.
        space: A file or the name of a published space, over which runs are scored as they train; None scores none.
    """

    data: str
    image_size: int | None = 64
    epochs: int = 10
    batch_size: int = 32
    lr: float = 5e-4
    optimizer: str = "adam"
    weight_decay: float = 0.0
    measure: str = "auroc"
    train_samples: int | None = None
    eval_samples: int | None = None
    num_workers: int = 0
    accelerator: str = "auto"
    precision: str = "32-true"
    carbon_intensity: float | str | None = None
    space: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("num_workers", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{_option(name)} is {getattr(self, name)}; expected at least {least}.")
        for name in ("image_size", "train_samples", "eval_samples"):
            value = getattr(self, name)
            if value is not None and value < 2:
                raise ValueError(f"{_option(name)} is {value}; expected at least 2.")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"--lr is {self.lr}; expected a positive number, such as 5e-4.")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ValueError(f"--weight-decay is {self.weight_decay}; expected 0 or more.")
        for name, known in (("optimizer", OPTIMIZERS), ("measure", MEASURES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{_option(name)} is {getattr(self, name)!r}; expected one of {', '.join(known)}.")

    @property
    def monitor(self) -> str:
        """The key of the performance that is monitored."""
        return f"val_{self.measure}"


@dataclass(frozen=True, slots=True)
class Model:
    """A model as it is found in timm.

    Attributes:
        name: What it is called in the study: the paper's name, or timm's.
        timm: Its name in timm.
        image_size: The side of the images that it gets, in pixels.
        params: Trainable parameters with 1000 classes.
        mmacs: Multiply-accumulates of a forward pass over one image of that size, in millions; None if unknown.
    """

    name: str
    timm: str
    image_size: int
    params: int
    mmacs: float | None = None


@dataclass(frozen=True, slots=True)
class DataSize:
    """How much data there is.

    Attributes:
        classes: Number of classes.
        train: Images to train on.
        val: Images to validate on.
        test: Images to test on.
    """

    classes: int
    train: int
    val: int
    test: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a study.

    Attributes:
        settings: What it shares with the others.
        model: The model.
        seed: Of weights, of the order of batches, and of which images a fraction consists of.
        fraction: Share of the training images that it gets, in (0, 1].
        pretrained: Whether it starts from pretrained weights.
        weights: A file with these weights; None takes timm's.
        apart: How its settings differ from the first of its study, as `StudyFolder.apart` tells it.
    """

    settings: Settings
    model: Model
    seed: int = 0
    fraction: float = 1.0
    pretrained: bool = False
    weights: str | None = None
    apart: str = ""

    @property
    def group(self) -> str:
        """What it is ranked within: the data, what it starts from, how much it sees of them, and what sets it apart.

        >>> Run(Settings("lidc"), Model("a", "a", 64, 1), fraction=0.1).group
        'lidc, scratch, 10 %'
        >>> Run(Settings("lidc"), Model("a", "a", 64, 1), apart="1 epoch, lr 0.01").group
        'lidc, scratch, 100 %, 1 epoch, lr 0.01'
        """
        start = "pretrained" if self.pretrained else "scratch"
        return f"{_short(self.settings.data)}, {start}, {self.fraction * 100:g} %{', ' * bool(self.apart)}{self.apart}"

    @property
    def title(self) -> str:
        """It in a few words.

        >>> Run(Settings("lidc"), Model("dla34", "dla34", 64, 1), seed=2).title
        'dla34 · scratch · 100 % · seed 2'
        """
        start = "pretrained" if self.pretrained else "scratch"
        return f"{self.model.name} · {start} · {self.fraction * 100:g} % · seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Where it goes below the study's folder; other settings, another folder.

        >>> Run(Settings("lidc"), Model("dla34", "dla34", 64, 1)).folder.as_posix()
        'dla34/scratch-100%-seed0-...'
        """
        start = "pretrained" if self.pretrained else "scratch"
        digest = hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:8]
        name = self.model.name.replace("/", "_").replace(":", "_")
        return Path(name) / f"{start}-{self.fraction * 100:g}%-seed{self.seed}-{digest}"

    def to_dict(self) -> dict[str, Any]:
        """All that decides what the run does, as plain types."""
        plain = asdict(self)
        del plain["model"]["params"], plain["model"]["mmacs"]  # facts, which another version of timm may count anew
        del plain["apart"]  # a name for what the settings say
        return plain

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
    """List the runs of a study, those that take the least work first, so that what is cut off is known.

    Raises:
        ValueError: If a fraction is not in (0, 1], there is no seed, or `weights` names a model that is not trained, or
            nothing that starts from them.
    """
    weights = weights or {}
    for fraction in fractions:
        if not 0 < fraction <= 1:
            raise ValueError(f"--fraction is {fraction:g}; expected shares in (0, 1], such as 1.0,0.1.")
    if seeds < 1:
        raise ValueError(f"--seeds is {seeds}; expected at least 1.")
    names = {model.name for model in models}
    for name in weights:
        if name not in names:
            raise ValueError(f"--weights names {name!r}, which is none of the models of this study.")
    if weights and not any(pretrained):
        raise ValueError("--weights gives pretrained weights, but all runs start from random ones; add --pretrained.")
    runs = [
        Run(settings, model, seed, fraction, start, weights.get(model.name) if start else None)
        for model in models
        for start in dict.fromkeys(pretrained)
        for fraction in dict.fromkeys(fractions)
        for seed in range(seeds)
    ]
    return sorted(runs, key=lambda run: (run.work(size) is None, run.work(size) or run.model.params))


def summary(run: Run, record: RunRecord) -> str:
    """What a run has reached and cost, or why it failed, in a line.

    >>> summary(Run(Settings("lidc"), Model("dla34", "dla34", 64, 1)), RunRecord("dla34", status="failed", error="why"))
    'dla34 · scratch · 100 % · seed 0: failed: why'
    """
    if record.status != "finished":
        return f"{run.title}: {record.status}: {record.error.splitlines()[0] if record.error else ''}"
    parts = [] if record.performance is None else [f"test {run.settings.measure} {record.performance:.3f}"]
    if record.cost.energy_kwh is not None:
        parts.append(f"{record.cost.energy_kwh * 1e3:.3g} Wh ({record.costs['energy_kwh'].quality})")
    if record.cost.time_s is not None:
        parts.append(f"{record.cost.time_s:.0f} s")
    return f"{run.title}: {', '.join(parts)}"


def count(number: int, noun: str) -> str:
    """A number of things, in words.

    >>> count(1, "run"), count(2, "run")
    ('1 run', '2 runs')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


# What runs cost ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Estimate:
    """What runs may cost.

    Attributes:
        time_s: Wall time, for each run, in seconds.
        factor: The truth is expected within this factor either way.
        energy_kwh: Energy of each run, in kWh; None where no run of this study has measured any.
        runs: How many finished runs it was learnt from; with 0 it is no more than a guess.
    """

    time_s: list[float]
    factor: float
    energy_kwh: list[float] | None = None
    runs: int = 0


def estimate(runs: Sequence[Run], size: DataSize, finished: Iterable[tuple[Run, RunRecord]] = ()) -> Estimate:
    """Estimate time and energy of runs: from those of the study that are finished, else from the work they are."""
    rates, powers = [], []
    for run, record in finished:
        seconds, work = record.cost.time_s, run.work(size)
        if not seconds or not work:
            continue
        test = record.stages.get("test")
        seconds += test.time_ns / 1e9 if test else 0.0
        rates.append(work / seconds)
        if record.cost.energy_kwh:
            powers.append(record.cost.energy_kwh / seconds)
    if rates:
        rate, factor = statistics.median(rates), max(1.5, _spread(rates))
    else:
        rate, factor = MMACS_PER_S["gpu" if _may_use_gpu(runs) else "cpu"], SPREAD
    known = [run.work(size) for run in runs]
    middle = statistics.median([work for work in known if work is not None] or [0.0])
    times = [START_S + (middle if work is None else work) / rate for work in known]
    energies = [time * statistics.median(powers) for time in times] if powers else None
    return Estimate(times, factor, energies, len(rates))


def _spread(values: Sequence[float]) -> float:
    """The factor around the median within which four of five values are."""
    middle = statistics.median(values)
    factors = sorted(max(value / middle, middle / value) for value in values)
    return factors[min(len(factors) - 1, round(0.8 * len(factors)))]


def _may_use_gpu(runs: Sequence[Run]) -> bool:
    """Whether there is an NVIDIA GPU that the runs may take, as far as that can be told without torch."""
    if not runs or runs[0].settings.accelerator not in ("auto", "gpu", "cuda"):
        return False
    return bool(visible_gpus())


# The study's folder ------------------------------------------------------------------------------------------------

STUDY_FILE = "study.json"
SCHEMA = "lightning-pepr/study/1"


@dataclass(slots=True)
class StudyFolder:
    """The folder of a study: one folder a run, and a file that says what its runs share.

    Attributes:
        path: The folder.
        settings: The settings that its runs have had, as plain types; several after `--append`.
    """

    path: Path
    settings: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, settings: Settings, *, append: bool = False, write: bool = True) -> StudyFolder:
        """Open a study's folder, or make it.

        Args:
            path: The folder.
            settings: What the runs to come share.
            append: Whether runs of other settings, or of something else, may be in it.
            write: Whether to make the folder and to write the file; without, it is only looked at.

        Raises:
            ValueError: If it holds another study's runs, or records that are of no study, and `append` is not given.
            OSError: If it cannot be written.
        """
        plain = asdict(settings)
        file = path / STUDY_FILE
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"--out is {str(path)!r}, which is a file; expected a folder.")
        known: list[dict[str, Any]] = []
        if file.is_file():
            known = _read_study(file)
        elif not append and path.is_dir() and any(each.name == FILE_NAME for each in files_below(path)):
            raise ValueError(
                f"{path} holds records of runs that are no study's; choose another folder for --out, or give --append "
                "to add to them."
            )
        if known and plain not in known and not append:
            changed = [
                f"{_option(name)} {_shown(known[-1].get(name))} instead of {_shown(value)}"
                for name, value in plain.items()
                if known[-1].get(name) != value
            ]
            raise ValueError(
                f"{path} holds another study, with {', '.join(changed)}; choose another folder for --out, or give "
                "--append to add to it."
            )
        if plain not in known:
            known.append(plain)
            if write:
                path.mkdir(parents=True, exist_ok=True)
                write_whole(file, json.dumps({"schema": SCHEMA, "settings": known}, indent=1) + "\n")
        return cls(path, known)

    def apart(self, settings: Settings) -> str:
        """How settings differ from the first of the study, in words; empty for the first.

        Runs that were trained in another way are no repeats of each other. `space` is left out: it changes no run.
        """
        plain, defaults = asdict(settings), {each.name: each.default for each in fields(Settings)}
        earlier = list(itertools.takewhile(lambda each: each != plain, self.settings))
        words = []
        for name, value in plain.items():
            if name == "data":
                others = {str(each.get(name, "")) for each in earlier} - {value}
                if _short(value) in map(_short, others):  # two files of one name
                    words.append(value)
            elif name != "space" and earlier and earlier[0].get(name, defaults[name]) != value:
                words.append(_in_words(name, value))
        return ", ".join(words)

    def record_of(self, run: Run) -> RunRecord | None:
        """The record that a run has left; None if there is none that can be read."""
        try:
            return RunRecord.load(self.path / run.folder)
        except (OSError, ValueError):
            return None


def is_done(record: RunRecord | None) -> bool:
    """Whether a run is finished, its test included."""
    return record is not None and record.status == "finished" and record.test_performance is not None


def write_whole(path: Path, text: str) -> None:
    """Write a file such that no other process ever sees a part of it."""
    temporary = path.with_name(f".{path.name}.{host_name()}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _read_study(file: Path) -> list[dict[str, Any]]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise ValueError(f"its schema is {data['schema']!r}; this version reads {SCHEMA!r}")
        return [dict(each) for each in data["settings"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is not the file of a study: {error}; choose another folder for --out.") from error


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _shown(value: Any) -> str:
    return "auto" if value is None else str(value)


def _in_words(name: str, value: Any) -> str:
    """A setting as a part of a group's name.

    >>> _in_words("epochs", 1), _in_words("image_size", None), _in_words("measure", "acc"), _in_words("lr", 0.01)
    ('1 epoch', 'auto px', 'by acc', 'lr 0.01')
    >>> _in_words("train_samples", None), _in_words("carbon_intensity", None)
    ('train samples all', 'carbon intensity none')
    """
    if name == "epochs":
        return count(value, "epoch")
    if name == "image_size":
        return f"{_shown(value)} px"
    if name == "measure":
        return f"by {value}"
    nothing = "all" if name.endswith("_samples") else "none"
    return f"{name.replace('_', ' ')} {nothing if value is None else value}"


def _short(data: str) -> str:
    """What a data set is called: the name of a file or folder without the way to it.

    >>> _short("medmnist:dermamnist"), _short("/data/derma.npz"), _short("lidc")
    ('dermamnist', 'derma', 'lidc')
    """
    name = data.removeprefix(MEDMNIST)
    return Path(name).stem if name.endswith(".npz") else Path(name).name or name
