"""The self-test: the boards are metered for a while under load, beside their power."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_pepr.doctor.boards import Gpu
from lightning_pepr.doctor.troubles import Trouble
from lightning_pepr.meters import HostMeter
from lightning_pepr.meters.base import Part
from lightning_pepr.meters.nvml import find_boards

WARM_UP_S = 1.5  # in which the meters find the ticks, and the load builds up


@dataclass(frozen=True)
class Energy:
    """An energy, its error, and how it was measured; None if it could not be metered."""

    energy_j: float | None
    error_j: float | None
    quality: str


@dataclass(frozen=True)
class GpuTest(Energy):
    """The energy of a board, its mean power by that, and the mean of the power that was read meanwhile."""

    mean_w: float | None
    sampled_w: float | None
    reason: str


@dataclass(frozen=True)
class SelfTest:
    """What the self-test found: how long it took, under which load, of the boards by UUID, and of the processor."""

    seconds: float
    load: str
    gpus: dict[str, GpuTest]
    cpu: Energy | None


def run_selftest(gpus: Sequence[Gpu], seconds: float, powercap: Path) -> tuple[SelfTest, list[Trouble]]:
    """Meter the boards for a while, under load if torch can make one, and read their power meanwhile."""
    boards = find_boards([gpu.uuid for gpu in gpus])
    watts: dict[str, list[float]] = {board.uuid: [] for board in boards}
    with _load() as load, HostMeter([gpu.uuid for gpu in gpus], powercap=powercap) as meter:
        time.sleep(min(WARM_UP_S, seconds))
        begin = meter.read()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for board in boards:
                with contextlib.suppress(Exception):  # the meter reports what is wrong
                    watts[board.uuid] += [board.read_power()] if board.read_power else []
            time.sleep(0.02)
        window = meter.read() - begin

    tests, troubles = {}, list[Trouble]()
    for gpu in gpus:
        if part := window.parts.get(f"gpu:{gpu.uuid}"):
            tests[gpu.uuid], found = _judge(gpu, part, window.time_s, watts.get(gpu.uuid))
            troubles += found
    cpu = (part for key, part in window.parts.items() if key.startswith("cpu:") and part.energy_uj is not None)
    energy = next((Energy(part.energy_j, part.error_j, part.quality.value) for part in cpu), None)
    return SelfTest(window.time_s, load, tests, energy), troubles


def _judge(gpu: Gpu, part: Part, seconds: float, watts: list[float] | None) -> tuple[GpuTest, list[Trouble]]:
    """Compare the energy of a board with its power."""
    known = part.energy_uj is not None and seconds > 0
    power = part.energy_j / seconds if known else None
    sampled = statistics.fmean(watts) if watts else None
    energy, error = (part.energy_j, part.error_j) if known else (None, None)
    troubles = []
    if power and sampled and abs(power / sampled - 1) > 0.1:
        what = f"GPU {gpu.index}: its energy says {power:.0f} W, and its power {sampled:.0f} W."
        do = "Check the board with another meter before trusting either; report it with the output of --json."
        troubles.append(Trouble(what, do, severe=True))
    if part.lower_bound or part.reason or not known:
        what = f"GPU {gpu.index}: {part.reason or 'it could not be metered'}."
        troubles.append(Trouble(what, "Run nvidia-smi.", severe=True))
    return GpuTest(energy, error, part.quality.value, power, sampled, part.reason), troubles


@contextlib.contextmanager
def _load() -> Iterator[str]:
    """Multiply matrices on all of torch's CUDA devices; gives the load in words."""
    matrices, why = [], "has no CUDA device here"
    try:
        import torch

        # The driver's word is not enough: `is_available` takes it where PYTORCH_NVML_BASED_CUDA_CHECK is set, as
        # lightning sets it, and then CUDA may still not start.
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        matrices = [torch.randn(4096, 4096, device=f"cuda:{i}", dtype=torch.float16) for i in range(count)]
    except Exception as error:  # a torch that does not start is no reason to end
        why = f"does not start on the GPU ({type(error).__name__})"
    if not matrices:
        yield f"none: torch {why}, so the boards were as they are"
        return
    stop = threading.Event()

    def work(a: torch.Tensor) -> None:
        while not stop.is_set():
            for _ in range(8):
                a = (a @ a).clamp_(-1, 1)
            torch.cuda.synchronize(a.device)

    threads = [threading.Thread(target=work, args=(matrix,), daemon=True) for matrix in matrices]
    for thread in threads:
        thread.start()
    try:
        yield f"matrix products of torch on {len(threads)} device{'s' * (len(threads) > 1)}"
    finally:
        stop.set()
        for thread in threads:
            thread.join(5.0)
