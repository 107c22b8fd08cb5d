"""Which NVIDIA boards there are, and how each can be metered."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lightning_pepr.doctor.troubles import Trouble
from lightning_pepr.meters.nvml import GAIN, find_boards, within

DRIVER_S = 10.0  # after which a driver counts as hanging: nobody trains meanwhile, and a cold start takes a few
LOOK_S = 1.5  # for which a reading is watched at most, to see how often it changes
TICKS = 12  # changes of a reading that are enough to know its period


@dataclass
class Gpu:
    """A board, and how it can be metered: by its counter, by its power, or not, and for what reason."""

    index: int
    name: str = ""
    uuid: str = ""
    mig: int = 0  # 1 where it is partitioned
    processes: int | None = None  # others that compute on it
    driver: str = ""
    meter: Literal["counter", "integrated", "unavailable"] = "unavailable"
    reason: str = ""
    limit_w: float | None = None
    window_s: float | None = None  # over which its power is averaged
    period_ms: float | None = None  # between two changes of its reading; None if there were too few
    latency_ms: float | None = None
    gain: float = GAIN


def examine_gpus() -> tuple[list[Gpu], list[Trouble]]:
    """Find the NVIDIA boards, and how each can be metered."""
    try:
        gpus = within(DRIVER_S, _list_gpus)
    except TimeoutError as error:
        do = "Run nvidia-smi. If it hangs, too, restart the driver or the host."
        return [], [Trouble(f"NVIDIA: {error}.", do, severe=True)]
    except Exception as error:
        if type(error).__name__ != "NVMLError_LibraryNotFound":
            do = "Run nvidia-smi; install or restart NVIDIA's driver, and in a container start it with --gpus all."
            return [], [Trouble(f"NVML cannot be used: {error}.", do, severe=True)]
        other = "an AMD GPU" if Path("/dev/kfd").exists() else "an Apple GPU" if sys.platform == "darwin" else ""
        do = "Nothing: all but its energy is measured; that and carbon are missing, and never 0."
        return [], [Trouble(f"There is {other}, whose energy is not metered.", do)] if other else []
    if not gpus:
        what = "NVIDIA's driver has no GPU for this process."
        return [], [Trouble(what, "In a container, start it with --gpus all.")]
    return gpus, [trouble for gpu in gpus for trouble in _examine(gpu)]


def _list_gpus() -> list[Gpu]:
    import pynvml

    pynvml.nvmlInit()
    gpus = [Gpu(index) for index in range(pynvml.nvmlDeviceGetCount())]
    for gpu in gpus:
        with contextlib.suppress(UnicodeDecodeError):  # what is no text is not known
            gpu.driver = pynvml.nvmlSystemGetDriverVersion()
        with contextlib.suppress(pynvml.NVMLError):  # a board that is lost still has an index
            handle = pynvml.nvmlDeviceGetHandleByIndex(gpu.index)
            with contextlib.suppress(UnicodeDecodeError):
                gpu.name = pynvml.nvmlDeviceGetName(handle)
            with contextlib.suppress(UnicodeDecodeError):
                gpu.uuid = pynvml.nvmlDeviceGetUUID(handle)
            with contextlib.suppress(pynvml.NVMLError):
                gpu.mig = int(pynvml.nvmlDeviceGetMigMode(handle)[0])
            with contextlib.suppress(pynvml.NVMLError):
                running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
                gpu.processes = sum(process.pid != os.getpid() for process in running)
    return gpus


def _examine(gpu: Gpu) -> list[Trouble]:
    """Find out how one board can be metered, how often its reading changes, and what a call takes."""
    where = f"GPU {gpu.index}" + (f" ({gpu.name})" if gpu.name else "")
    (board,) = find_boards([gpu.uuid or gpu.index])
    read: Callable[[], float] | None = board.read_counter or board.read_power
    gpu.limit_w = board.limit
    if read is None:
        gpu.reason = board.reason
        do = "Ask for access to the GPU's sensors, or restart its driver; until then its energy is missing."
        return [Trouble(f"{where}: {board.reason}", do, severe=True)]
    integrated = board.read_counter is None
    gpu.window_s = board.window if integrated else None
    try:
        gpu.latency_ms, gpu.period_ms, changes = within(DRIVER_S, lambda: _watch(read))
        still = board.read_power if not integrated and not changes else None
        watts = within(DRIVER_S, still) if still else 0.0
    except Exception as error:  # the driver hangs, or the board is lost meanwhile
        gpu.reason, do = str(error), "Run nvidia-smi; restart the driver if it hangs."
        return [Trouble(f"{where} stopped responding: {error}.", do, severe=True)]
    gpu.meter = "integrated" if integrated else "counter"

    troubles = []
    if watts:
        what = f"{where}: its energy counter stands still while its power reads {watts:.0f} W."
        do = "Restart the driver or the host; until then its power is added up instead, after a second or two."
        troubles.append(Trouble(what, do, severe=True))
    if integrated:
        mean = f", which is a mean over {board.window:g} s" if board.window else ""
        what = f"{where} has no energy counter; its power is added up instead{mean}."
        troubles.append(Trouble(what, "Nothing, if runs take minutes. Boards from Volta on have a counter."))
    if gpu.latency_ms > 50:
        do = "Turn persistence mode on: sudo nvidia-smi -pm 1"
        troubles.append(Trouble(f"{where}: a call of the driver takes {gpu.latency_ms:.0f} ms.", do))
    if gpu.mig:
        what = f"{where} is shared by MIG: the energy is that of the whole board."
        troubles.append(Trouble(what, "Compare runs that had the board for themselves."))
    if gpu.processes:
        others = f"{gpu.processes} other process{'es' * (gpu.processes > 1)}"
        what = f"{where} is shared with {others}, whose energy is included."
        troubles.append(Trouble(what, "Meter runs on a board that nobody else uses: nvidia-smi lists who does."))
    return troubles


def _watch(read: Callable[[], float]) -> tuple[float, float | None, int]:
    """Milliseconds that a call takes, those between two changes, and how many changes there were.

    The second is None if these were too few, as of steady power.
    """
    took, changes, last, end = list[float](), list[float](), math.nan, time.perf_counter() + LOOK_S
    while len(changes) <= TICKS and (began := time.perf_counter()) < end:
        value = read()
        took.append(time.perf_counter() - began)
        if value != last:
            changes.append(began + took[-1])
            last = value
        time.sleep(0.001)
    gaps = [b - a for a, b in itertools.pairwise(changes[1:])]  # the first value is no change
    period = statistics.median(gaps) * 1e3 if len(gaps) >= 3 else None
    return statistics.median(took) * 1e3, period, len(changes) - 1
