"""Splits what a meter reads among the stages of a run, so that the stages add up to the whole exactly."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from lightning_pepr.meters.base import Meter, Part, Quality, Reading

METERING = "metering"
"""The stage of what metering itself takes: a share of the stages that it interrupts."""


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
    own_ns: int  # how long metering itself has run in it

    def spent(self) -> Spent:
        return Spent((self.end.reading - self.begin.reading).parts, self.end.at_ns - self.begin.at_ns)

    def by_stage(self) -> dict[str, Spent]:
        """What the stage has spent, and metering itself: its time as measured, and as large a share of the energy."""
        whole = self.spent()
        own_ns = min(self.own_ns, whole.time_ns)
        if not own_ns:
            return {self.stage: whole}
        parts, own = {}, {}
        for key, part in whole.parts.items():
            energy = None if part.energy_uj is None else part.energy_uj * own_ns // whole.time_ns
            error = 0.0 if energy is None else part.error_j * own_ns / whole.time_ns
            own[key] = msgspec.structs.replace(part, energy_uj=energy, begin_j=0.0, end_j=0.0, drift_j=error)
            parts[key] = msgspec.structs.replace(
                part, energy_uj=None if energy is None else (part.energy_uj or 0) - energy
            )
        return {self.stage: Spent(parts, whole.time_ns - own_ns), METERING: Spent(own, own_ns)}


class Ledger:
    """Reads a meter wherever a stage ends and the next begins: one reading, shared by both.

    A boundary does not wait for the next tick: it is settled at a later one, and until then its uncertainty is in the
    error. If the meter raises, what it had read so far is kept and the loss is marked.

    What happens between `enter` and `leave` is metering itself, and is taken out of the stage that runs.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.stage: str | None = None  # the one that is running; None while nothing is counted
        self._last: _Boundary | None = None
        self._windows: list[_Window] = []  # those that are not settled yet
        self._sums: tuple[dict[str, Spent], Spent] | None = None  # with the first windows of these; None: to add anew
        self._summed = 0  # how many these are
        self._stages: dict[str, Spent] = {}
        self._total = Spent()
        self._counting = False  # whether the window before was counted, so that the next one joins it
        self._entered_ns: int | None = None  # since when metering itself runs
        self._own_ns = 0  # how long it has run since the last boundary

    def enter(self) -> bool:
        """Metering itself begins; False if it had begun before, so that the caller need not `leave`."""
        if self._entered_ns is not None:
            return False
        self._entered_ns = time.monotonic_ns()
        return True

    def leave(self) -> None:
        """Metering itself ends."""
        if self._entered_ns is not None:
            self._own_ns += time.monotonic_ns() - self._entered_ns
            self._entered_ns = None

    @contextlib.contextmanager
    def left(self) -> Iterator[None]:
        """Leave metering for a while, if it runs."""
        entered = self._entered_ns is not None
        self.leave()
        try:
            yield
        finally:
            if entered:
                self._entered_ns = time.monotonic_ns()

    def _own_until(self, at_ns: int) -> int:
        """How long metering itself has run since the last boundary, up to a new one."""
        own_ns, self._own_ns = self._own_ns, 0
        if self._entered_ns is not None:
            own_ns += at_ns - self._entered_ns
            self._entered_ns = at_ns
        return own_ns

    def switch_stage(self, stage: str | None, wait: bool = False) -> None:
        """End the running stage here and begin another; None counts nothing from here on."""
        boundary = self._read(wait)
        own_ns = self._own_until(boundary.at_ns)
        if self.stage is not None and self._last is not None:
            self._windows.append(_Window(self.stage, self._last, boundary, self._counting, own_ns))
        self._counting = self.stage is not None
        self.stage, self._last = stage, boundary
        self._fold()

    def leave_out(self) -> None:
        """Count nothing of what has been since the last boundary; the running stage goes on."""
        stage, self.stage = self.stage, None
        self.switch_stage(stage)

    def stages(self) -> dict[str, Spent]:
        """What each stage has cost up to the last boundary."""
        return dict(self._sum()[0])

    def total(self) -> Spent:
        """What all stages together have cost up to the last boundary."""
        return self._sum()[1]

    def _sum(self) -> tuple[dict[str, Spent], Spent]:
        if self._sums is None:
            self._sums, self._summed = (dict(self._stages), self._total), 0
        stages, total = self._sums
        for window in self._windows[self._summed :]:
            _add_to(stages, window)
            total = total.plus(window.spent(), joined=window.joined)
        self._sums, self._summed = (stages, total), len(self._windows)
        return self._sums

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
                    before, boundary.reading = boundary.reading, self._settled(boundary.reading)
                    if boundary.reading != before:
                        self._sums = None
            if not (window.begin.reading.settled and window.end.reading.settled):
                return
            _add_to(self._stages, window)
            self._total = self._total.plus(window.spent(), joined=window.joined)
            self._sums = None
            del self._windows[0]

    def _settled(self, reading: Reading) -> Reading:
        try:
            settled = self._meter.settle(reading, wait=False)
        except Exception:
            # The uncertainty of the boundary stays in the error.
            return Reading(
                {k: msgspec.structs.replace(p, settled=True) for k, p in reading.parts.items()}, reading.time_s
            )
        return settled if settled.parts.keys() == reading.parts.keys() else reading


def _add_to(stages: dict[str, Spent], window: _Window) -> None:
    for stage, spent in window.by_stage().items():
        stages[stage] = stages.get(stage, Spent()).plus(spent)


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
        shared=first.shared or second.shared,
    )


def _lost(parts: Mapping[str, Part], reason: str) -> dict[str, Part]:
    return {key: msgspec.structs.replace(part, losses=part.losses + 1, reason=reason) for key, part in parts.items()}
