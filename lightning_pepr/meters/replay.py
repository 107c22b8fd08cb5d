"""A meter that plays a recorded trace, for tests without the hardware."""

from __future__ import annotations

import bisect
import csv
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lightning_pepr.errors import PePRError
from lightning_pepr.meters.base import Meter, Part, Quality, Reading


class ReplayMeter(Meter):
    """Plays what another meter has recorded, as if it happened now.

    It can stand wherever a meter can, such as `PePRCallback("val_acc", meter=ReplayMeter.load("trace.csv"))`.

    Args:
        times_s: Seconds since the beginning, ascending, the first 0.
        energies_j: For each part ("gpu:…", "cpu:…") its cumulative joules at these times, never falling.
        quality: The quality that its parts state.
        clock: The time in seconds; one of your own makes tests fast and exact.

    Raises:
        PePRError: If lengths differ, times do not ascend, an energy falls, or either is not finite.

    >>> now = 0.0
    >>> meter = ReplayMeter([0, 10], {"gpu:recorded": [0, 1500]}, clock=lambda: now)
    >>> a = meter.read()
    >>> now = 4.0
    >>> (meter.read() - a).energy_j
    600.0
    """

    def __init__(
        self,
        times_s: Sequence[float],
        energies_j: Mapping[str, Sequence[float]],
        quality: Quality = Quality.COUNTER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._times = [float(t) for t in times_s]
        for key, joules in energies_j.items():
            if not all(math.isfinite(j) for j in joules):
                raise PePRError(f"the energy of {key} is {joules!r}; expected finite joules.")
        self._energies = {key: [round(j * 1e6) for j in joules] for key, joules in energies_j.items()}
        if not all(map(math.isfinite, self._times)):
            raise PePRError(f"times_s is {times_s!r}; expected finite seconds.")
        if not self._times or any(b <= a for a, b in itertools.pairwise(self._times)):
            raise PePRError(f"times_s is {times_s!r}; expected at least one moment, each later than the one before.")
        for key, energies in self._energies.items():
            if len(energies) != len(self._times):
                raise PePRError(f"{key} has {len(energies)} energies; expected {len(self._times)}, one for each time.")
            if any(b < a for a, b in itertools.pairwise(energies)):
                raise PePRError(f"the energy of {key} falls; expected cumulative joules.")
        self._quality, self._clock = quality, clock
        self._late = 0  # readings after the end
        self._opened = clock()

    def read(self, wait: bool = True) -> Reading:
        """The recorded energy at this time; after the end of the trace it stays, as a lower bound."""
        now = self._clock() - self._opened
        over = now > self._times[-1]
        self._late += over
        reason = "the trace has ended" if over else ""
        parts = {
            # A window that is wholly after the end has a loss, too.
            key: Part(self._at(energies, now), self._quality, losses=self._late, reason=reason)
            for key, energies in self._energies.items()
        }
        return Reading(parts, now, time.time())

    def _at(self, energies: Sequence[int], now: float) -> int:
        index = bisect.bisect_right(self._times, now)
        if index == 0:
            return 0
        if index == len(self._times):
            return energies[-1] - energies[0]
        before, after = self._times[index - 1], self._times[index]
        step = energies[index] - energies[index - 1]
        return energies[index - 1] - energies[0] + int(step * (now - before) / (after - before))

    @classmethod
    def record(cls, meter: Meter, seconds: float, interval_s: float = 0.1) -> ReplayMeter:
        """Record another meter for some time; parts that it cannot measure are left out.

        Args:
            meter: What to record.
            seconds: For how long; the call takes that long.
            interval_s: Seconds between its readings.
        """
        readings = [meter.read()]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(interval_s)
            readings.append(meter.read(wait=False))
        settled = [meter.settle(reading) for reading in readings]
        first = settled[0]
        keys = [key for key in first.parts if all(r.parts[key].energy_uj is not None for r in settled)]
        times = [reading.time_s - first.time_s for reading in settled]
        energies = {key: [reading.parts[key].energy_j for reading in settled] for key in keys}
        return cls(times, energies, first.quality)

    def save(self, path: str | Path) -> None:
        """Write the trace as a CSV table: `time_s`, and the cumulative joules of each part."""
        with Path(path).open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["time_s", *self._energies])
            for index, moment in enumerate(self._times):
                table.writerow([moment, *(energies[index] / 1e6 for energies in self._energies.values())])

    @classmethod
    def load(
        cls, path: str | Path, quality: Quality = Quality.COUNTER, clock: Callable[[], float] = time.monotonic
    ) -> ReplayMeter:
        """Read a trace that `save` wrote.

        Raises:
            PePRError: If the file is not such a table.
        """
        with Path(path).open(newline="") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
        if len(header) < 2 or header[0] != "time_s":
            raise PePRError(f"{path} has the columns {header}; expected time_s and the joules of at least one part.")
        columns = list(zip(*[[float(value) for value in row] for row in rows], strict=True))
        if len(columns) != len(header):
            raise PePRError(f"{path} has no rows, or rows of a wrong length; expected {len(header)} numbers in each.")
        return cls(columns[0], dict(zip(header[1:], columns[1:], strict=True)), quality, clock)
