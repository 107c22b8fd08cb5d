"""Energy where there is no counter: the power is sampled all the time and summed up."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable

from lightning_pepr.meters.base import Quality
from lightning_pepr.meters.ticks import TickClock
from lightning_pepr.meters.watch import ASSUMED_PERIOD, LEARNING_S, Boundary, PowerRange, Watch

CLOSE = 0.002
"""Seconds between two looks at the power while its updates are looked for."""

LOOSE = 0.03
"""Seconds between two looks at a power whose updates are not known, because it is steady."""

TRACKING_S = 0.1
"""Seconds after which it is looked again when exactly updates come."""

GAP_S = 1.0
"""Seconds without a reading after which the energy between is not made up, but counts as lost."""


class PowerWatch(Watch):
    """Sums up power readings, each for the update interval that ended when it appeared.

    A reading stays the same until the next update, and is the mean power over the interval that the update
    ended. So the thread finds out when updates come, and reads the power once after each of them: boxes of
    the right width at the right place, where trapezoids or readings at other times are several percent off. While
    the power is steady updates cannot be seen, and do not matter. Powers are in watts. A `window` is the seconds over
    which the board averages its power, if that is not the update interval: boundaries are the less certain for it.
    """

    def __init__(self, name: str, read: Callable[[], float], limit: float, window: float | None = None) -> None:
        self._read, self._limit, self._window = read, limit, window
        self._clock = TickClock(every=False)
        self._joules = 0.0
        self._until: float | None = None  # the energy is summed up to then
        self._watts = 0.0  # the power just before
        self._early: list[tuple[float, float]] = []  # moments and readings before the updates are known
        self._rough = 0.0  # joules by them
        self._changes: deque[float] = deque(maxlen=6)
        self._looked: float | None = None  # when the latest power was read
        self._updates = 0
        self._noted = 0.0  # when the latest power was
        self._strange = 0  # changes where no update was expected
        super().__init__(name, Quality.INTEGRATED, PowerRange(limit, sure=4))

    def _run(self) -> None:
        self._learn()
        while not self._stopping:
            if self._clock.ready and self._strange < 3:
                self._follow()
            else:
                self._poll_untimed()

    def _pause(self, until: float) -> bool:
        """Sleep, but for boundaries, which are answered at once; False if the watch is being stopped."""
        while boundaries := self._await(until):
            for boundary in self._take(boundaries):
                self._answer(boundary, self._joules, time.monotonic())
        return boundaries is not None

    def _look(self) -> tuple[float, float, float] | None:
        """Read the power: watts, and the moments before and after; None if it cannot be read."""
        try:
            watts, before, after = self._call(self._read)
        except Exception as error:
            self._fail(f"its power cannot be read: {error}")
            return None
        # A power counts again each half period, so that one must outlast an update to be sure.
        if watts != self.powers.latest or after - self._noted >= ASSUMED_PERIOD / 2:
            self.powers.see(watts)
            self._noted = after
        return watts, before, after

    def _learn(self) -> None:
        """Find out when updates come, and then sum up what was read meanwhile."""
        begun = time.monotonic()
        last: tuple[float, float, float] | None = None
        seen, patience = 0, LEARNING_S
        while not self._stopping and time.monotonic() - begun < patience:
            look = self._look()
            if look is None:
                if not self._pause(time.monotonic() + LOOSE):
                    return
                continue
            watts, before, after = look
            self._rough += watts * (after - self._early[-1][0]) if self._early else 0.0
            self._early.append((after, watts))
            if last is not None and watts != last[0]:
                self._clock.see(last[1], after)
                seen += 1
                if self._clock.ready and seen >= 8:
                    break
                # Updates that have been seen but are not understood yet are given twice the time.
                patience = LEARNING_S if self._clock.ready else 2 * LEARNING_S
            last = look
            if not self._pause(after + max(CLOSE, 4 * (after - before))):
                break
        self._strange = 0
        self._catch_up()

    def _catch_up(self) -> None:
        """Sum up what was read while the updates were looked for."""
        if not self._early:
            return
        begin, end = self._early[0][0], self._early[-1][0]
        if self._until is None:
            self._until = begin
        if self._clock.ready:
            period, tick = self._clock.period, self._clock.following(begin)
            index = 0
            while tick + period / 2 <= end:
                while self._early[index][0] < tick + period / 2:
                    index += 1
                self._box(tick, self._early[index][1])
                tick += period
        else:
            for moment, watts in self._early[1:]:
                self._box(moment, watts)
        self._early = []

    def _follow(self) -> None:
        """Read the power before and after the next update."""
        clock, period = self._clock, self._clock.period
        tick = clock.following(max(self._until or 0.0, time.monotonic() - 20 * period) + period / 4)
        guard = min(clock.error_at(tick) + CLOSE / 4, period / 4)
        look = None
        self._updates += 1
        if self._updates % max(1, round(TRACKING_S / period)) == 0 or not clock.in_phase(tick):
            # Somewhere about the update, so that looks narrow down when it comes.
            if not self._pause(tick + random.uniform(-1.0, 0.8) * guard):
                return
            look = self._look()
        if not self._pause(tick + guard):
            return
        late = self._look()
        if late is None:
            self._pause(time.monotonic() + LOOSE)
            return
        watts, _, after = late
        if look is not None:
            if look[0] != watts:
                clock.see(look[1], after)
                self._strange = 0
            elif watts != self._watts and self._looked is not None:
                clock.see(self._looked, look[2])
            if look[0] != self._watts and look[2] < tick - guard:
                self._strange += 1
        self._looked = late[1]
        if after > tick + 0.75 * period:  # woken too late: it is the power of a later update
            tick = clock.last(after - guard)
        self._box(tick, watts)

    def _poll_untimed(self) -> None:
        """Read the power now and then, until it changes often enough to look for its updates."""
        if not self._pause(time.monotonic() + LOOSE) or (look := self._look()) is None:
            return
        watts, _, after = look
        if watts != self._watts:
            self._drift += abs(watts - self._watts) * ASSUMED_PERIOD
            self._changes.append(after)
        self._box(after, watts)
        if len(self._changes) == self._changes.maxlen:
            hurry = after - self._changes[0] < 3.0 or self._strange
            self._changes.clear()
            if hurry:
                self._clock = TickClock(every=False)
                self._learn()

    def _box(self, until: float, watts: float) -> None:
        """Add the energy since the last update, and settle the boundaries up to this one."""
        since = self._until
        if since is None or until <= since:
            self._until = until if since is None else since
            self._watts = watts
            return
        span = until - since
        if span > GAP_S:
            self._lose(f"its power could not be read for {span:.1f} s")
            joules = 0.0
        else:
            joules = watts * span
            if self._clock.ready:
                missed = span - self._clock.period
                self._drift += abs(watts - self._watts) * self._clock.jitter
                if missed > self._clock.period / 2:  # the power in between was not seen
                    joules = watts * self._clock.period + (watts + self._watts) / 2 * missed
                    self._drift += self.powers.spread / 2 * missed
        while self._waiting and self._waiting[0].at <= until:
            boundary = self._waiting[0]
            share = min(1.0, max(0.0, (boundary.at - since) / span))
            before = min(0.0, (boundary.at - since) * watts)  # of a boundary before counting began
            with self._lock:
                self._waiting.popleft()
            self._settle(boundary, self._joules + joules * share + before, self._boundary_error(joules, span, share))
        self._joules += joules
        self._reached = self._joules
        self._until, self._watts = until, watts

    def _boundary_error(self, joules: float, span: float, share: float) -> float:
        """How far off the energy at a boundary may be, in joules."""
        error = self.powers.between(joules, span, share)
        if self._clock.ready:
            error += self.powers.peak * min(self._clock.error_at(self._until or 0.0), self._clock.period)
        else:
            error += self.powers.spread * ASSUMED_PERIOD
        if self._window is not None:
            # Of what was drawn within the window, part is yet to show. Its mean is known, not when it was drawn.
            share = min(1.0, self._watts / self._limit)
            error += self._limit * self._window * share * (1.0 - share) / 2
        return error

    def _guess(self, boundary: Boundary) -> tuple[float, float]:
        """The joules at a boundary by the power just before it."""
        if self._early:  # those are not summed up yet
            passed = boundary.at - self._early[-1][0]
            error = self.powers.spread * (abs(passed) + ASSUMED_PERIOD) + self._drift
            return self._joules + self._rough + self._early[-1][1] * passed, error
        passed = 0.0 if self._until is None else min(max(0.0, boundary.at - self._until), GAP_S)
        return self._joules + self._watts * passed, self.powers.spread * passed + self._boundary_error(0.0, 0.0, 0.0)

    def _fail(self, reason: str) -> None:
        """The power cannot be read: what was summed up stays, what comes is missing."""
        self._catch_up()
        with self._lock:
            boundaries = [*self._waiting, *self._queue]
            self._waiting.clear()
            self._queue.clear()
        for boundary in boundaries:
            self._settle_lost(boundary, reason, None if self._until is None else self._guess(boundary))
