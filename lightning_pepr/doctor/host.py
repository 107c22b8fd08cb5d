"""How the energy of the processor is measured on this host, and its memory."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from lightning_pepr.doctor.troubles import Trouble
from lightning_pepr.meters.estimate import watts_per_core
from lightning_pepr.meters.rapl import GAIN, find_domains
from lightning_pepr.utilities.environment import processor_name
from lightning_pepr.utilities.imports import is_installed


@dataclass(frozen=True)
class Processor:
    """The processor, and how its energy is measured: its counters, or an estimate and what would make them readable."""

    name: str
    threads: int | None
    domains: list[str]
    meter: Literal["counter", "estimated"]
    error: float
    source: str
    command: str | None = None


@dataclass(frozen=True)
class Memory:
    """The memory of this host and process, and what is taken for a run's."""

    total_gb: float
    resident_gb: float
    meter: str = "torch's peak of reserved memory on CUDA; else resident memory, twice a second"


def examine_processor(powercap: Path) -> tuple[Processor, list[Trouble]]:
    """Whether the processor's counters can be read; if not, why, and what would change that."""
    name, threads = processor_name(), os.cpu_count()
    if domains := [domain.name for domain in find_domains(powercap)]:
        return Processor(name, threads, domains, "counter", GAIN, "RAPL"), []
    core, command, cpuinfo = watts_per_core(), None, Path("/proc/cpuinfo")
    virtual = cpuinfo.is_file() and " hypervisor" in cpuinfo.read_text(encoding="utf-8")
    counters = {path.parent.name.partition(":")[0] for path in powercap.glob("*/energy_uj")}
    if counters:
        command = f"sudo chmod a+r {' '.join(f'{powercap}/{each}:*/energy_uj' for each in sorted(counters))}"
        why = "its counters (RAPL) are there, and this user may not read them"
        do = f"{command}   (until the next start of the host; any user can then read them)"
    elif virtual:
        why = "this is a virtual machine, without RAPL"
        do = "Nothing here: a virtual machine is not shown the counters of its host."
    elif sys.platform.startswith("linux"):
        command = "sudo modprobe intel_rapl_msr"
        why, do = f"{powercap} shows no RAPL counter", f"{command}   (and in a container, mount {powercap} into it)"
    else:
        why, do = "RAPL is read on Linux only", "Nothing."
    troubles = [Trouble(f"The CPU's energy is estimated (±{core.error:.0%}): {why}.", do)]
    if core.error > 0.5 and not virtual and not is_installed("codecarbon"):
        troubles.append(Trouble("The processor's design power is not known.", "pip install 'lightning-pepr[carbon]'"))
    source = f"{core.watts:.3g} W per busy thread, {core.source}"
    return Processor(name, threads, [], "estimated", core.error, source, command), troubles


def examine_memory() -> Memory:
    """How much memory this host has, and this process holds."""
    total, resident = psutil.virtual_memory().total, psutil.Process().memory_info().rss
    return Memory(round(total / 1e9, 1), round(resident / 1e9, 3))
