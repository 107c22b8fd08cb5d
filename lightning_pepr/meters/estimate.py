"""The processor's energy where no counter can be read: CPU time × watts per core."""

from __future__ import annotations

import contextlib
import csv
import functools
import os
import re
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from lightning_pepr.meters.base import EnergySource, Part, Quality
from lightning_pepr.meters.processes import descendants
from lightning_pepr.utilities.environment import host_name, processor_name
from lightning_pepr.utilities.imports import package_file

GENERIC_WATTS = 4.0
"""Watts of one busy hardware thread where the processor is not known: what a fully used virtual core is taken to
draw in the large clouds (Cloud Carbon Footprint: 3.5 on AWS, 3.8 on Azure, 4.3 on GCP)."""

GENERIC_ERROR = 0.75
"""Relative bound where the processor is not known: 1 W a thread (a laptop) to 7 W (a workstation)."""

KNOWN_ERROR = 0.5
"""Relative bound where it is known: the design power is a limit, which turbo exceeds and light load does not
reach; power is not proportional to CPU time; and memory and idle draw are left out."""

PLAUSIBLE_WATTS = (1.0, 15.0)
"""A hardware thread draws something between; outside, cores were not counted right."""


class CoreWatts(NamedTuple):
    """What one busy hardware thread draws, the relative error of that, and where the figure is from."""

    watts: float
    error: float
    source: str


class EstimateSource(EnergySource):
    """CPU time of this process and its children, times watts per core, whose error grows with the energy."""

    def __init__(self) -> None:
        self._key = f"cpu:{host_name()}"
        self._core = watts_per_core()
        self._counted = (0.0, _cpu_seconds())  # the seconds that count, and all there were by then

    def mark(self, at: float) -> dict[str, Part]:
        """The energy now; final at once."""
        seconds, last = self._counted
        now = _cpu_seconds()
        # A child that another process reaps takes its time with it; what was counted stays counted.
        seconds += max(0.0, now - last)
        self._counted = (seconds, now)  # both at once: a signal handler may have read it meanwhile
        energy_uj = round(seconds * self._core.watts * 1e6)
        return {self._key: Part(energy_uj, Quality.ESTIMATED, drift_j=energy_uj / 1e6 * self._core.error)}


def _cpu_seconds() -> float:
    """The CPU time so far of this process and its children, in seconds, ended children included."""
    ended = sum(os.times()[2:4])
    for _ in range(3):
        alive = 0.0
        for process in descendants():
            with contextlib.suppress(psutil.Error):
                used = process.cpu_times()
                alive += used.user + used.system + used.children_user + used.children_system
        before, ended = ended, sum(os.times()[2:4])
        if ended == before:  # else one that has ended meanwhile may be in neither, or in both
            break
    return time.process_time() + ended + alive


@functools.lru_cache(maxsize=1)
def watts_per_core() -> CoreWatts:
    """What one busy hardware thread of this host draws.

    Known processors are looked up in CodeCarbon's table of design powers, if CodeCarbon is installed (extra
    `carbon`), and the power is shared among the hardware threads of one socket. In a virtual machine the
    processor's threads are not all visible, so that the generic figure is used.
    """
    name, threads, virtual = processor_name(), *_threads()
    power = None if virtual or not threads else _design_power(name)
    if power is None:
        return CoreWatts(GENERIC_WATTS, GENERIC_ERROR, "generic figure")
    low, high = PLAUSIBLE_WATTS
    return CoreWatts(min(max(power / threads, low), high), KNOWN_ERROR, f"design power of {name} (CodeCarbon)")


def _threads() -> tuple[int, bool]:
    """The hardware threads of one socket, and whether this is a virtual machine."""
    text = ""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    sockets = len(set(re.findall(r"^physical id\s*:\s*(\d+)$", text, re.MULTILINE))) or 1
    virtual = re.search(r"^flags\s*:.*\bhypervisor\b", text, re.MULTILINE) is not None
    return (psutil.cpu_count(logical=True) or 0) // sockets, virtual


def _design_power(name: str, table: Path | None = None) -> float | None:
    """The design power in watts of the processor of that name, from CodeCarbon's table.

    The table is read without importing CodeCarbon, which takes seconds. A row matches if all its words are
    among those of the name; of several, the longest does.
    """
    table = table or package_file("codecarbon", "data", "hardware", "cpu_power.csv")
    if table is None:
        return None
    try:
        with table.open(newline="") as lines:
            rows = [(row.get("Name") or "", row.get("TDP") or "") for row in csv.DictReader(lines)]
    except OSError:
        return None
    words = _words(name)
    matches = {
        sum(map(len, wanted)): float(power)
        for row, power in reversed(rows)  # of two that are as long, the first one counts
        # A match without a model number, such as "AMD EPYC", would be any of a family.
        if re.fullmatch(r"\d+(\.\d+)?", power)
        and (wanted := _words(row)) <= words
        and re.search(r"\d", "".join(wanted))
    }
    return matches[max(matches)] if matches else None


def _words(name: str) -> frozenset[str]:
    """The words that tell one processor from another."""
    name = re.sub(r"\((r|tm|c)\)|®|™|@.*$", " ", name.lower())
    name = re.sub(r"\b(cpu|processor|with radeon graphics|\d+-core|\w+-core)\b", " ", name)
    return frozenset(name.split())
