"""The options of `lightning-pepr study`, from the command line and from YAML, through one parser."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import msgspec

from lightning_pepr.cost import CARBON, DATA, ENERGY, TIME, Resource
from lightning_pepr.errors import PePRError
from lightning_pepr.study.runs import check_fraction
from lightning_pepr.study.settings import MEASURES, MEDMNIST, OPTIMIZERS, Settings, option
from lightning_pepr.utilities.files import read_plain
from lightning_pepr.utilities.imports import require

_ADDITIVE = (ENERGY, CARBON, TIME, DATA)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a study to a parser. Those of `Settings` have its defaults."""
    add = parser.add_argument_group("what is trained").add_argument
    models = 'names of timm, with commas between them; wildcards; "paper" for the 131 of the paper; @FILE'
    add("--models", type=_words, metavar="NAMES", help=models)
    add(
        "--data",
        help="lidc, digits, medmnist:NAME (such as medmnist:dermamnist), a file of MedMNIST (.npz), or a FOLDER of "
        "images in one folder a class",
    )
    pixels = _typed(_image_size, "a number of pixels, or auto")
    add("--image-size", type=pixels, metavar="PX", help="or auto (%(default)s)")
    shares = _typed(_fractions, "shares in (0, 1], such as 1.0,0.1")
    add("--fraction", type=shares, metavar="SHARES", help="of the training images: 1.0,0.1 (1.0)")
    add("--train-samples", type=int, metavar="N", help="take at most N training images, before --fraction")
    add("--eval-samples", type=int, metavar="N", help="validate and test on at most N images each")
    add("--seeds", type=int, metavar="N", help="runs of each, with seeds 0 … N-1 (%(default)s)")
    add("--pretrained", action="store_true", help="start from pretrained weights; with --scratch, do both")
    add("--scratch", action="store_true", help="start from random weights (the default)")
    weights = "a file with pretrained weights of a model, instead of timm's; may be repeated"
    add("--weights", type=_typed(_weights, "NAME=FILE"), action="append", metavar="NAME=FILE", help=weights)

    add = parser.add_argument_group("how it is trained: the same for all, by default as in the paper").add_argument
    add("--epochs", type=int, metavar="N", help="(%(default)s)")
    add("--batch-size", type=int, metavar="N", help="(%(default)s)")
    add("--lr", type=float, metavar="RATE", help="learning rate (%(default)s)")
    add("--optimizer", choices=OPTIMIZERS, help="(%(default)s)")
    add("--weight-decay", type=float, metavar="RATE", help="(%(default)s)")
    add("--measure", choices=MEASURES, help="the performance (%(default)s)")
    add("--accelerator", metavar="NAME", help="auto, cpu, gpu, … (%(default)s)")
    add("--precision", metavar="NAME", help="same as for Lightning's Trainer (%(default)s)")
    add("--num-workers", type=int, metavar="N", help="processes that load data (%(default)s)")
    add("--carbon-intensity", type=_intensity, metavar="G", help="in g CO2e per kWh, or a country such as DNK")
    add("--space", metavar="NAME_OR_FILE", help="a space over which runs are scored as they train")

    add = parser.add_argument_group("where, and for how much").add_argument
    add("--out", type=Path, metavar="DIR", help="the folder of the study; what is finished is skipped")
    add("--append", action="store_true", help="add to a folder that holds other runs")
    add("--dry-run", action="store_true", help="list the runs and what they may cost, and train none")
    budget = "stop the study at a cost, such as energy_kwh=0.5,time_s=3600"
    add("--budget", type=_budget, metavar="FIELD=AMOUNT", help=budget)
    shard = _typed(_shard, "I/N with I from 0 to N-1, such as 0/4")
    add("--shard", type=shard, metavar="I/N", help="do only every Nth run, from the Ith (from 0)")
    add("--engine", choices=["local", "ray"], help="this machine, or a Ray cluster (%(default)s)")
    add("--ray-address", metavar="ADDRESS", help="of the cluster (%(default)s)")
    add("--config", action=_Config, metavar="F.yaml", help="options from a file; those that follow it win over it")

    shared = {each.name: each.default for each in fields(Settings) if each.default is not MISSING}
    parser.set_defaults(models=[], fraction=[1.0], seeds=1, weights=[], budget={}, shard=(0, 1), **shared)
    parser.set_defaults(engine="local", ray_address="auto")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line, for programs."""
    parser = argparse.ArgumentParser(prog="lightning-pepr study")
    add_options(parser)
    return parser.parse_args(arguments)


def check_options(options: argparse.Namespace) -> None:
    """Refuse options that lack what has no default."""
    for name, example in (("models", "paper"), ("data", "lidc"), ("out", "runs")):
        if not getattr(options, name):
            raise PePRError(f"--{name} is missing; expected for example --{name} {example}.")


def settings_of(options: argparse.Namespace) -> Settings:
    """What all runs share, from the options."""
    values = {each.name: getattr(options, each.name) for each in fields(Settings)}
    data = options.data
    if not (data in ("lidc", "digits") or data.startswith(MEDMNIST)):
        path = Path(data).expanduser()
        if not path.exists():
            raise FileNotFoundError(
                f"--data is {data!r}, and there is no such file or folder; expected lidc, digits, medmnist:NAME, a "
                "file of MedMNIST (.npz), or a folder of images."
            )
        values["data"] = str(path.resolve())  # the same data set, from wherever the study is started
    return Settings(**values)


class _Config(argparse.Action):
    """Parse a YAML file as if its keys had been given as options, in its place."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, _: str | None = None
    ) -> None:
        known = sorted(map(option, vars(parser.parse_args([])).keys() - {"run"}))  # which is `main`'s
        try:
            require("yaml", "study", "reading YAML")
            plain = msgspec.yaml.decode(read_plain(Path(values)))
            if not isinstance(plain, dict):
                raise PePRError("expected a mapping of options, such as `models: paper`")
            arguments: list[str] = []
            for key, value in plain.items():
                if option(str(key)) not in known:
                    names = ", ".join(name.removeprefix("--") for name in known)
                    raise PePRError(f"there is no option {key!r}; expected some of {names}")
                arguments += _arguments(option(str(key)), value)
        except msgspec.DecodeError as error:
            parser.error(f"--config {values}: it is not YAML: {' '.join(str(error).split())}")
        except (OSError, PePRError, ModuleNotFoundError) as error:
            parser.error(f"--config {values}: {error}")
        parser.parse_args(arguments, namespace)


def _arguments(name: str, value: Any) -> list[str]:
    """The arguments of a command line that an option's value in YAML stands for."""
    if value is None or isinstance(value, bool):
        return [name] if value else []
    if isinstance(value, dict):
        value = [f"{key}={item}" for key, item in value.items()]
    if not isinstance(value, list):
        value = [value]
    if name == "--weights":  # the only one that may be given more than once
        return [f"{name}={item}" for item in value]
    return [f"{name}={','.join(map(str, value))}"]


def _typed(convert: Callable[[str], Any], expected: str) -> Callable[[str], Any]:
    """Make of a function that raises a ValueError a type for argparse, whose error names what is expected."""

    def typed(text: str) -> Any:
        try:
            return convert(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r}; expected {expected}") from None

    return typed


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _image_size(text: str) -> int | None:
    return None if text == "auto" else int(text)


def _fractions(text: str) -> list[float]:
    found = [float(word) for word in _words(text) or [""]]
    for each in found:
        check_fraction(each)
    return found


def _weights(text: str) -> tuple[str, str]:
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise ValueError(text)
    return name, str(Path(file).expanduser().resolve())


def _shard(text: str) -> tuple[int, int]:
    index, count = map(int, text.split("/"))
    if not 0 <= index < count:
        raise ValueError(text)
    return index, count


def _intensity(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _budget(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for word in _words(text) or [text]:
        name, _, amount = word.partition("=")
        try:
            resource, value = Resource.of(name), float(amount)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{word!r}: {error}") from None
        if resource not in _ADDITIVE or not value > 0:
            expected = f"a positive amount of {', '.join(each.field for each in _ADDITIVE)}, as in energy_kwh=0.5"
            raise argparse.ArgumentTypeError(f"{word!r}; expected {expected}")
        found[resource.field] = value
    return found
