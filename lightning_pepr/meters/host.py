"""The meter of one host: its sources read together, at one boundary for all."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_pepr.errors import PePRError
from lightning_pepr.meters.base import EnergySource, Meter, Part, Reading
from lightning_pepr.meters.devices import Device, open_sources
from lightning_pepr.meters.watch import REMEMBERED

ATTEMPTS = 3
"""How often a reading is begun anew that a signal handler interrupts to read the meter itself."""


class HostMeter(Meter):
    """The energy of this process's GPUs and of its host since it was opened; `open_meter` makes one.

    A meter may be copied and pickled. The copy holds no handles; it opens anew, and counts from there, when it
    is first used. The same happens in a forked process.

    Args:
        devices: The GPUs, as `open_meter` takes them.
        powercap: Where the kernel shows the processor's energy counters, if not in `/sys/class/powercap`.

    Raises:
        PePRError: If a device is named that is not there.
    """

    def __init__(self, devices: Sequence[Device] | None = None, *, powercap: Path | None = None) -> None:
        if isinstance(devices, (str, int)) or hasattr(devices, "type"):
            raise PePRError(f"devices is {devices!r}; expected a list, such as [{devices!r}], or None.")
        self._devices = None if devices is None else list(devices)
        self._powercap = powercap
        self._closed = False
        self._open()

    def _open(self) -> None:
        # All of it is made anew: after a fork, a lock of the parent may never be released here.
        self._lock = threading.RLock()
        self._boundaries: dict[float, float] = {}  # of the latest readings, by their time_s
        self._sources: list[EnergySource] = open_sources(self._devices, self._powercap)
        self._readings = 0
        self._opened = self._last = time.monotonic()
        for source in self._sources:
            source.mark(self._opened)
        self._pid: int | None = os.getpid()

    def read(self, wait: bool = True) -> Reading:
        """The energy since the meter was opened, up to the moment of the call.

        Args:
            wait: Whether to wait (at most one period of the slowest counter) until the reading is final.
                Without it the reading comes at once, with the unsettled edge in its error bound. Just after
                opening the ticks are not known yet: then it is up to three periods, and a board without a counter
                gives readings that `settle` makes final after 1.5 to 3 s.

        Returns:
            A cumulative reading; the difference of two is the window between them. A fault of the hardware
            does not raise: a part that could not be read says so.

        Raises:
            RuntimeError: If the meter has been closed.
        """
        if self._closed:
            raise RuntimeError("this meter has been closed; open another with `open_meter()`.")
        if self._pid != os.getpid():  # this is a copy, or the child of the process that opened it
            self._open()
        with self._lock:
            for _ in range(ATTEMPTS):
                before = self._readings
                # Two boundaries are never the same moment, so the time identifies each.
                at = max(time.monotonic(), self._last + 1e-9 * max(1.0, self._last * 1e-6))
                timestamp = time.time()
                parts: dict[str, Part] = {}
                for source in self._sources:
                    parts.update(source.mark(at))
                if self._readings == before:
                    break  # else this moment is past: what a signal handler has spent came after it
            self._readings += 1
            self._last = max(at, self._last)
            reading = Reading(parts, at - self._opened, timestamp)
            self._boundaries[reading.time_s] = at
            if len(self._boundaries) > REMEMBERED:
                self._boundaries.pop(next(iter(self._boundaries)), None)
        return self.settle(reading) if wait else reading

    def settle(self, reading: Reading, wait: bool = True) -> Reading:
        """The final form of a reading that was taken with `wait=False`.

        Args:
            reading: A reading of this meter, not a difference of two.
            wait: Whether to wait until it is final: at most one period of the slowest counter, or two and a half
                of one that has stopped; not at all while the driver hangs. Without it, what is not final yet comes back
                as well as it is known by now.

        Returns:
            The reading with the same time; the same values however often it is asked for once it is final.
        """
        at = self._boundaries.get(reading.time_s)
        if reading.settled or at is None or self._pid != os.getpid():
            return reading
        parts = dict(reading.parts)
        for source in self._sources:
            for key, part in source.settle(at, wait).items():
                if not parts[key].settled:
                    parts[key] = part
        return replace(reading, parts=parts)

    def close(self) -> None:
        """Release the hardware; may be called twice. Readings taken before can still be settled."""
        self._closed = True
        if self._pid == os.getpid():  # else the handles are another process's
            for source in self._sources:
                source.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"_devices": self._devices, "_powercap": self._powercap, "_closed": self._closed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _pid=None, _lock=threading.RLock(), _sources=[], _boundaries={})
