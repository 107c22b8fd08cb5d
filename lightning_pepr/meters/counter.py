"""Energy counters that move in steps: boundaries between two ticks are interpolated."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from lightning_pepr.meters.base import Quality
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
    """

    def __init__(self, name: str, read: Callable[[], int], power: Callable[[], float] | None, limit: float) -> None:
        self._read, self._power, self._limit = read, power, limit
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
        """A period of the counter and a sample, or what any device is given."""
        return max(super().settling_s, 1.3 * self._clock.period if self._clock.ready else 0.0)

    def _run(self) -> None:
        begun = due = time.monotonic()
        while (boundaries := self._await(due)) is not None:
            self._look(boundaries)
            patience = LEARNING_S if self._clock.ready or not self._ticks else SLOW_LEARNING_S
            if self._learning and (self._ticks >= 10 or time.monotonic() - begun > patience):
                self._learning = False
                if not self._clock.ready:
                    self._fine = self._ticks > self._looks / 2
                    self._give_up()
            due = self._plan()

    def _look(self, boundaries: list[Boundary]) -> None:
        """Read the counter, for boundaries or to find a tick."""
        before = self._last
        sample = self._sample()
        if sample is not None and boundaries and sample.after - sample.before > HUNG_S:
            sample = self._sample()  # when, within that long call, was it read?
        if sample is None:
            self._fail(boundaries)
            return
        self._looks += 1
        if before is not None and sample.joules != before.joules:
            self._tick(before, sample)
        self._last = sample
        self._seen.append(sample)
        if boundaries:
            self._see_power()
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
        step = 0 if self._raw is None else raw - self._raw
        elapsed = 1.0 + after - self._read_at
        most = 2000.0 * elapsed * max(self._limit, self.powers.peak)  # mJ, with room to spare
        if step < 0 or step > most:
            self._lose("its energy counter went backwards" if step < 0 else "its energy counter leapt")
            # After a reload of the driver it counts from 0; what it shows then was drawn since.
            reloaded = self._raw is not None and raw < min(self._raw / 2, most)
            step = raw if reloaded else 0
            self._give_up()
            self._clock = self._clock if self._clock.ready else TickClock(every=True)
            self._last = None
        self._raw, self._read_at = raw, before
        self._total_mj += step
        self._reached = self._total_mj / 1e3
        return Sample(before, after, self._total_mj / 1e3)

    def _see_power(self) -> None:
        """Take note of the power."""
        if self._power is None:
            return
        try:
            self.powers.see(self._call(self._power)[0])
        except Exception:  # it only bounds the errors
            self._power = None

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
        period = clock.period if clock.ready else ASSUMED_PERIOD
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
        if self._waiting and time.monotonic() - self._waiting[0].when > max(2.5 * clock.period, 0.3):
            self._give_up()  # it has stopped ticking
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
