"""Readings, which every meter gives: a part for each device, and the quality of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Protocol, TypeVar

import msgspec

from lightning_pepr.errors import PePRError

_Meter = TypeVar("_Meter", bound="Meter")


class Quality(str, Enum):
    """How an energy was obtained, from the best to none at all."""

    COUNTER = "counter"
    """Read off a hardware energy counter (NVML, RAPL)."""
    INTEGRATED = "integrated"
    """Integrated from samples of the power."""
    ESTIMATED = "estimated"
    """Computed from something else, such as CPU time × watts."""
    UNAVAILABLE = "unavailable"
    """Not measured: the energy is NaN, never 0."""

    @staticmethod
    def worst(*qualities: Quality) -> Quality:
        """The worst of several, which is the quality of their sum; of none, unavailable."""
        order = list(Quality)
        return max(qualities, key=order.index, default=Quality.UNAVAILABLE)


class Part(msgspec.Struct, frozen=True):
    """The energy of one device up to a boundary, or between two of them.

    Attributes:
        energy_uj: Energy in integer microjoules, so that windows add up to the whole exactly; None if unavailable.
        quality: How it was obtained.
        begin_j: Uncertainty in joules of the boundary where it begins.
        end_j: Uncertainty in joules of the boundary where it ends.
        drift_j: Uncertainty in joules that grows with the window: of sampling, or of an estimate.
        losses: How often something went uncounted within it (a lost device, a counter that went backwards).
        reason: Why it is unavailable, what was lost, or why a worse way of measuring was taken; empty where there is
            nothing to say.
        gain: Relative uncertainty of the sensor itself. It is common to all runs on one device and cancels in R,
            so it is stated apart from the error.
        settled: Whether the boundary where it ends is final; `Meter.settle` makes it so.
        shared: Whether it is known to hold others' energy too: the whole board of a MIG instance.
        fallback: Why it is not measured any more as it was at first; the `reason` of windows that lost nothing.
    """

    energy_uj: int | None
    quality: Quality
    begin_j: float = 0.0
    end_j: float = 0.0
    drift_j: float = 0.0
    losses: int = 0
    reason: str = ""
    gain: float = 0.0
    settled: bool = True
    shared: bool = False
    fallback: str = ""

    @property
    def energy_j(self) -> float:
        """Energy in joules; NaN if unavailable."""
        return math.nan if self.energy_uj is None else self.energy_uj / 1e6

    @property
    def error_j(self) -> float:
        """Bound on the error in joules, of the edges and the sampling, without the gain; NaN if unavailable."""
        return math.nan if self.energy_uj is None else self.begin_j + self.end_j + self.drift_j

    @property
    def lower_bound(self) -> bool:
        """Whether something was lost, so that the energy is a lower bound."""
        return self.losses > 0

    def __sub__(self, earlier: Part) -> Part:
        """The energy between an earlier boundary and this one."""
        energy = None
        if self.energy_uj is not None and earlier.energy_uj is not None:
            energy = self.energy_uj - earlier.energy_uj
        losses = self.losses - earlier.losses
        return msgspec.structs.replace(
            self,
            energy_uj=energy,
            quality=Quality.UNAVAILABLE if energy is None else self.quality,
            begin_j=earlier.end_j,
            drift_j=max(0.0, self.drift_j - earlier.drift_j),
            losses=losses,
            reason=(self.reason or earlier.reason) if losses or energy is None else self.fallback,
            settled=self.settled and earlier.settled,
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """The energy of all devices up to one moment; the difference of two is the window between them.

    Attributes:
        parts: A part for each device: `gpu:<UUID>`, `cpu:<host>`.
        time_s: Seconds since the meter was opened; of a difference, the length of the window.
        timestamp: Unix time of the moment to which the energy belongs; of a difference, of its end.
    """

    parts: Mapping[str, Part] = field(default_factory=dict)
    time_s: float = 0.0
    timestamp: float = 0.0

    @property
    def energy_j(self) -> float:
        """Energy in joules of all parts; NaN if there is none, or one is unavailable."""
        known = [part.energy_uj for part in self.parts.values() if part.energy_uj is not None]
        return sum(known) / 1e6 if known and len(known) == len(self.parts) else math.nan

    @property
    def error_j(self) -> float:
        """Bound on the error of `energy_j` in joules, without the gain of the boards' sensors."""
        return math.fsum(part.error_j for part in self.parts.values()) if self.parts else math.nan

    @property
    def quality(self) -> Quality:
        """The quality of the worst part."""
        return Quality.worst(*(part.quality for part in self.parts.values()))

    @property
    def lower_bound(self) -> bool:
        """Whether something was lost in any part."""
        return any(part.lower_bound for part in self.parts.values())

    @property
    def settled(self) -> bool:
        """Whether every part is final."""
        return all(part.settled for part in self.parts.values())

    def __sub__(self, earlier: Reading) -> Reading:
        """The window between an earlier reading of the same meter and this one.

        Raises:
            PePRError: If the two do not have the same parts, which readings of one meter do.
        """
        if self.parts.keys() != earlier.parts.keys():
            raise PePRError(
                f"the readings are of {sorted(self.parts)} and {sorted(earlier.parts)}; "
                "expected two readings of the same meter."
            )
        return Reading(
            parts={key: part - earlier.parts[key] for key, part in self.parts.items()},
            time_s=self.time_s - earlier.time_s,
            timestamp=self.timestamp,
        )


class EnergySource(Protocol):
    """One kind of hardware that reports the cumulative energy of its devices since the first mark.

    No method raises for a fault of the hardware: a device that cannot be read gives a part that says so.
    """

    def mark(self, at: float) -> dict[str, Part]:
        """The parts at this moment (`at`, of `time.monotonic`), at once; what is not final is not `settled`."""

    def settle(self, at: float, wait: bool) -> dict[str, Part]:
        """The parts that were not final at an earlier mark, final if they can be by now or, with `wait`, soon."""
        return {}

    def close(self) -> None:
        """Release the hardware; may be called twice."""
        return


class Meter(Protocol):
    """What can report energy: `open_meter()` gives one, and so may a user's own class."""

    def read(self, wait: bool = True) -> Reading:
        """The energy since the meter was opened.

        Args:
            wait: Whether to wait (at most one period of the slowest counter) until the reading is final.
                Without it the reading comes at once, with the unsettled edge in its error bound.
        """

    def settle(self, reading: Reading, wait: bool = True) -> Reading:
        """The final form of a reading that was taken with `wait=False`.

        Args:
            reading: A reading of this meter, not a difference of two.
            wait: Whether to wait until it is final. Without it, what is not final yet comes back as it was.

        Returns:
            The final reading; unless overridden, every reading is final.
        """
        return reading

    def close(self) -> None:
        """Release the hardware; may be called twice. Unless overridden, there is nothing to release."""
        return

    def __enter__(self: _Meter) -> _Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
