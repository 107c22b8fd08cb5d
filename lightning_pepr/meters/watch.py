"""What counters and integrated power have in common: a thread settles the boundaries of one device."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from lightning_pepr.meters.base import Part, Quality

PATIENCE = 0.8
"""Seconds that a caller waits for the driver, at the very most."""

PROMPT = 0.2
"""Seconds that a boundary waits for the driver's first answer. Answers take 0.05 to 5 ms."""

LEARNING_S = 1.5
"""Seconds after opening in which the thread looks for the ticks of the sensor."""

ASSUMED_PERIOD = 0.1
"""Seconds between ticks where their period is not known."""

REMEMBERED = 4096
"""How many boundaries can still be asked for."""

NO_ANSWER = "the driver does not answer"
UNANSWERED = Part(None, Quality.UNAVAILABLE, reason=NO_ANSWER, settled=False)


class Flag:
    """Is set once, and can be waited for.

    Unlike for an `Event`, a signal handler may wait for one that the code which it interrupts is about to wait for.
    """

    __slots__ = ("_lock", "_set")

    def __init__(self) -> None:
        self._set = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Let all go on that wait."""
        self._set = True
        with contextlib.suppress(RuntimeError):  # another one has released it
            self._lock.release()

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._set

    def wait(self, seconds: float) -> bool:
        """Wait at most so many seconds; whether it is set."""
        if not self._set and self._lock.acquire(timeout=seconds):
            self.set()  # for the next one who waits
        return self._set


@dataclass(slots=True, eq=False)
class Boundary:
    """One boundary on one device, at a moment of `time.monotonic`."""

    at: float
    value: float = math.nan  # the joules that were read for it,
    when: float = math.nan  # and when
    part: Part = UNANSWERED  # the energy up to it, as well as is known
    answered: Flag = field(default_factory=Flag)  # the device has been read for it
    settled: Flag = field(default_factory=Flag)  # it is final


class PowerRange:
    """The powers in watts at which a device was seen lately, which bound what it did between two ticks.

    Its highest and its lowest power are taken for the extremes (`low`, `high`: 2 % beyond) only if they were seen
    `sure` times: one that was seen just once may be the mean of a tick in which the power rose higher.
    """

    def __init__(self, limit: float, sure: int) -> None:
        self._limit, self._sure = limit, sure
        self._seen: deque[float] = deque(maxlen=64)
        self.low, self.high, self.spread = 0.0, limit, limit
        self.peak, self.latest = limit, 0.0

    def see(self, watts: float) -> None:
        """Take note of a power."""
        if not 0.0 <= watts < 1e5:
            return
        self._seen.append(watts)
        self.latest = watts
        least, self.peak = min(self._seen), max(self._seen)
        sure_low = sum(seen <= 1.02 * least for seen in self._seen) >= self._sure
        sure_high = sum(seen >= 0.98 * self.peak for seen in self._seen) >= self._sure
        self.low = 0.98 * least if sure_low else 0.0
        self.high = 1.02 * self.peak if sure_high else max(1.02 * self.peak, self._limit)
        self.spread = self.high - self.low

    def between(self, joules: float, span: float, share: float) -> float:
        """How far the energy of the first `share` of an interval may be from that share of its energy."""
        if span <= 0.0:
            return 0.0
        mean = joules / span
        low, high = min(self.low, mean), max(self.high, mean)
        head, tail = share * span, (1.0 - share) * span
        least = max(low * head, joules - high * tail)
        most = min(high * head, joules - low * tail)
        return max(most - joules * share, joules * share - least, 0.0)


class Watch:
    """Settles the boundaries of one device, in a daemon thread that alone calls the driver.

    So whatever a call takes, nobody else waits for it longer than they want to. Who asks for boundaries takes no lock,
    since a signal handler may ask while the code does that it interrupts. Energies are joules since an origin of the
    device's own; the first boundary is where counting begins.
    """

    def __init__(self, name: str, quality: Quality, powers: PowerRange) -> None:
        self._quality, self.powers = quality, powers
        self._boundaries: dict[float, Boundary] = {}
        self._queue: deque[Boundary] = deque()  # posted, not yet answered
        self._waiting: deque[Boundary] = deque()  # answered, not yet settled
        self._lock = threading.RLock()  # of the thread, and of who stops it
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()  # may be interrupted anywhere by its own `put`
        self._stopping = False
        self._busy_since = math.inf
        self._origin: tuple[float, float] | None = None  # joules and their error at the first boundary
        self._opening: tuple[float, float] | None = None  # the same, before that is final
        self._floor = -math.inf  # joules at the last boundary that is final
        self._reached = -math.inf  # joules that were counted for certain
        self._drift = 0.0
        self._losses = 0
        self._reason = ""
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    # What callers do.

    def post(self, at: float) -> Boundary:
        """Ask for a boundary; the thread reads the device for it at once."""
        boundary = self._boundaries[at] = Boundary(at)
        if len(self._boundaries) > REMEMBERED:
            self._boundaries.pop(next(iter(self._boundaries)), None)
        self._queue.append(boundary)
        self._wake.put(None)
        if self._stopping:
            self._flush()
        return boundary

    @property
    def settling_s(self) -> float:
        """How long it takes until a boundary is final, in seconds, if the driver answers."""
        return PATIENCE - PROMPT

    def patience(self, deadline: float) -> float:
        """How long to wait for an answer until a deadline: not at all while the driver hangs."""
        now = time.monotonic()
        return 0.0 if now - self._busy_since > PROMPT else max(0.0, deadline - now)

    def part(self, at: float, deadline: float) -> Part:
        """The energy up to a boundary, final if it is by the deadline, of `time.monotonic`."""
        boundary = self._boundaries.get(at)
        if boundary is None:
            return Part(None, Quality.UNAVAILABLE, reason="this boundary is not known any more")
        while not boundary.settled.wait(min(0.1, left := self.patience(deadline))) and left > 0.0:
            pass  # in steps, so as not to wait for a driver that hangs by now
        return boundary.part if boundary.answered.is_set() else self._unanswered()

    def close(self, deadline: float) -> None:
        """Stop, with all boundaries settled as well as they can be; may be called twice."""
        self._stopping = True
        self._wake.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(self.patience(deadline))
        self._flush()

    # What the thread does.

    def _main(self) -> None:
        try:
            self._run()
        except Exception as error:  # a bug here must not harm a training, nor pass unseen
            self._stopping = True
            self._flush(f"metering failed: {error!r}")

    def _run(self) -> None:
        raise NotImplementedError

    def _guess(self, boundary: Boundary) -> tuple[float, float]:
        """The joules at an answered boundary before it is settled, and how far off they may be."""
        raise NotImplementedError

    def _call(self, call: Callable[[], float]) -> tuple[float, float, float]:
        """Read something; returns it with the moments before and after. Raises what the driver does."""
        before = time.monotonic()
        self._busy_since = before
        try:
            value = call()
        except Exception:
            # Some errors pass; one that lasts is worth no more than one try.
            before = time.monotonic()
            value = call()
        finally:
            self._busy_since = math.inf
        return value, before, time.monotonic()

    def _await(self, until: float) -> list[Boundary] | None:
        """Sleep until a moment or the next boundary; the boundaries in the queue, or None once the watch is stopped."""
        while not self._stopping and not self._queue and (pause := until - time.monotonic()) > 0.0:
            with contextlib.suppress(queue.Empty):
                self._wake.get(timeout=None if math.isinf(pause) else pause)
        return None if self._stopping else list(self._queue)

    def _take(self, boundaries: Sequence[Boundary]) -> Iterator[Boundary]:
        """Take boundaries from the queue, one by one, until the watch is stopped."""
        for boundary in boundaries:
            with self._lock:
                if self._stopping:
                    return
                self._queue.remove(boundary)
            yield boundary

    def _answer(self, boundary: Boundary, value: float, when: float) -> None:
        """Note what was read for a boundary, which waits from now on for being settled."""
        boundary.value, boundary.when = value, when
        with self._lock:
            if boundary.settled.is_set():
                return
            self._waiting.append(boundary)
            guess = self._guess(boundary)
            if self._opening is None:
                self._opening = guess
            boundary.part = self._make(*guess, settled=False)
        boundary.answered.set()

    def _settle(self, boundary: Boundary, joules: float, error: float) -> None:
        """Make a boundary final."""
        with self._lock:
            if boundary.settled.is_set():
                return
            self._floor = max(joules, self._floor)
            if self._origin is None:
                self._origin = (self._floor, error)
            boundary.part = self._make(self._floor, error, settled=True)
        boundary.answered.set()
        boundary.settled.set()

    def _settle_lost(self, boundary: Boundary, reason: str, known: tuple[float, float] | None) -> None:
        """Make a boundary final that could not be read: with the joules known of it and their error, if any are."""
        self._lose(reason)
        if known is not None:
            self._settle(boundary, *known)
            return
        boundary.part = Part(None, Quality.UNAVAILABLE, reason=self._reason)
        boundary.answered.set()
        boundary.settled.set()

    def _counted(self) -> tuple[float, float] | None:
        """The joules counted for certain, and their error; None before counting began."""
        return None if self._origin is None else (self._reached, 0.0)

    def _make(self, joules: float, error: float, settled: bool) -> Part:
        origin, begin = self._origin or self._opening or (joules, error)
        joules = max(joules, self._floor, origin)
        energy_uj = round((joules - origin) * 1e6)
        return Part(energy_uj, self._quality, begin, error, self._drift, self._losses, self._reason, settled=settled)

    def _lose(self, reason: str) -> None:
        """Mark that something went uncounted."""
        with self._lock:
            self._losses += 1
            self._reason = reason

    def _unanswered(self) -> Part:
        """What is known of a boundary for which the driver has not answered."""
        counted = self._counted()
        if counted is None:
            return msgspec.structs.replace(UNANSWERED, reason=self._reason or NO_ANSWER)
        return msgspec.structs.replace(self._make(*counted, settled=False), losses=self._losses + 1, reason=NO_ANSWER)

    def _flush(self, reason: str = "") -> None:
        """Settle what is left, as well as it is known."""
        with self._lock:
            for boundary in _drained(self._waiting):
                self._settle(boundary, *self._guess(boundary))
            for boundary in _drained(self._queue):
                self._settle_lost(boundary, reason or self._reason or NO_ANSWER, self._counted())


def _drained(boundaries: deque[Boundary]) -> Iterator[Boundary]:
    """Take them one by one; a signal handler may take some of them."""
    while True:
        try:
            boundary = boundaries.popleft()
        except IndexError:
            return
        yield boundary
