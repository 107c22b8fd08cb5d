"""Energy counters that move in steps: boundaries between two ticks are interpolated."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from lightning_pepr.meters.agreement import STILL_PERIODS, STILL_S, CrossCheck
from lightning_pepr.meters.base import Part, Quality
from lightning_pepr.meters.power import PowerWatch
from lightning_pepr.meters.ticks import TickClock
from lightning_pepr.meters.watch import ASSUMED_PERIOD, LEARNING_S, Boundary, PowerRange, Watch

SLOW_LEARNING_S = 6.0
"""Seconds in which the thread looks for the ticks of a counter that ticks so rarely that `LEARNING_S` is too short."""

CLOSE = 0.001
"""Seconds between two looks at a counter while its tick is awaited."""

HUNG_S = 0.5
"""Seconds after which a call of the driver is taken to have hung."""


class Sample(NamedTuple):
    """One look at the counter: the moments before and after it, and the joules since the first look."""

    before: float
    after: float
    joules: float


class CounterWatch(Watch):
    """Settles boundaries by the ticks of an energy counter.

    A counter that moves every 20 to 100 ms tells the energy up to its last tick. For a boundary the thread reads
    it at once, finds the moment of the next tick, and interpolates between that tick and the one before,
    which takes the power within one tick for constant. Between boundaries it sleeps. `read` gives millijoules; `power`
    and `limit`, in watts, bound the errors.

    A counter that cannot be true is not believed: one that stands still while the board draws power, or falls by much
    again and again. What it has counted stays, as a lower bound, and a `PowerWatch` goes on from there.

    Args:
        name: Of the thread.
        read: The counter, in millijoules.
        power: The power in watts, if it can be read.
        limit: The board's power limit in watts.
        ceiling: Watts that it cannot exceed; by default twice the limit.
        window: Seconds over which the power is averaged, as for `PowerWatch`.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], int],
        power: Callable[[], float] | None,
        limit: float,
        ceiling: float = 0.0,
        window: float | None = None,
    ) -> None:
        self._name, self._read, self._power, self._limit, self._window = name, read, power, limit, window
        self._ceiling = max(ceiling, 2 * limit)
        self._check = CrossCheck()
        self._lags = ""  # why it is taken to count too little
        self._below = False  # it fell, and has not come up again to where it was
        self._resets = 0
        self._successor: tuple[Part, PowerWatch] | None = None  # what was counted by then, and what goes on
        self._clock = TickClock(every=True)
        self._raw: int | None = None
        self._read_at = time.monotonic()
        self._total_mj = 0
        self._last: Sample | None = None
        self._ticks = 0  # seen since opening
        self._looks = 0
        self._learning = True
        self._trouble = ""
        self._fine = False  # moves more often than one can look
        self._spans: dict[Boundary, tuple[Sample, Sample]] = {}  # the samples about the tick after a boundary
        self._seen: deque[Sample] = deque(maxlen=64)
        super().__init__(name, Quality.COUNTER, PowerRange(limit, sure=2))

    @property
    def settling_s(self) -> float:
        """What any device is given, or what a slow counter needs to be seen standing still."""
        if self._successor is not None:
            return self._successor[1].settling_s
        return max(super().settling_s, 1.1 * self._patience_s + 0.1)

    @property
    def _patience_s(self) -> float:
        """How long a tick is awaited."""
        return max(1.05 * STILL_PERIODS * self._clock.period, 1.05 * STILL_S) if self._clock.ready else 0.0

    def post(self, at: float) -> Boundary:
        """Ask for a boundary; what goes on from the counter answers it, if the counter is not believed any more."""
        return super().post(at) if self._successor is None else self._successor[1].post(at)

    def patience(self, deadline: float) -> float:
        """How long to wait for an answer until a deadline: not at all while the driver hangs."""
        return super().patience(deadline) if self._successor is None else self._successor[1].patience(deadline)

    def part(self, at: float, deadline: float) -> Part:
        """The energy up to a boundary, final if it is by the deadline, of `time.monotonic`."""
        if self._successor is None or at in self._boundaries:
            return super().part(at, deadline)
        counted, successor = self._successor
        part = successor.part(at, deadline)
        if part.energy_uj is None:
            return part
        return msgspec.structs.replace(
            part,
            energy_uj=(counted.energy_uj or 0) + part.energy_uj,
            begin_j=counted.begin_j,
            drift_j=counted.drift_j + counted.end_j + part.begin_j + part.drift_j,
            losses=counted.losses + part.losses,
            reason=part.reason or counted.reason,
            fallback=counted.reason,
        )

    def close(self, deadline: float) -> None:
        """Stop, with all boundaries settled as well as they can be; may be called twice."""
        super().close(deadline)
        if self._successor is not None:
            self._successor[1].close(deadline)

    def _run(self) -> None:
        begun = due = time.monotonic()
        while (boundaries := self._await(due)) is not None:
            self._look(boundaries)
            patience = LEARNING_S if self._clock.ready or not self._ticks else SLOW_LEARNING_S
            if self._learning and (self._ticks >= 10 or time.monotonic() - begun > patience):
                self._learning = False
                self._lags = "" if self._window else self._check.lags()
                self._doubt_now()
                if not self._clock.ready:
                    self._fine = self._ticks > self._looks / 2
                    self._give_up()
            due = self._plan()

    def _look(self, boundaries: list[Boundary]) -> None:
        """Read the counter, for boundaries or to find a tick."""
        if self._successor is not None:  # they were posted just before it took over
            for boundary in self._take(boundaries):
                self._settle(boundary, self._floor, 0.0)
            return
        before = self._last
        sample = self._sample()
        if sample is not None and boundaries and sample.after - sample.before > HUNG_S:
            sample = self._sample()  # when, within that long call, was it read?
        if sample is None:
            self._fail(boundaries)
            return
        self._looks += 1
        if before is not None and self._last is before and sample.joules != before.joules:
            self._tick(before, sample)
            if self._learning and self._check.is_due(sample.after) and (watts := self._watts()) is not None:
                self._check.compare(sample.after, sample.joules, watts)
        self._last = sample
        self._seen.append(sample)
        if boundaries:
            if (watts := self._watts()) is not None:
                self.powers.see(watts)
            if self._lags:
                self._lose(self._lags)
            if self._doubt(boundaries):
                return
        for boundary in self._take(boundaries):
            self._answer(boundary, sample.joules, (sample.before + sample.after) / 2)
            if self._fine:
                self._finish(boundary, *self._guess(boundary))

    def _sample(self) -> Sample | None:
        """Read the counter; None if it cannot be read."""
        try:
            value, before, after = self._call(self._read)
        except Exception as error:
            self._trouble = f"its energy counter cannot be read: {error}"
            return None
        raw = int(value)
        self._check.look(before, after, raw)
        step = 0 if self._raw is None else raw - self._raw
        a_second = 1000.0 * max(self._ceiling, 2 * self.powers.peak)  # mJ, with room to spare
        most = a_second * (1.0 + after - self._read_at)
        if step < 0 or step > most or self._below:
            self._lose("its energy counter leapt" if step > most else "its energy counter went backwards")
            # After a reload of the driver it counts from 0; what it shows then was drawn since.
            reloaded = self._raw is not None and step < -a_second and raw < min(self._raw / 2, most)
            # It may come back from a short fall at any time, and that is no energy: it counts from where it was.
            self._below = -a_second <= step < 0
            self._resets += step < -a_second
            step = raw if reloaded else 0 if step > most else max(step, 0)
            self._give_up()
            self._clock = self._clock if self._clock.ready else TickClock(every=True)
            self._last = None
        if not self._below:
            self._raw, self._read_at = raw, before
        self._total_mj += step
        self._reached = self._total_mj / 1e3
        return Sample(before, after, self._total_mj / 1e3)

    def _watts(self) -> float | None:
        """The power; None if there is none."""
        if self._power is None:
            return None
        try:
            return self._call(self._power)[0]
        except Exception:  # it only bounds the errors, and may be there the next time
            return None

    def _doubt_now(self) -> None:
        """Look once more whether the counter can be true."""
        if self._sample() is not None:
            self._doubt([])

    def _doubt(self, boundaries: Sequence[Boundary]) -> bool:
        """Stop believing the counter if it cannot be true, and let the power go on from here; whether it does."""
        reason = self._check.stands_still(self._clock.period, self._watts)
        if self._resets > 1:
            reason = "its energy counter went backwards again and again"
        if not reason or self._power is None:
            if reason:
                self._lose(reason)
            return False
        self._lose(f"{reason}; from there on the power is added up")
        successor = PowerWatch(self._name, self._power, self._limit, self._window)
        successor.post(time.monotonic())
        for boundary in self._take(boundaries):
            self._answer(boundary, self._reached, time.monotonic())
        self._learning, self._last = False, None
        with self._lock:
            self._give_up()
            self._lose(self._reason)  # of the window that begins there, until the power is read
            self._successor = self._make(self._reached, 0.0, settled=True), successor
        return True

    def _tick(self, before: Sample, after: Sample) -> None:
        """Settle boundaries by a tick, or several, between two samples."""
        clock = self._clock
        self._ticks += 1
        if not clock.ready or after.after - before.before < 0.9 * clock.period:
            clock.see(before.before, after.after)
        for boundary in self._waiting:
            self._spans.setdefault(boundary, (before, after))
        if not clock.ready:
            return
        if after.after - before.before < 1.5 * clock.period:
            self.powers.see((after.joules - before.joules) / clock.period)
        while self._waiting:
            boundary = self._waiting[0]
            self._finish(boundary, *self._interpolate(boundary, *self._spans[boundary]))

    def _interpolate(self, boundary: Boundary, before: Sample, after: Sample) -> tuple[float, float]:
        """The joules at a boundary, and their error, by the ticks before and after it."""
        clock, period = self._clock, self._clock.period
        if after.after - before.before < 1.5 * period:
            late, blur = clock.place(before.before, after.after)
            early = late - period
            if clock.in_phase(early):  # that tick, which was not seen, is off the beat by itself
                early = min(clock.nearest(early), late - period / 2)
                blur = max(blur, clock.error_at(early))
            else:
                blur += clock.jitter
            span = late - early
        else:  # several went by, because a call took long
            late = clock.last(after.after)
            ticks = max(1, round((late - clock.last(before.before)) / period))
            blur = min(period, clock.error_at(after.after))
            span = ticks * period
            early = late - span
        joules = after.joules - boundary.value
        mean = joules / span
        blurred = max(mean, self.powers.peak) * blur + 1e-3  # the counter's own step is 1 mJ
        if boundary.at >= early:
            share = min(1.0, (boundary.at - early) / span)
            return boundary.value + share * joules, self.powers.between(joules, span, share) + blurred
        behind = early - boundary.at
        known = next((sample for sample in reversed(self._seen) if sample.after < boundary.at), None)
        if behind < period or known is None:
            # The tick came between the boundary and the look at the counter.
            error = (max(mean, self.powers.high) - min(mean, self.powers.low)) * behind
            return boundary.value - mean * behind, error + blurred
        # The look came much later, after a call that hung: all that is known is what there was before.
        joules, span = boundary.value - known.joules, early - known.after
        share = (boundary.at - known.after) / span
        blurred += max(mean, self.powers.peak) * period  # that was of the tick before it
        return known.joules + share * joules, self.powers.between(joules, span, share) + blurred

    def _guess(self, boundary: Boundary) -> tuple[float, float]:
        """The joules at a boundary by the tick before it alone."""
        clock = self._clock
        low, high, power = (self.powers.low, self.powers.high, self.powers.latest)
        if self._fine:
            late = boundary.when - boundary.at
            return boundary.value - power * late, high * (late + 2 * CLOSE)
        period = clock.period if clock.ready else max(ASSUMED_PERIOD, self._check.still_s(boundary.when))
        if boundary in self._spans:
            before, after = self._spans[boundary]
            left = max(0.0, (before.before + after.after) / 2 - boundary.at)
            joules = max(boundary.value, after.joules - power * left)
            return joules, max(after.joules - boundary.value, high * (after.after - before.before))
        if clock.in_phase(boundary.when):
            passed, blur = boundary.at - clock.last(boundary.when), clock.error_at(boundary.when)
            if abs(clock.nearest(boundary.when) - boundary.when) < blur:
                blur = period  # before that tick, or after it?
            return boundary.value + power * passed, max(high - power, power - low) * abs(passed) + high * blur
        return boundary.value + power * period / 2, max(high - power / 2, power / 2) * period

    def _finish(self, boundary: Boundary, joules: float, error: float) -> None:
        """Make a boundary that waited final."""
        with self._lock:
            if boundary in self._waiting:
                self._waiting.remove(boundary)
        self._spans.pop(boundary, None)
        self._settle(boundary, joules, error)

    def _give_up(self) -> None:
        """Settle the boundaries that wait for a tick which is not to be seen."""
        while self._waiting:
            self._finish(self._waiting[0], *self._guess(self._waiting[0]))

    def _fail(self, boundaries: list[Boundary]) -> None:
        """The counter cannot be read: what was counted stays, what comes is missing."""
        self._give_up()
        self._last = None
        self._learning = False
        for boundary in self._take(boundaries):
            self._settle_lost(boundary, self._trouble, self._counted())

    def _plan(self) -> float:
        """When to look next; infinite if nothing is awaited."""
        clock, last = self._clock, self._last
        if last is None or (not self._learning and not self._waiting):
            return math.inf
        if not clock.ready:
            if self._learning:
                return last.after + max(CLOSE, 4 * (last.after - last.before))
            if time.monotonic() - self._waiting[0].when > 3 * ASSUMED_PERIOD:
                self._give_up()
                return math.inf
            return last.after + ASSUMED_PERIOD / 3
        if self._waiting and time.monotonic() - self._waiting[0].when > self._patience_s:
            self._doubt_now()
            watts = self._watts() or 0.0  # by which what it may have missed is bounded
            while self._waiting:
                boundary = self._waiting[0]
                joules, error = self._guess(boundary)
                self._finish(boundary, joules, error + watts * self._check.unsure_s(boundary.at))
            return self._plan()
        if not clock.in_phase(last.after + clock.period):
            return last.after + clock.period / 9
        doubt = max(clock.error_at(last.after + clock.period), CLOSE)
        tick = clock.nearest(last.after)
        spread = min(doubt, clock.period / 8)
        if tick + 4 * spread <= last.after + CLOSE / 5:
            tick += clock.period
        points = (tick - doubt, tick, tick + spread, tick + 2 * spread, tick + 4 * spread)
        return next(point for point in points if point > last.after + CLOSE / 5)
