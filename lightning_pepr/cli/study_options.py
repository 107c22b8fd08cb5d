"""The options of `lightning-pepr study`, from the command line and from YAML, through one parser."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_pepr.cost import RESOURCES, Resource
from lightning_pepr.study.settings import MEASURES, OPTIMIZERS, Settings

_ADDITIVE = [resource for resource in RESOURCES if resource.name in ("energy", "carbon", "time", "data")]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a study to a parser."""
    what = parser.add_argument_group("what is trained")
    what.add_argument(
        "--models",
        type=_words,
        default=[],
        metavar="NAMES",
        help='names of timm, with commas between them; wildcards; "paper" for the 131 of the paper; @FILE',
    )
    what.add_argument(
        "--data",
        metavar="DATA",
        help="lidc, digits, medmnist:NAME (such as medmnist:dermamnist), a file of MedMNIST (.npz), or a FOLDER of "
        "images in one folder a class",
    )
    what.add_argument("--image-size", type=_image_size, default=64, metavar="PX", help="or auto (%(default)s)")
    what.add_argument(
        "--fraction", type=_fractions, default=[1.0], metavar="SHARES", help="of the training images: 1.0,0.1 (1.0)"
    )
    what.add_argument(
        "--train-samples", type=int, metavar="N", help="take at most N training images, before --fraction"
    )
    what.add_argument("--eval-samples", type=int, metavar="N", help="validate and test on at most N images each")
    what.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="runs of each, with seeds 0 … N-1 (%(default)s)"
    )
    what.add_argument(
        "--pretrained", action="store_true", help="start from pretrained weights; with --scratch, do both"
    )
    what.add_argument("--scratch", action="store_true", help="start from random weights (the default)")
    what.add_argument(
        "--weights",
        type=_weights,
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a file with pretrained weights of a model, instead of timm's; may be repeated",
    )

    how = parser.add_argument_group("how it is trained: the same for all, by default as in the paper")
    how.add_argument("--epochs", type=int, default=10, metavar="N", help="(%(default)s)")
    how.add_argument("--batch-size", type=int, default=32, metavar="N", help="(%(default)s)")
    how.add_argument("--lr", type=float, default=5e-4, metavar="RATE", help="learning rate (%(default)s)")
    how.add_argument("--optimizer", choices=OPTIMIZERS, default="adam", help="(%(default)s)")
    how.add_argument("--weight-decay", type=float, default=0.0, metavar="RATE", help="(%(default)s)")
    how.add_argument("--measure", choices=MEASURES, default="auroc", help="the performance (%(default)s)")
    how.add_argument("--accelerator", default="auto", metavar="NAME", help="auto, cpu, gpu, … (%(default)s)")
    how.add_argument("--precision", default="32-true", metavar="NAME", help="as of Lightning (%(default)s)")
    how.add_argument("--num-workers", type=int, default=0, metavar="N", help="processes that load data (%(default)s)")
    how.add_argument(
        "--carbon-intensity", type=_intensity, metavar="G", help="in g CO2e per kWh, or a country such as DNK"
    )
    how.add_argument("--space", metavar="NAME_OR_FILE", help="a space over which runs are scored as they train")

    where = parser.add_argument_group("where, and for how much")
    where.add_argument("--out", type=Path, metavar="DIR", help="the folder of the study; what is finished is skipped")
    where.add_argument("--append", action="store_true", help="add to a folder that holds other runs")
    where.add_argument("--dry-run", action="store_true", help="list the runs and what they may cost, and train none")
    where.add_argument(
        "--budget",
        type=_budget,
        default={},
        metavar="FIELD=AMOUNT",
        help="stop the study at a cost, such as energy_kwh=0.5,time_s=3600",
    )
    where.add_argument(
        "--shard", type=_shard, default=(0, 1), metavar="I/N", help="do only every Nth run, from the Ith (from 0)"
    )
    where.add_argument(
        "--engine", choices=["local", "ray"], default="local", help="this machine, or a Ray cluster (%(default)s)"
    )
    where.add_argument("--ray-address", default="auto", metavar="ADDRESS", help="of the cluster (%(default)s)")
    where.add_argument(
        "--config", action=_Config, metavar="F.yaml", help="options from a file; those that follow it win over it"
    )


def check_options(options: argparse.Namespace) -> None:
    """Refuse options that lack what has no default.

    Raises:
        ValueError: If something is missing; names it.
    """
    for name, example in (("models", "paper"), ("data", "lidc"), ("out", "runs")):
        if not getattr(options, name):
            raise ValueError(f"--{name} is missing; expected for example --{name} {example}.")


def settings_of(options: argparse.Namespace) -> Settings:
    """What all runs share, as the options have it.

    Raises:
        ValueError: If one of them is out of its range.
    """
    data = options.data
    if not (data in ("lidc", "digits") or data.startswith("medmnist:")):
        path = Path(data).expanduser()
        if not path.exists():
            raise FileNotFoundError(
                f"--data is {data!r}, and there is no such file or folder; expected lidc, digits, medmnist:NAME, a "
                "file of MedMNIST (.npz), or a folder of images."
            )
        data = str(path.resolve())  # the same data set, from wherever the study is started
    return Settings(
        data=data,
        image_size=None if options.image_size == "auto" else options.image_size,
        epochs=options.epochs,
        batch_size=options.batch_size,
        lr=options.lr,
        optimizer=options.optimizer,
        weight_decay=options.weight_decay,
        measure=options.measure,
        train_samples=options.train_samples,
        eval_samples=options.eval_samples,
        num_workers=options.num_workers,
        accelerator=options.accelerator,
        precision=options.precision,
        carbon_intensity=options.carbon_intensity,
        space=options.space,
    )


class _Config(argparse.Action):
    """Parses a YAML file as if its keys had been given as options, in its place."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        try:
            arguments = _arguments(read_config(Path(values)), parser)
        except (OSError, ValueError, ModuleNotFoundError) as error:
            parser.error(f"--config {values}: {error}")
        parser.parse_args(arguments, namespace)


def read_config(path: Path) -> Mapping[str, Any]:
    """Read a YAML file of options.

    Raises:
        ModuleNotFoundError: If PyYAML is not installed.
        OSError: If it cannot be read.
        ValueError: If it is not YAML, or no mapping.
    """
    import yaml

    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"it is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(plain, dict) or not all(isinstance(key, str) for key in plain):
        raise ValueError("expected a mapping of options, such as `models: paper`")
    return plain


def _arguments(plain: Mapping[str, Any], parser: argparse.ArgumentParser) -> list[str]:
    """A mapping as arguments of a command line."""
    found: list[str] = []
    for key, value in plain.items():
        option = f"--{key.replace('_', '-')}"
        if option not in parser._option_string_actions:
            known = ", ".join(sorted(name[2:] for name in parser._option_string_actions if name.startswith("--")))
            raise ValueError(f"there is no option {key!r}; expected some of {known}")
        if isinstance(value, bool):
            found += [option] if value else []
            continue
        if isinstance(value, dict):
            value = [f"{name}={item}" for name, item in value.items()]
        if isinstance(value, list):
            # Only weights may be given more than once; the others take all their values at once.
            found += [f"{option}={item}" for item in (value if key == "weights" else [",".join(map(str, value))])]
        elif value is not None:
            found.append(f"{option}={value}")
    return found


def _words(text: str) -> list[str]:
    return [word for word in text.replace(",", " ").split() if word]


def _image_size(text: str) -> int | str:
    if text == "auto":
        return text
    return _whole(text, "a number of pixels, or auto")


def _whole(text: str, expected: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; expected {expected}") from None


def _fractions(text: str) -> list[float]:
    try:
        found = [float(word) for word in _words(text)]
    except ValueError:
        found = []
    if not found or not all(0 < each <= 1 for each in found):
        raise argparse.ArgumentTypeError(f"{text!r}; expected shares in (0, 1], such as 1.0,0.1")
    return found


def _weights(text: str) -> tuple[str, str]:
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise argparse.ArgumentTypeError(f"{text!r}; expected NAME=FILE")
    return name, str(Path(file).expanduser().resolve())


def _intensity(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _shard(text: str) -> tuple[int, int]:
    index, slash, count = text.partition("/")
    if not (slash and index.isdigit() and count.isdigit() and 0 <= int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"{text!r}; expected I/N with I from 0 to N-1, such as 0/4")
    return int(index), int(count)


def _budget(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for word in _words(text):
        name, equals, amount = word.partition("=")
        try:
            resource = Resource.of(name)
            value = float(amount)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{word!r}: {error}") from None
        if resource not in _ADDITIVE or not equals or not value > 0:
            fields = ", ".join(resource.field for resource in _ADDITIVE)
            raise argparse.ArgumentTypeError(f"{word!r}; expected a positive amount of {fields}, as in energy_kwh=0.5")
        found[resource.field] = value
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}; expected an amount, as in energy_kwh=0.5")
    return found


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line, for programs."""
    parser = argparse.ArgumentParser(prog="lightning-pepr study")
    add_options(parser)
    return parser.parse_args(arguments)
