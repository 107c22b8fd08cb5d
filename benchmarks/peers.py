"""The tools that are compared: each meters windows of GPU energy in the way that its documentation shows.

`begin` and `end` mark a window, `results` gives the energy of all of them once the last has ended. Nothing here leaves
the host: peers that ask the network for a place or a carbon intensity get theirs, or find the network closed.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

PACKAGES = ("lightning-pepr", "codecarbon", "zeus", "carbontracker", "lightning", "torch", "nvidia-ml-py")

CLOSED = "http://127.0.0.1:9"
"""A proxy that is not there."""


class Window:
    """A window's energy in J, the bound on its error where the tool states one, and the moments that it spans."""

    def __init__(self, begin: float, end: float, joules: float, error: float | None = None, note: str = "") -> None:
        self.begin, self.end, self.joules, self.error, self.note = begin, end, joules, error, note


class Tool:
    """What they have in common: a window spans the moments between the return of `begin` and the call of `end`."""

    package = ""

    def __init__(self, gpus: list[int] | None) -> None:
        self.windows: list[Window] = []
        self.called = 0.0  # s spent in begin and end
        self._begun = 0.0

    def begin(self) -> None:
        called = time.monotonic()
        self._begin()
        self._begun = time.monotonic()
        self.called += self._begun - called

    def end(self) -> None:
        called = time.monotonic()
        joules = self._end()
        self.called += time.monotonic() - called
        self.windows.append(Window(self._begun, called, joules))

    def results(self) -> list[Window]:
        return self.windows

    def close(self) -> None:
        """Let go of what it holds."""

    def _begin(self) -> None:
        raise NotImplementedError

    def _end(self) -> float:
        raise NotImplementedError


class LightningPepr(Tool):
    """This package: `read()`, which waits for the counter's next tick."""

    package = "lightning-pepr"
    wait = True

    def __init__(self, gpus: list[int] | None) -> None:
        super().__init__(gpus)
        from lightning_pepr import open_meter

        self.meter = open_meter(devices=gpus)
        # Readings tell their time since the meter was opened; the least of several tries is when that was.
        self.zero = min(time.monotonic() - self.meter.read(wait=False).time_s for _ in range(5))
        self.readings: list[Any] = []

    def _begin(self) -> None:
        self.readings.append(self.meter.read(wait=self.wait))

    def _end(self) -> float:
        self.readings.append(self.meter.read(wait=self.wait))
        return 0.0

    def results(self) -> list[Window]:
        found = []
        for a, b in zip(self.readings[::2], self.readings[1::2], strict=False):
            begin, end = self.meter.settle(a), self.meter.settle(b)
            parts = [part for key, part in (end - begin).parts.items() if key.startswith("gpu:")]
            joules, error = sum(part.energy_j for part in parts), sum(part.error_j for part in parts)
            note = "lower bound" if any(part.lower_bound for part in parts) else "" if parts else "no GPU"
            if any(part.energy_uj is None for part in parts):
                note = "unavailable"
            found.append(Window(self.zero + a.time_s, self.zero + b.time_s, joules, error, note))
        return found

    def close(self) -> None:
        self.meter.close()


class LightningPeprLater(LightningPepr):
    """This package: `read(wait=False)`, settled when all is over, as the callback does."""

    wait = False


class BarePynvml(Tool):
    """The difference of two reads of NVML's energy counter; without one, the mean of the power at both ends."""

    package = "nvidia-ml-py"

    def __init__(self, gpus: list[int] | None) -> None:
        super().__init__(gpus)
        import pynvml

        pynvml.nvmlInit()
        self.nvml, self.handle = pynvml, pynvml.nvmlDeviceGetHandleByIndex((gpus or [0])[0])

    def _read(self) -> tuple[bool, float, float]:
        try:
            return True, self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle) / 1000, time.monotonic()
        except self.nvml.NVMLError_NotSupported:
            return False, self.nvml.nvmlDeviceGetPowerUsage(self.handle) / 1000, time.monotonic()

    def _begin(self) -> None:
        self.first = self._read()

    def _end(self) -> float:
        counted, last, end = self._read()
        _, first, begin = self.first
        return last - first if counted else (first + last) / 2 * (end - begin)


class Zeus(Tool):
    """`ZeusMonitor.begin_window` and `end_window`; there is no CUDA here to synchronise with."""

    package = "zeus"
    approximate = False

    def __init__(self, gpus: list[int] | None) -> None:
        super().__init__(gpus)
        from zeus.monitor import ZeusMonitor

        self.monitor = ZeusMonitor(gpu_indices=gpus, cpu_indices=[], approx_instant_energy=self.approximate)

    def _begin(self) -> None:
        self.monitor.begin_window("window", sync_execution=False)

    def _end(self) -> float:
        return sum(self.monitor.end_window("window", sync_execution=False).gpu_energy.values())


class ZeusInstant(Zeus):
    """The same with `approx_instant_energy`, which is for windows shorter than a tick."""

    approximate = True


class CodeCarbon(Tool):
    """`start_task` and `stop_task` of a tracker that knows its country."""

    package = "codecarbon"

    def __init__(self, gpus: list[int] | None) -> None:
        super().__init__(gpus)
        from codecarbon import OfflineEmissionsTracker

        chosen: dict[str, Any] = {} if gpus is None else {"gpu_ids": gpus}
        self.tracker = OfflineEmissionsTracker(
            country_iso_code="DNK", save_to_file=False, log_level="critical", allow_multiple_runs=True, **chosen
        )

    def _begin(self) -> None:
        self.tracker.start_task()

    def _end(self) -> float:
        return self.tracker.stop_task().gpu_energy * 3.6e6


class CarbonTracker(Tool):
    """`epoch_start` and `epoch_end`, each window an epoch, with the PUE by which it multiplies divided out."""

    package = "carbontracker"
    every: float = 1.0  # s between samples; its default

    def __init__(self, gpus: list[int] | None) -> None:
        super().__init__(gpus)
        from carbontracker import constants
        from carbontracker.tracker import CarbonTracker

        self.pue = constants.PUE_2023
        # It goes by CUDA_VISIBLE_DEVICES, and takes no list of devices.
        self.tracker = CarbonTracker(
            epochs=1_000_000, epochs_before_pred=0, components="gpu", update_interval=self.every, verbose=0
        )

    def _begin(self) -> None:
        self.tracker.epoch_start()

    def _end(self) -> float:
        self.tracker.epoch_end()
        return self.tracker.tracker.total_energy_per_epoch()[-1] * 3.6e6 / self.pue


class CarbonTrackerOften(CarbonTracker):
    """The same with ten samples a second."""

    every = 0.1


TOOLS: dict[str, type[Tool]] = {
    "lightning-pepr, `read()`": LightningPepr,
    "lightning-pepr, `read(wait=False)`, settled later": LightningPeprLater,
    "bare pynvml": BarePynvml,
    "Zeus": Zeus,
    "Zeus, `approx_instant_energy`": ZeusInstant,
    "CodeCarbon, tasks": CodeCarbon,
    "carbontracker": CarbonTracker,
    "carbontracker, `update_interval=0.1`": CarbonTrackerOften,
}


def installed(package: str) -> str | None:
    """The version of a package, or None."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def versions() -> str:
    """What is compared, in a line."""
    return ", ".join(f"{name} {installed(name) or '(not installed)'}" for name in PACKAGES)


def environment(env: dict[str, str], nvidia_smi: bool = True) -> dict[str, str]:
    """An environment without network, and with an `nvidia-smi` on the PATH, which some peers take for a GPU's sign."""
    env = {**env, "http_proxy": CLOSED, "https_proxy": CLOSED, "HTTP_PROXY": CLOSED, "HTTPS_PROXY": CLOSED}
    if nvidia_smi:
        folder = Path(tempfile.gettempdir()) / f"pepr-benchmarks-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        script = folder / "nvidia-smi"
        script.write_text("#!/bin/sh\nexit 0\n")
        script.chmod(stat.S_IRWXU)
        env["PATH"] = os.pathsep.join([str(folder), env.get("PATH", "")])
    return env
