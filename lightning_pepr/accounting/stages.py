"""Splits what a meter reads among the stages of a run, so that the stages add up to the whole exactly."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lightning_pepr.meters.base import Meter, Part, Quality, Reading


@dataclass(frozen=True, slots=True)
class Spent:
    """Energy of each device and wall time of one stage, or of several together."""

    parts: Mapping[str, Part] = field(default_factory=dict)
    time_ns: int = 0

    @property
    def reading(self) -> Reading:
        """The energy as one reading, which knows its sum, error and quality."""
        return Reading(parts=self.parts, time_s=self.time_ns / 1e9)

    @property
    def energy_uj(self) -> int | None:
        """Energy of all devices in microjoules; None if there is none, or one was not measured."""
        known = [part.energy_uj for part in self.parts.values() if part.energy_uj is not None]
        return sum(known) if known and len(known) == len(self.parts) else None

    @property
    def reason(self) -> str:
        """What was lost or could not be measured, in any part; empty if nothing was."""
        return "; ".join(dict.fromkeys(part.reason for part in self.parts.values() if part.reason))

    def plus(self, later: Spent, joined: bool = False) -> Spent:
        """Both together. `joined` if the later began where this one ended, so that this edge's uncertainty cancels."""
        parts = dict(self.parts)
        for key, part in later.parts.items():
            parts[key] = _add(parts[key], part, joined) if key in parts else part
        return Spent(parts, self.time_ns + later.time_ns)


@dataclass(slots=True)
class _Boundary:
    at_ns: int
    reading: Reading


@dataclass(slots=True)
class _Window:
    stage: str
    begin: _Boundary
    end: _Boundary
    joined: bool  # to the window before it

    def spent(self) -> Spent:
        return Spent((self.end.reading - self.begin.reading).parts, self.end.at_ns - self.begin.at_ns)


class Ledger:
    """Reads a meter wherever a stage ends and the next begins: one reading, shared by both.

    A boundary does not wait for the next tick: it is settled at a later one, and until then its uncertainty is in the
    error. If the meter raises, what it had read so far is kept and the loss is marked.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.stage: str | None = None  # the one that is running; None while nothing is counted
        self._last: _Boundary | None = None
        self._windows: list[_Window] = []  # those that are not settled yet
        self._stages: dict[str, Spent] = {}
        self._total = Spent()
        self._counting = False  # whether the window before was counted, so that the next one joins it

    def switch_stage(self, stage: str | None, wait: bool = False) -> None:
        """End the running stage here and begin another; None counts nothing from here on."""
        boundary = self._read(wait)
        if self.stage is not None and self._last is not None:
            self._windows.append(_Window(self.stage, self._last, boundary, joined=self._counting))
        self._counting = self.stage is not None
        self.stage, self._last = stage, boundary
        self._fold()

    def leave_out(self) -> None:
        """Count nothing of what has been since the last boundary; the running stage goes on."""
        stage, self.stage = self.stage, None
        self.switch_stage(stage)

    def stages(self) -> dict[str, Spent]:
        """What each stage has cost up to the last boundary."""
        stages = dict(self._stages)
        for window in self._windows:
            stages[window.stage] = stages.get(window.stage, Spent()).plus(window.spent())
        return stages

    def total(self) -> Spent:
        """What all stages together have cost up to the last boundary."""
        total = self._total
        for window in self._windows:
            total = total.plus(window.spent(), joined=window.joined)
        return total

    def _read(self, wait: bool) -> _Boundary:
        at_ns = time.monotonic_ns()
        try:
            reading = self._meter.read(wait=wait)
        except Exception as error:
            # A user's own meter may raise; training must not feel it.
            parts = self._last.reading.parts if self._last else {"meter": Part(None, Quality.UNAVAILABLE)}
            reason = f"the meter raised {type(error).__name__}: {error}"
            reading = Reading(_lost(parts, reason))
        if self._last is not None and reading.parts.keys() != self._last.reading.parts.keys():
            # What is gone was lost, what is new counts from here.
            parts = _lost(self._last.reading.parts, "the meter no longer reports it")
            reading = replace(reading, parts={key: reading.parts.get(key, part) for key, part in parts.items()})
        return _Boundary(at_ns, reading)

    def _fold(self) -> None:
        """Settle what can be settled by now, and add it to the totals."""
        while self._windows:
            window = self._windows[0]
            for boundary in (window.begin, window.end):
                if not boundary.reading.settled:
                    boundary.reading = self._settled(boundary.reading)
            if not (window.begin.reading.settled and window.end.reading.settled):
                return
            spent = window.spent()
            self._stages[window.stage] = self._stages.get(window.stage, Spent()).plus(spent)
            self._total = self._total.plus(spent, joined=window.joined)
            del self._windows[0]

    def _settled(self, reading: Reading) -> Reading:
        try:
            settled = self._meter.settle(reading, wait=False)
        except Exception:
            # The uncertainty of the boundary stays in the error.
            return Reading({k: replace(p, settled=True) for k, p in reading.parts.items()}, reading.time_s)
        return settled if settled.parts.keys() == reading.parts.keys() else reading


def _add(first: Part, second: Part, joined: bool) -> Part:
    known = first.energy_uj is not None and second.energy_uj is not None
    return Part(
        energy_uj=(first.energy_uj or 0) + (second.energy_uj or 0) if known else None,
        quality=Quality.worst(first.quality, second.quality),
        begin_j=first.begin_j if joined else first.begin_j + second.begin_j,
        end_j=second.end_j if joined else first.end_j + second.end_j,
        drift_j=first.drift_j + second.drift_j,
        losses=first.losses + second.losses,
        reason=second.reason or first.reason,
        gain=max(first.gain, second.gain),
        settled=first.settled and second.settled,
    )


def _lost(parts: Mapping[str, Part], reason: str) -> dict[str, Part]:
    return {key: replace(part, losses=part.losses + 1, reason=reason) for key, part in parts.items()}
