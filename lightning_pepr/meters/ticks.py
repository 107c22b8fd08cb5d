"""When a sensor updates: the period and the phase of its ticks, found by looking."""

from __future__ import annotations

import itertools
import math
from collections import deque

KEPT = 48
"""How many ticks are used to find the period."""

DRIFT = 1e-5
"""Relative error of the period, at the least: clocks drift."""

FINEST = 1e-4
"""Error of the moment of a tick in seconds, at the least: a reading takes time."""


class TickClock:
    """Predicts the ticks of a sensor that updates periodically, from ticks that were seen.

    Each tick that was seen came between two readings: after the one, and by the other. So it bounds when the next
    may come, and all of them together bound the period: what is kept is the interval of moments, and that of
    periods, which agree with everything seen. Where nothing agrees, ticks are not punctual: then a line is fitted
    through the latest of them, and the intervals are as wide as they scatter about it. After long without a tick
    being seen it is not sure any more how many were missed: then the phase is dropped, and the period kept.

    `every`: whether every tick shows, as those of a counter do; a power reading may stay the same.
    """

    def __init__(self, every: bool) -> None:
        self._every = every
        self._seen: deque[tuple[float, float]] = deque(maxlen=KEPT)  # before there is a period
        self._periods = (math.nan, math.nan)  # the shortest and the longest that agree
        self._phase: tuple[float, float] | None = None  # the latest tick: no earlier, no later
        self._number = 0  # of that tick
        self._ticks: deque[tuple[int, float, float]] = deque(maxlen=KEPT)  # seen narrowly: number, after, until
        self._anchor: tuple[int, float, float] | None = None  # an early tick: number, no earlier, no later
        self.jitter = 0.0  # how far single ticks were off the beat, in seconds

    @property
    def ready(self) -> bool:
        """Whether the period is known."""
        return not math.isnan(self._periods[0])

    @property
    def period(self) -> float:
        """Seconds between ticks; NaN if unknown."""
        return (self._periods[0] + self._periods[1]) / 2

    def see(self, after: float, until: float) -> None:
        """Take note that there was a tick after one moment and until another, and no other between them."""
        if not self.ready:
            self._seen.append((after, until))
            self._find_period()
        elif until - after < 1.5 * self.period:
            self._agree(after, until)

    def _find_period(self) -> None:
        """Find the period of which all gaps between the ticks seen are multiples, if there are enough of them."""
        narrowest = min(until - after for after, until in self._seen)
        seen = [(after, until) for after, until in self._seen if until - after <= 3 * narrowest + FINEST]
        moments = [(after + until) / 2 for after, until in seen]
        gaps = sorted(b - a for a, b in itertools.pairwise(moments))
        # Those of a sensor whose ticks do not all show may be multiples of the period.
        enough = len(seen) >= 3 and self._every and gaps[-1] - gaps[0] < 0.05 * gaps[0] + 2 * narrowest
        if (not enough and len(seen) < 6) or gaps[0] <= 0.0:
            return
        period = gaps[len(gaps) // 8]
        counts = (round((b - a) / period) for a, b in itertools.pairwise(moments))
        numbers = list(itertools.accumulate(counts, initial=0))
        period = (moments[-1] - moments[0]) / max(1, numbers[-1])
        off = [(m - moments[0]) / period - n for m, n in zip(moments, numbers, strict=True)]
        scatter = max(off) - min(off)
        if scatter > 0.3:
            if len(self._seen) == KEPT:
                self._seen.clear()
            return  # no period fits
        doubt = (2 * narrowest + scatter * period) / max(1, numbers[-1])
        self._periods = (period - doubt, period + doubt)
        self._number = numbers[-1]
        self._ticks = deque(((n, *moments) for n, moments in zip(numbers, seen, strict=True)), maxlen=KEPT)
        self._fit(*seen[-1])
        self._seen.clear()

    def _agree(self, after: float, until: float) -> None:
        """Narrow phase and period down to what agrees with a tick seen between two moments."""
        period = self.period
        if self._phase is not None and self.error_at((after + until) / 2) > period / 4:
            self._phase = None
        narrow = until - after <= period / 4
        if self._phase is None:
            if narrow:
                self._number, self._phase, self._anchor = 0, (after, until), (0, after, until)
                self._ticks.clear()
                self._ticks.append((0, after, until))
            return
        early, late = self._phase
        middle = (early + late) / 2
        # Which tick is it? The one predicted for between the two moments, or nearest to them.
        doubt = self.error_at(until)
        off = {}
        for count in range(math.floor((after - middle) / period), math.ceil((until - middle) / period) + 1):
            beat = middle + count * period
            off[count] = max(after - beat, beat - until, 0.0)
        if sum(distance <= doubt for distance in off.values()) > 1:
            return
        count = min(off, key=off.__getitem__)
        if count < 0:
            return
        drift = DRIFT * period * count
        early += count * self._periods[0] - drift
        late += count * self._periods[1] + drift
        self._number += count
        if narrow:
            self._ticks.append((self._number, after, until))
        early, late = max(early, after - self.jitter), min(late, until + self.jitter)
        self.jitter *= 0.999
        if early > late:
            self._fit(after, until)
            return
        self._phase = (early, late)
        number, first, last = self._anchor or (self._number, early, late)
        ticks = self._number - number
        if ticks >= 2:
            shortest = max(self._periods[0], (early - last - 2 * self.jitter) / ticks)
            longest = min(self._periods[1], (late - first + 2 * self.jitter) / ticks)
            if shortest > longest:
                self._fit(after, until)
                return
            slack = max(0.0, DRIFT * period - (longest - shortest) / 2)
            self._periods = (shortest - slack, longest + slack)
            if ticks >= 1000:
                self._anchor = (self._number, early, late)

    def _fit(self, after: float, until: float) -> None:
        """Fit a line through the latest ticks, which do not agree with any one beat."""
        ticks = list(self._ticks)
        count = len(ticks)
        if count < 3 or ticks[-1][0] == ticks[0][0]:
            self._phase = self._anchor = None
            self._agree(after, until)
            return
        base = (ticks[0][1] + ticks[0][2]) / 2  # near the moments, so that digits are not lost
        moments = [(a + u) / 2 - base for _, a, u in ticks]
        number, moment = sum(n for n, _, _ in ticks) / count, sum(moments) / count
        spread = sum((n - number) ** 2 for n, _, _ in ticks)
        slope = sum((n - number) * (m - moment) for (n, _, _), m in zip(ticks, moments, strict=True)) / spread
        beats = [base + moment + (n - number) * slope for n, _, _ in ticks]
        off = max(max(a - beat, beat - u, 0.0) for (_, a, u), beat in zip(ticks, beats, strict=True))
        squares = sum((base + m - beat) ** 2 for m, beat in zip(moments, beats, strict=True))
        # A few ticks may lie on a line by chance: each is unknown within its interval, whatever the scatter says.
        blur = sum((u - a) ** 2 for _, a, u in ticks) / (12 * count)
        deviation = math.sqrt(max(squares / max(1, count - 2), blur))
        self.jitter = min(max(self.jitter, 1.2 * off), self.period / 4)
        error = 3 * deviation / math.sqrt(spread) + DRIFT * slope
        self._periods = (slope - error, slope + error)
        beat = base + moment + (self._number - number) * slope
        error = 3 * deviation * math.sqrt(1 / count + (self._number - number) ** 2 / spread) + FINEST
        self._phase = (beat - error, beat + error)
        self._anchor = (self._number, *self._phase)

    def error_at(self, moment: float) -> float:
        """How far off the tick nearest to a moment may be from its prediction, in seconds; infinite if unknown."""
        if self._phase is None or not self.ready:
            return math.inf
        early, late = self._phase
        ticks = abs(moment - (early + late) / 2) / self.period
        half = (late - early) / 2 + ticks * ((self._periods[1] - self._periods[0]) / 2 + DRIFT * self.period)
        return half + self.jitter + FINEST

    def in_phase(self, moment: float) -> bool:
        """Whether the ticks about a moment can be predicted to well within a period."""
        return self.ready and self.error_at(moment) <= self.period / 4

    def _beat(self) -> float:
        return 0.0 if self._phase is None else (self._phase[0] + self._phase[1]) / 2

    def nearest(self, moment: float) -> float:
        """The predicted tick that is nearest to a moment."""
        return self._beat() + round((moment - self._beat()) / self.period) * self.period

    def last(self, moment: float) -> float:
        """The latest tick predicted for until a moment."""
        return self._beat() + math.floor((moment - self._beat()) / self.period) * self.period

    def following(self, moment: float) -> float:
        """The first tick predicted for after a moment."""
        return self.last(moment) + self.period

    def place(self, after: float, until: float) -> tuple[float, float]:
        """The tick that came after one moment and until another, and how far off that may be, in seconds."""
        early, late = after, until
        if self.ready and self._phase is not None:
            first = self.nearest(after)
            beats = (first, first + self.period, self.nearest(until))
            predicted = min(beats, key=lambda beat: max(after - beat, beat - until, 0.0))
            error = self.error_at(predicted)
            early, late = max(after, predicted - error), min(until, predicted + error)
            if early > late:  # it was further off the beat than any so far
                early, late = (
                    (after, min(until, after + error)) if predicted < after else (max(after, until - error), until)
                )
        return (early + late) / 2, (late - early) / 2
