"""Whether an energy counter and the power of the same board can both be true."""

from __future__ import annotations

import math
from collections.abc import Callable

STILL_S = 0.4
"""Seconds without a tick, and at least `STILL_PERIODS`, after which a counter of known period stands still."""

STILL_PERIODS = 2.5

STILL_UNTIMED_S = 1.45
"""The same where the period is not known: the slowest counters tick once a second. A little less than is learnt for."""

STILL_J = 15.0
"""Joules by the power that a counter cannot have missed within that time: an idle board may tick more slowly."""

COARSE_J = 2.0
"""The same after `STILL_UNTIMED_S`: no counter moves in larger steps than one joule."""

APART = 8.0
"""The power may be this often the counter's mean: boards sample it for a quarter of the time and less."""

COMPARED_S = 0.5
"""Seconds, and `COMPARED` ticks, over which a counter must have been seen to compare its mean with the power."""

COMPARED = 5

PAUSE_S = 0.05
"""Seconds between two readings of the power while the counter's ticks are looked for."""


class CrossCheck:
    """Holds an energy counter against the power, at looks that are taken anyway.

    Only what no honest board does counts. Its power at a boundary says nothing about the time before: it may have
    been a moment's, or the mean of the last second. But every board draws something, so that its counter ticks; and
    while the counter's ticks are looked for, its mean cannot be an eighth of the least power that was read.
    """

    def __init__(self) -> None:
        self._value: float | None = None
        self._left = math.inf  # the latest look at which it had the value before,
        self._moved = 0.0  # the first by which it had its value,
        self._until = math.inf  # and the latest at which it still had it
        self._compared: list[tuple[float, float, float]] = []  # moments, joules, watts

    def look(self, before: float, after: float, value: float) -> None:
        """Take note of what the counter showed between two moments."""
        if value != self._value:
            self._value, self._left, self._moved = value, self._until, after
        self._until = before

    def still_s(self, at: float) -> float:
        """For how many seconds until a moment it has shown the same."""
        return at - self._moved

    def unsure_s(self, at: float) -> float:
        """For how many seconds until a moment it may have stood still, if it does so now."""
        return max(0.0, at - min(self._left, self._moved))

    def is_due(self, now: float) -> bool:
        """Whether the power is to be read for `compare`."""
        return not self._compared or now - self._compared[-1][0] >= PAUSE_S

    def compare(self, moment: float, joules: float, watts: float) -> None:
        """Take note of the counter's joules and of the power at one of its ticks."""
        self._compared.append((moment, joules, watts))

    def stands_still(self, period: float, power: Callable[[], float | None]) -> str:
        """Why the counter cannot be true because it stands still; empty if it can.

        Args:
            period: Seconds between its ticks; NaN if unknown.
            power: Reads the power in watts, if there is one. It is called only for a counter that has not moved.
        """
        still = self._until - self._moved
        if still < (STILL_UNTIMED_S if math.isnan(period) else max(STILL_S, STILL_PERIODS * period)):
            return ""
        watts = power()
        if watts is None:
            return f"its energy counter stands still for {still:.1f} s" if still >= STILL_UNTIMED_S else ""
        if watts * still < (COARSE_J if still >= STILL_UNTIMED_S else STILL_J):
            return ""
        return f"its energy counter stands still while its power reads {watts:.0f} W"

    def lags(self) -> str:
        """Why the counter's mean cannot be true beside the power; empty if it can."""
        compared = self._compared
        if len(compared) < COMPARED or compared[-1][0] - compared[0][0] < COMPARED_S:
            return ""
        mean = (compared[-1][1] - compared[0][1]) / (compared[-1][0] - compared[0][0])
        least = min(watts for _, _, watts in compared)
        if mean * APART >= least:
            return ""
        return f"its energy counter says {mean:.1f} W while its power reads at least {least:.0f} W"
