"""When a sensor updates: the period and the phase of its ticks, found by looking."""

from __future__ import annotations

import itertools
import math
from collections import deque

KEPT = 48
"""How many ticks the clock is fitted to."""

WANDER = 1e-5
"""Relative error of the period below which it is never taken to be known: clocks drift."""

FINEST = 1e-4
"""Seconds below which the moment of a tick is never taken to be known: threads wake up late."""


class TickClock:
    """Predicts the ticks of a sensor that updates periodically, from ticks that were seen.

    Each tick that was seen lies between two readings, the one before it and the one after it. A line is fitted
    through ticks and their numbers, in which those seen narrowly weigh most. After long without a tick being seen
    the number of those missed is not sure any more: then the phase is forgotten, and the period kept.
    """

    def __init__(self) -> None:
        self.period = math.nan
        self._seen: deque[tuple[float, float]] = deque(maxlen=KEPT)  # moments and half widths, before there is a period
        self._ticks: deque[tuple[int, float, float]] = deque(maxlen=KEPT)  # numbers, moments, half widths
        self._period_error = math.inf
        self._scatter = FINEST
        self._origin = 0.0  # of tick number 0

    @property
    def ready(self) -> bool:
        """Whether the period is known."""
        return not math.isnan(self.period)

    @property
    def scatter(self) -> float:
        """How far single ticks are from the line, in seconds (1 σ)."""
        return self._scatter

    def see(self, after: float, until: float) -> None:
        """Take note that there was a tick after one moment and until another, and no other between them."""
        moment, width = (after + until) / 2, max((until - after) / 2, FINEST)
        if not self.ready:
            self._seen.append((moment, width))
            self._find_period()
            return
        if width > self.period / 4:
            return  # tells too little
        if self._ticks:
            number, last, _ = self._ticks[-1]
            if self._error_after(moment - last) > self.period / 4:
                self._ticks.clear()
            else:
                number += round((moment - last) / self.period)
                if number == self._ticks[-1][0]:
                    return  # the same one again
                self._ticks.append((number, moment, width))
                self._fit()
                return
        self._ticks.append((0, moment, width))
        self._origin = moment

    def _find_period(self) -> None:
        """Find the period of which all gaps between the ticks seen are multiples, if there are enough of them."""
        narrowest = min(width for _, width in self._seen)
        seen = [(moment, width) for moment, width in self._seen if width <= 3 * narrowest + FINEST]
        if len(seen) < 4:
            return
        moments = [moment for moment, _ in seen]
        gaps = sorted(b - a for a, b in itertools.pairwise(moments))
        if len(seen) < 6 and gaps[-1] > 1.5 * gaps[0]:
            return  # some ticks could not be told from their neighbours: wait for more
        period = gaps[len(gaps) // 8]
        self.period = period
        self._ticks.clear()
        number = 0
        for index, (moment, width) in enumerate(seen):
            if index:
                step = round((moment - moments[index - 1]) / period)
                if step == 0:
                    continue
                number += step
            self._ticks.append((number, moment, width))
        self._fit()
        if self._scatter > 0.15 * self.period or not 0.5 < self.period / period < 2.0:
            self.period = math.nan  # no period fits
            if len(self._seen) == KEPT:
                self._seen.clear()
        else:
            self._seen.clear()

    def _fit(self) -> None:
        """Fit the line, each tick weighing by how narrowly it was seen."""
        base = self._scatter**2
        weights = [1.0 / (width * width / 3 + base) for _, _, width in self._ticks]
        total = math.fsum(weights)
        first = self._ticks[0][1]  # near the moments, so that digits are not lost
        number = math.fsum(w * n for w, (n, _, _) in zip(weights, self._ticks, strict=True)) / total
        moment = math.fsum(w * (m - first) for w, (_, m, _) in zip(weights, self._ticks, strict=True)) / total
        spread = math.fsum(w * (n - number) ** 2 for w, (n, _, _) in zip(weights, self._ticks, strict=True))
        if spread * base < 1.0 and len(self._ticks) < 3:
            self._origin = first + moment - number * self.period
            return
        covered = math.fsum(
            w * (n - number) * (m - first - moment) for w, (n, m, _) in zip(weights, self._ticks, strict=True)
        )
        if self._ticks[-1][0] - self._ticks[0][0] >= 3:
            self.period = covered / spread
            squares = math.fsum(
                w * (m - first - moment - (n - number) * self.period) ** 2
                for w, (n, m, _) in zip(weights, self._ticks, strict=True)
            )
            self._scatter = max(FINEST, math.sqrt(squares / total))
            self._period_error = max(WANDER * self.period, math.sqrt(max(1.0, squares / len(weights)) / spread))
        self._origin = first + moment - number * self.period

    def _error_after(self, seconds: float) -> float:
        """How far off (2 σ) a prediction is, that long after the last tick seen."""
        if not self._ticks or not self.ready:
            return math.inf
        return 2.0 * math.hypot(self._scatter, abs(seconds) / self.period * self._period_error)

    def error_at(self, moment: float) -> float:
        """How far off (2 σ) the tick nearest to a moment may be from its prediction; infinite if unknown."""
        return self._error_after(moment - self._ticks[-1][1]) if self._ticks else math.inf

    def in_phase(self, moment: float) -> bool:
        """Whether the ticks about a moment can be predicted to well within a period."""
        return self.ready and self.error_at(moment) <= self.period / 4

    def nearest(self, moment: float) -> float:
        """The predicted tick that is nearest to a moment."""
        return self._origin + round((moment - self._origin) / self.period) * self.period

    def last(self, moment: float) -> float:
        """The latest tick predicted for until a moment."""
        return self._origin + math.floor((moment - self._origin) / self.period) * self.period

    def following(self, moment: float) -> float:
        """The first tick predicted for after a moment."""
        return self.last(moment) + self.period

    def place(self, after: float, until: float) -> tuple[float, float]:
        """The tick that came after one moment and until another, and how far off that is.

        What was predicted is taken if that is the sharper of the two.
        """
        middle, width = (after + until) / 2, (until - after) / 2
        if self.ready:
            predicted, error = self.nearest(middle), self.error_at(middle)
            if error < width:
                return min(max(predicted, after), until), error
        return middle, width
