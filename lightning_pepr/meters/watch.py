"""What counters and integrated power have in common: boundaries that are settled by a thread."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from lightning_pepr.meters.base import Part, Quality

PATIENCE = 0.8
"""Seconds that a caller waits for the driver, at the very most."""

PROMPT = 0.2
"""Seconds that a boundary waits for the driver's first answer. Answers take 0.05 to 5 ms."""

REMEMBERED = 4096
"""How many boundaries can still be asked for."""

NO_ANSWER = "the driver does not answer"


class Edge:
    """One boundary on one device.

    Attributes:
        at: When it is; of `time.monotonic`.
        value: The counter's value that was read for it, in joules.
        when: When that was.
        part: The energy up to it, as well as is known.
        answered: Set when the device has been read for it.
        settled: Set when it is final.
    """

    __slots__ = ("answered", "at", "part", "settled", "value", "when")

    def __init__(self, at: float) -> None:
        self.at = at
        self.value = math.nan
        self.when = math.nan
        self.part = Part(None, Quality.UNAVAILABLE, reason=NO_ANSWER, settled=False)
        self.answered = threading.Event()
        self.settled = threading.Event()


class PowerRange:
    """The powers that a device was lately seen at, which bound what it did between two ticks.

    Args:
        limit: The most that it may draw, in W.
        sure: How often its highest and its lowest power must have been seen to be taken for the extremes.
            One that was seen just once may be the mean of a tick in which the power rose higher.
    """

    def __init__(self, limit: float, sure: int) -> None:
        self._limit, self._sure = limit, sure
        self._seen: deque[float] = deque(maxlen=64)
        self._number = 0  # of those seen
        self._known = (0, 0.0, limit, limit)  # the range, when so many had been seen

    def see(self, watts: float) -> None:
        """Take note of a power."""
        if 0.0 <= watts < 1e5:
            self._seen.append(watts)
            self._number += 1

    def _range(self) -> tuple[int, float, float, float]:
        """How many powers have been seen, and by them `low`, `high` and `peak`, which are asked for more often."""
        if self._known[0] != self._number:
            number, seen = self._number, tuple(self._seen)
            least, most = min(seen), max(seen)
            low = 0.98 * least if sum(watts <= 1.02 * least for watts in seen) >= self._sure else 0.0
            sure = sum(watts >= 0.98 * most for watts in seen) >= self._sure
            self._known = (number, low, 1.02 * most if sure else max(1.02 * most, self._limit), most)
        return self._known

    @property
    def low(self) -> float:
        """The lowest, less 2 %; 0 if that is not sure."""
        return self._range()[1]

    @property
    def high(self) -> float:
        """The highest, plus 2 %; the limit if that is not sure."""
        return self._range()[2]

    @property
    def peak(self) -> float:
        """The highest that was seen; the limit if none was."""
        return self._range()[3]

    @property
    def latest(self) -> float:
        """The last one seen; 0 if none was."""
        return self._seen[-1] if self._seen else 0.0

    def between(self, joules: float, span: float, share: float) -> float:
        """How far the energy of the first `share` of an interval may be from that share of its energy.

        Args:
            joules: The energy of the whole interval.
            span: Its length in seconds.
            share: In [0, 1].

        Returns:
            The bound in joules, if the power never left the range.
        """
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

    So whatever a call takes, nobody else waits for it longer than they want to. Energies are joules since an
    origin of the device's own; the first boundary is where counting begins.

    Args:
        name: Of the thread.
        quality: Of its energies.
        powers: The powers that the device is seen at.
        gain: Relative uncertainty of the sensor.
        shared: Whether the energy is others' too.
    """

    def __init__(
        self, name: str, quality: Quality, powers: PowerRange, gain: float = 0.0, shared: bool = False
    ) -> None:
        self._quality, self._gain, self._shared = quality, gain, shared
        self.powers = powers
        self._edges: OrderedDict[float, Edge] = OrderedDict()
        self._queue: deque[Edge] = deque()  # posted, not yet answered
        self._waiting: deque[Edge] = deque()  # answered, not yet settled
        self._condition = threading.Condition()
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

    def post(self, at: float) -> Edge:
        """Ask for a boundary; the thread reads the device for it at once."""
        edge = Edge(at)
        with self._condition:
            self._edges[at] = edge
            while len(self._edges) > REMEMBERED:
                self._edges.popitem(last=False)
            if self._stopping:
                self._queue.append(edge)
                self._flush()
            else:
                self._queue.append(edge)
                self._condition.notify_all()
        return edge

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
        edge = self._edges.get(at)
        if edge is None:
            return Part(None, Quality.UNAVAILABLE, reason="this boundary is not known any more")
        while not edge.settled.wait(min(0.1, left := self.patience(deadline))) and left > 0.0:
            pass  # in steps, so as not to wait for a driver that hangs by now
        with self._condition:
            if not edge.settled.is_set() and not edge.answered.is_set():
                edge.part = self._unanswered()
            return edge.part

    def close(self, deadline: float) -> None:
        """Stop, with all boundaries settled as well as they can be; may be called twice."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(self.patience(deadline))
        with self._condition:
            self._flush()

    # What the thread does.

    def _main(self) -> None:
        try:
            self._run()
        except Exception as error:  # a bug here must not harm a training, nor pass unseen
            with self._condition:
                self._stopping = True
                self._flush(f"metering failed: {error!r}")

    def _run(self) -> None:
        raise NotImplementedError

    def _guess(self, edge: Edge) -> tuple[float, float]:
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

    def _answer(self, edge: Edge, value: float, when: float) -> None:
        """Note what was read for a boundary, which waits from now on for being settled."""
        edge.value, edge.when = value, when
        with self._condition:
            if edge.settled.is_set():
                return
            self._waiting.append(edge)
            guess = self._guess(edge)
            if self._opening is None:
                self._opening = guess
            edge.part = self._make(*guess, settled=False)
        edge.answered.set()

    def _settle(self, edge: Edge, joules: float, error: float) -> None:
        """Make a boundary final."""
        with self._condition:
            if edge.settled.is_set():
                return
            joules = max(joules, self._floor)
            self._floor = joules
            if self._origin is None:
                self._origin = (joules, error)
            edge.part = self._make(joules, error, settled=True)
        edge.answered.set()
        edge.settled.set()

    def _make(self, joules: float, error: float, settled: bool) -> Part:
        origin, begin = self._origin or self._opening or (joules, error)
        joules = max(joules, self._floor, origin)
        return Part(
            energy_uj=round((joules - origin) * 1e6),
            quality=self._quality,
            begin_j=begin,
            end_j=error,
            drift_j=self._drift,
            losses=self._losses,
            reason=self._reason,
            gain=self._gain,
            settled=settled,
            shared=self._shared,
        )

    def _lose(self, reason: str) -> None:
        """Mark that something went uncounted."""
        with self._condition:
            self._losses += 1
            self._reason = reason

    def _unanswered(self) -> Part:
        """What is known of a boundary for which the driver has not answered."""
        if self._origin is None:
            return Part(None, Quality.UNAVAILABLE, reason=self._reason or NO_ANSWER, settled=False, shared=self._shared)
        part = self._make(self._reached, 0.0, settled=False)
        return Part(
            part.energy_uj,
            self._quality,
            part.begin_j,
            0.0,
            part.drift_j,
            self._losses + 1,
            NO_ANSWER,
            self._gain,
            settled=False,
            shared=self._shared,
        )

    def _flush(self, reason: str = "") -> None:
        """Settle what is left, as well as it is known."""
        while self._waiting:
            edge = self._waiting.popleft()
            self._settle(edge, *self._guess(edge))
        while self._queue:
            edge = self._queue.popleft()
            self._lose(reason or self._reason or NO_ANSWER)
            if self._origin is None:
                self._refuse(edge)
            else:
                self._settle(edge, self._reached, 0.0)

    def _refuse(self, edge: Edge) -> None:
        """Make a boundary final of which nothing is known."""
        edge.part = Part(None, Quality.UNAVAILABLE, reason=self._reason, shared=self._shared)
        edge.answered.set()
        edge.settled.set()
