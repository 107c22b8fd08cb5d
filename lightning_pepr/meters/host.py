"""The meter of one host: its sources read together, at one boundary for all."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lightning_pepr.meters.base import EnergySource, Part, Reading
from lightning_pepr.meters.devices import Device, open_sources

REMEMBERED = 4096
"""How many readings may wait to be settled; older ones stay as they were."""


class HostMeter:
    """The energy of this process's GPUs and of its host since it was opened; `open_meter` makes one.

    A meter may be copied and pickled. The copy holds no handles; it opens anew, and counts from there, when it
    is first used. The same happens in a forked process.

    Args:
        devices: The GPUs, as `open_meter` takes them.
        powercap: Where the kernel shows the processor's energy counters, if not in `/sys/class/powercap`.

    Raises:
        ValueError: If a device is named that is not there.
    """

    def __init__(self, devices: Sequence[Device] | None = None, *, powercap: Path | None = None) -> None:
        if isinstance(devices, (str, int)) or hasattr(devices, "type"):
            raise ValueError(f"devices is {devices!r}; expected a list, such as [{devices!r}], or None.")
        self._devices = None if devices is None else list(devices)
        self._powercap = powercap
        self._pid: int | None = None
        self._closed = False
        self._open()

    def _open(self) -> None:
        # All of it is made anew: after a fork, a lock of the parent may never be released here.
        self._lock = threading.RLock()
        self._unsettled: OrderedDict[float, float] = OrderedDict()  # time_s of a reading: its boundary
        self._final: OrderedDict[float, Reading] = OrderedDict()
        self._sources: list[EnergySource] = open_sources(self._devices, self._powercap)
        self._opened = self._last = time.monotonic()
        for source in self._sources:
            source.mark(self._opened)
        self._pid = os.getpid()

    def _here(self) -> None:
        """Open the sources if this is a copy, or the child of a process that had opened them."""
        if self._pid != os.getpid():
            self._open()

    def read(self, wait: bool = True) -> Reading:
        """The energy since the meter was opened, up to the moment of the call.

        Args:
            wait: Whether to wait (at most one period of the slowest counter) until the reading is final.
                Without it the reading comes at once, with the unsettled edge in its error bound. Just after
                opening the ticks are not known yet: then it is up to three periods, and a board without a counter
                gives readings that `settle` makes final after 1.5 to 3 s.

        Returns:
            A cumulative reading; the difference of two is the window between them. Trouble with the hardware
            does not raise: a part that could not be read says so.

        Raises:
            RuntimeError: If the meter has been closed.
        """
        if self._closed:
            raise RuntimeError("this meter has been closed; open another with `open_meter()`.")
        self._here()
        with self._lock:
            # Two boundaries are never the same moment, so each can be told by its time.
            at = max(time.monotonic(), self._last + 1e-9 * max(1.0, self._last * 1e-6))
            self._last = at
            reading = Reading({}, at - self._opened, time.time())
            parts: dict[str, Part] = {}
            for source in self._sources:
                parts.update(source.mark(at))
            reading = Reading(parts, reading.time_s, reading.timestamp)
            if not reading.settled:
                self._unsettled[reading.time_s] = at
                while len(self._unsettled) > REMEMBERED:
                    self._unsettled.popitem(last=False)
        return self.settle(reading) if wait else reading

    def settle(self, reading: Reading, wait: bool = True) -> Reading:
        """The final form of a reading that was taken with `wait=False`.

        Args:
            reading: A reading of this meter, not a difference of two.
            wait: Whether to wait until it is final: at most one period of the slowest counter, and never
                longer than a second, even if the driver hangs. Without it, what is not final yet comes back
                as well as it is known by now.

        Returns:
            The reading with the same time; the same values however often it is asked for once it is final.
        """
        if reading.settled:
            return reading
        with self._lock:
            final = self._final.get(reading.time_s)
            at = self._unsettled.get(reading.time_s)
            if final is not None or at is None or self._pid != os.getpid():
                return reading if final is None else final
            sources = list(self._sources)
        parts = dict(reading.parts)
        for source in sources:
            for key, part in source.settle(at, wait).items():
                if not parts[key].settled:
                    parts[key] = part
        settled = Reading(parts, reading.time_s, reading.timestamp)
        if settled.settled:
            with self._lock:
                settled = self._final.setdefault(reading.time_s, settled)
                self._unsettled.pop(reading.time_s, None)
                while len(self._final) > REMEMBERED:
                    self._final.popitem(last=False)
        return settled

    def close(self) -> None:
        """Let go of the hardware; may be called twice. Readings taken before can still be settled."""
        self._closed = True
        if self._pid != os.getpid():
            return  # the handles are another process's
        for source in self._sources:
            source.close()

    def __enter__(self) -> HostMeter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"devices": self._devices, "powercap": self._powercap, "closed": self._closed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._devices = state["devices"]
        self._powercap = state["powercap"]
        self._closed = state["closed"]
        self._pid = None
        self._lock = threading.RLock()
        self._sources = []
        self._unsettled = OrderedDict()
        self._final = OrderedDict()
