"""Which NVIDIA boards there are, and how each can be metered."""

from __future__ import annotations

import contextlib
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lightning_pepr.doctor.troubles import Trouble
from lightning_pepr.meters.nvml import GAIN, find_boards, within

DRIVER_S = 10.0
"""Seconds after which a driver counts as hanging: nobody trains meanwhile, and a cold start takes a few."""

LOOK_S = 1.5
"""Seconds for which a reading is watched at most, to see how often it changes."""

TICKS = 12
"""Changes of a reading that are enough to know its period."""

CALLS = 30
"""How many calls are timed."""


@dataclass(frozen=True)
class Gpu:
    """A board, and how it can be metered: by its counter, by its power, or not, and for what reason.

    Attributes:
        mig: 1 where it is partitioned by MIG.
        processes: How many other processes compute on it; None if unknown.
        window_s: Seconds over which its power is averaged.
        period_ms: How often its reading changes; None if it did not change often enough.
        gain: Relative uncertainty of its sensor.
    """

    index: int
    name: str = ""
    uuid: str = ""
    mig: int = 0
    processes: int | None = None
    driver: str = ""
    meter: Literal["counter", "integrated", "unavailable"] = "unavailable"
    reason: str = ""
    limit_w: float | None = None
    window_s: float | None = None
    period_ms: float | None = None
    latency_ms: float | None = None
    gain: float = GAIN


def examine_gpus() -> tuple[list[Gpu], list[Trouble]]:
    """Find the NVIDIA boards, and how each can be metered."""
    try:
        listed = within(DRIVER_S, _list_gpus)
    except TimeoutError as error:
        do = "Run nvidia-smi. If it hangs, too, restart the driver or the host."
        return [], [Trouble(f"NVIDIA: {error}.", do, severe=True)]
    except Exception as error:
        if type(error).__name__ == "NVMLError_LibraryNotFound":
            return [], _other_gpus()
        do = "Run nvidia-smi; install or restart NVIDIA's driver, and in a container start it with --gpus all."
        return [], [Trouble(f"NVML cannot be used: {error}.", do, severe=True)]
    if not listed:
        do = "In a container, start it with --gpus all."
        return [], [Trouble("NVIDIA's driver has no GPU for this process.", do)]
    examined = [_examine(gpu) for gpu in listed]
    return [gpu for gpu, _ in examined], [trouble for _, troubles in examined for trouble in troubles]


def _list_gpus() -> list[Gpu]:
    import pynvml

    pynvml.nvmlInit()
    driver = pynvml.nvmlSystemGetDriverVersion()
    gpus = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        gpu = Gpu(index, driver=driver)
        with contextlib.suppress(pynvml.NVMLError):  # a board that is lost still has an index
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            gpu = replace(gpu, name=pynvml.nvmlDeviceGetName(handle), uuid=pynvml.nvmlDeviceGetUUID(handle))
            with contextlib.suppress(pynvml.NVMLError):
                gpu = replace(gpu, mig=int(pynvml.nvmlDeviceGetMigMode(handle)[0]))
            with contextlib.suppress(pynvml.NVMLError):
                running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
                gpu = replace(gpu, processes=sum(process.pid != os.getpid() for process in running))
        gpus.append(gpu)
    return gpus


def _examine(gpu: Gpu) -> tuple[Gpu, list[Trouble]]:
    """How one board can be metered, how often its reading changes, and what a call takes."""
    where = f"GPU {gpu.index}" + (f" ({gpu.name})" if gpu.name else "")
    (board,) = find_boards([gpu.uuid or gpu.index])
    read: Callable[[], float] | None = board.read_counter or board.read_power
    gpu = replace(gpu, limit_w=board.limit)
    if read is None:
        do = "Ask for access to the GPU's sensors, or restart its driver; until then its energy is missing."
        return replace(gpu, reason=board.reason), [Trouble(f"{where}: {board.reason}", do, severe=True)]
    integrated = board.read_counter is None
    gpu = replace(gpu, window_s=board.window if integrated else None)
    try:
        latency, period = within(DRIVER_S, lambda: (_latency_ms(read), _period_ms(read)))
    except Exception as error:  # the driver hangs, or the board is lost meanwhile
        do = "Run nvidia-smi; restart the driver if it hangs."
        return replace(gpu, reason=str(error)), [Trouble(f"{where} stopped responding: {error}.", do, severe=True)]
    gpu = replace(gpu, meter="integrated" if integrated else "counter", latency_ms=latency, period_ms=period)

    troubles = []
    if integrated:
        mean = f", which is a mean over {board.window:g} s" if board.window else ""
        what = f"{where} has no energy counter; its power is added up instead{mean}."
        troubles.append(Trouble(what, "Nothing, if runs take minutes. Boards from Volta on have a counter."))
    if latency > 50:
        do = "Turn persistence mode on: sudo nvidia-smi -pm 1"
        troubles.append(Trouble(f"{where}: a call of the driver takes {latency:.0f} ms.", do))
    if gpu.mig:
        what = f"{where} is shared by MIG: the energy is that of the whole board."
        troubles.append(Trouble(what, "Compare runs that had the board for themselves."))
    if gpu.processes:
        others = f"{gpu.processes} other process{'es' * (gpu.processes > 1)}"
        what = f"{where} is shared with {others}, whose energy is included."
        troubles.append(Trouble(what, "Meter runs on a board that nobody else uses: nvidia-smi lists who does."))
    return gpu, troubles


def _other_gpus() -> list[Trouble]:
    """Boards that are not NVIDIA's, whose energy is not metered."""
    name = "an AMD GPU" if Path("/dev/kfd").exists() else "an Apple GPU" if sys.platform == "darwin" else ""
    do = "Nothing: all but its energy is measured; that and carbon are missing, and never 0."
    return [Trouble(f"There is {name}, whose energy is not metered.", do)] if name else []


def _latency_ms(read: Callable[[], float]) -> float:
    """The median of some calls; fewer where they are slow."""
    took: list[float] = []
    while len(took) < 3 or (len(took) < CALLS and sum(took) <= 1.0):
        began = time.perf_counter()
        read()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e3


def _period_ms(read: Callable[[], float]) -> float | None:
    """Milliseconds between two changes; None if there were too few, as of a steady power."""
    last, changes, end = read(), list[float](), time.monotonic() + LOOK_S
    while time.monotonic() < end and len(changes) < TICKS:
        time.sleep(0.001)
        value = read()
        if value != last:
            changes.append(time.monotonic())
            last = value
    gaps = [b - a for a, b in itertools.pairwise(changes)]
    return statistics.median(gaps) * 1e3 if len(gaps) >= 3 else None
