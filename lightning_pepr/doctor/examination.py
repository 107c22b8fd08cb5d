"""All that can be measured on this host, examined at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from lightning_pepr.carbon import resolve_intensity
from lightning_pepr.doctor.boards import Gpu, examine_gpus
from lightning_pepr.doctor.host import Memory, Processor, examine_memory, examine_processor
from lightning_pepr.doctor.launcher import Ranks, examine_ranks
from lightning_pepr.doctor.selftest import SelfTest, run_selftest
from lightning_pepr.doctor.troubles import Trouble
from lightning_pepr.errors import PePRError
from lightning_pepr.meters.rapl import POWERCAP
from lightning_pepr.utilities.environment import describe_software
from lightning_pepr.utilities.imports import is_installed

EXTRAS = ("carbon", "cli", "mlflow", "ray", "report", "study", "wandb")
LOGGERS = {"tensorboard": "TensorBoardLogger", "mlflow": "MLFlowLogger", "wandb": "WandbLogger"}


@dataclass(frozen=True)
class Carbon:
    """The carbon intensity that is used, and its source; None if carbon is not measured."""

    meter: str = "unavailable"
    g_per_kwh: float | None = None
    pue: float | None = None
    source: str = ""


@dataclass(frozen=True)
class Examination:
    """What can be measured on this host, and how well.

    Attributes:
        schema: The version of its JSON.
        measured: Whether there is a meter that does more than to estimate.
        gpus: The boards.
        cpu: The processor.
        memory: The memory.
        carbon: The carbon intensity.
        ranks: This process among the ranks of its run.
        loggers: The version of each logger's package, None where it is not installed.
        extras: The missing packages of each extra.
        versions: Of Python and of the packages that take part in a run.
        selftest: What the self-test found; None if there was none.
        troubles: What is wrong, and what to do about it.
    """

    schema: str
    measured: bool
    gpus: list[Gpu]
    cpu: Processor
    memory: Memory
    carbon: Carbon
    ranks: Ranks
    loggers: dict[str, str | None]
    extras: dict[str, dict[str, list[str]]]
    versions: dict[str, str]
    selftest: SelfTest | None
    troubles: list[Trouble]


def examine(
    *,
    seconds: float = 5.0,
    carbon_intensity: float | str | None = None,
    pue: float = 1.0,
    powercap: Path = POWERCAP,
    environment: Mapping[str, str] | None = None,
) -> Examination:
    """Try every meter of this host.

    Uses `nvmlDeviceGetCount`, `nvmlDeviceGetName`, `nvmlSystemGetDriverVersion`, and what the meters use.

    Args:
        seconds: How long the self-test of the GPUs takes; 0 leaves it out.
        carbon_intensity: Same as for `PePRCallback`, to see what it stands for.
        pue: Same as for `PePRCallback`.
        powercap: Where the processor's counters are.
        environment: The environment variables, in which torchrun and SLURM describe ranks; None is this process's.

    Returns:
        Each meter with what it measures and how well, and the troubles, each with what to do about it; `to_json`
        writes it.

    Raises:
        ValueError: If `seconds`, `carbon_intensity` or `pue` is out of its range.
    """
    if not 0 <= seconds <= 3600:
        raise PePRError(f"seconds is {seconds!r}; expected from 0 (no self-test) to 3600.")
    carbon, carbon_troubles = _examine_carbon(carbon_intensity, pue)
    gpus, gpu_troubles = examine_gpus()
    cpu, cpu_troubles = examine_processor(powercap)
    ranks, rank_troubles = examine_ranks(os.environ if environment is None else environment, len(gpus))
    extras, extra_troubles = _examine_extras()
    metered = [gpu for gpu in gpus if gpu.meter != "unavailable"]
    selftest, test_troubles = run_selftest(metered, seconds, powercap) if metered and seconds else (None, [])
    return Examination(
        schema="lightning-pepr/doctor/1",
        measured=bool(metered) or cpu.meter == "counter",
        gpus=gpus,
        cpu=cpu,
        memory=examine_memory(),
        carbon=carbon,
        ranks=ranks,
        loggers={name: _version_of(name) for name in LOGGERS},
        extras=extras,
        versions=describe_software(),
        selftest=selftest,
        troubles=gpu_troubles + cpu_troubles + carbon_troubles + rank_troubles + extra_troubles + test_troubles,
    )


def to_json(found: Examination) -> str:
    """The examination as JSON."""
    return json.dumps(asdict(found, dict_factory=_plain), indent=1, allow_nan=False)


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dataclass as its JSON has it."""
    plain = {"grave" if name == "severe" else name: value for name, value in items}
    if plain.get("command", "") is None:
        del plain["command"]
    if plain.get("cpu", "") is None:
        plain["cpu"] = {}
    return plain


def _examine_carbon(carbon_intensity: float | str | None, pue: float) -> tuple[Carbon, list[Trouble]]:
    intensity = resolve_intensity(carbon_intensity, pue)
    if intensity is not None:
        return Carbon("energy × intensity × PUE", intensity.g_per_kwh, intensity.pue, intensity.source), []
    country = ', or a country such as "DNK"' if is_installed("codecarbon") else ""
    do = f"Give PePRCallback(…, carbon_intensity=…), in g CO2e per kWh{country}."
    return Carbon(), [Trouble("Carbon is not measured: where this machine draws its electricity is not guessed.", do)]


def _version_of(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _examine_extras() -> tuple[dict[str, dict[str, list[str]]], list[Trouble]]:
    """For each extra its packages that are missing."""
    try:
        every = [Requirement(text) for text in metadata.requires("lightning-pepr") or []]
    except metadata.PackageNotFoundError:
        return {}, []
    optional = [each for each in every if each.marker and not each.extras and not each.marker.evaluate({"extra": ""})]
    found, troubles = {}, []
    for extra in EXTRAS:
        packages = [each.name for each in optional if each.marker and each.marker.evaluate({"extra": extra})]
        if packages:
            missing = [name for name in packages if _version_of(name) is None]
            found[extra] = {"missing": missing}
            if missing:
                what = f"The extra {extra} is not complete: {', '.join(missing)}."
                troubles.append(Trouble(what, f"pip install 'lightning-pepr[{extra}]'"))
    return found, troubles
