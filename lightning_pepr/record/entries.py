"""What a record is made of: costs, evaluations, stages and devices."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from msgspec import field

from lightning_pepr.cost import RESOURCES, Cost
from lightning_pepr.utilities.json import Amount, Count, Finite, Integer, to_builtins


class CostEntry(msgspec.Struct, forbid_unknown_fields=True):
    """One cost of a run, and how well it is known.

    Attributes:
        value: The amount, in the unit of the field; None if it was not measured.
        error: Bound on its error, in the same unit; None if unknown.
        quality: How the value was obtained: "counter", "integrated", "estimated", "unavailable"; for what is no energy,
            "counter" means that it was counted or read off a clock.
        lower_bound: Whether something was lost on the way, so that the truth is larger.
        reason: Why it is missing or a lower bound; empty if neither.
    """

    value: Amount | None = None
    error: Amount | None = None
    quality: str = "unavailable"
    lower_bound: bool = False
    reason: str = ""


class Epoch(msgspec.Struct, forbid_unknown_fields=True):
    """One evaluation of a run.

    Attributes:
        epoch: The epoch, from 0.
        step: The step under which the loggers have it.
        performance: The monitored value, averaged over ranks; None in an epoch in which it was not logged.
        cost: All that had been spent by then.
        scores: The scores that were logged, by key ("pepr_e").
        forecasts: The forecast of the whole run's cost at the end of the epoch, by field: "expected", "low", "high" and
            "level", as in `Forecast`. Empty where there is no forecast, or the epoch went on.
        others: The performance by the keys of further callbacks of the Trainer.
    """

    epoch: Integer
    step: Integer
    performance: Finite | None = None
    cost: Cost = field(default_factory=Cost)
    scores: dict[str, Finite | None] = field(default_factory=dict)
    forecasts: dict[str, Any] = field(default_factory=dict)
    others: dict[str, Finite | None] = field(default_factory=dict)

    @property
    def known_scores(self) -> dict[str, float]:
        """The scores of the performance that are numbers, in the order of resources; a file has null for NaN."""
        scores = {resource.score_key: self.scores.get(resource.score_key) for resource in RESOURCES}
        return {key: score for key, score in scores.items() if score is not None and math.isfinite(score)}

    def to_dict(self) -> dict[str, Any]:
        """The evaluation as plain types."""
        return to_builtins(self)


class Stage(msgspec.Struct, forbid_unknown_fields=True):
    """What one stage of a run (train, validate, test, other) has cost. The integers add up to the whole exactly.

    Attributes:
        energy_uj: Energy in microjoules; None if it was not measured.
        time_ns: Wall time in nanoseconds.
    """

    energy_uj: Integer | None = None
    time_ns: Integer = 0


class DeviceEntry(msgspec.Struct, forbid_unknown_fields=True):
    """One device that was metered.

    Attributes:
        name: What the device is called; empty if unknown.
        host: The host that it is in.
        energy_uj: Its energy in microjoules; None if it was not measured.
        error_j: Bound on the error in joules.
        quality: How it was measured.
        gain: Relative uncertainty of the board's own sensor, which is not part of the error.
        reason: Why it could not be measured, or what was lost.
    """

    name: str = ""
    host: str = ""
    energy_uj: Count | None = None
    error_j: Amount | None = None
    quality: str = "unavailable"
    gain: Amount = 0.0
    reason: str = ""
