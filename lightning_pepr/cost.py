"""The six resources that a run spends, and an amount of each."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Literal


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of cost: what it is called, its unit, and how the ranks of a run merge.

    Attributes:
        name: The word for it: "energy".
        letter: Its letter in PePR-E, PePR-C, …
        field: The field of `Cost`, and the key under which it is logged: "energy_kwh".
        unit: The unit of that field.
        merge: How the amounts of several ranks become one: summed, the largest, or the same on all.

    >>> Resource.of("E").field, Resource.of("energy_kwh").name, Resource.of("time").score_key
    ('energy_kwh', 'energy', 'pepr_t')
    """

    name: str
    letter: str
    field: str
    unit: str
    merge: Literal["sum", "max", "same"]

    @property
    def score_key(self) -> str:
        """The key under which its score is logged: "pepr_e"."""
        return f"pepr_{self.letter.lower()}"

    @property
    def r_key(self) -> str:
        """The column of its normalised cost R in a ranking: "r_e"."""
        return f"r_{self.letter.lower()}"

    @classmethod
    def of(cls, name: str | Resource) -> Resource:
        """Find a resource by its name, letter, field or score key.

        Raises:
            ValueError: If there is none of that name; says which there are.
        """
        if isinstance(name, Resource):
            return name
        wanted = str(name).lower()
        for resource in RESOURCES:
            if wanted in (resource.name, resource.letter.lower(), resource.field, resource.score_key):
                return resource
        known = ", ".join(f"{r.name} ({r.letter}, {r.field})" for r in RESOURCES)
        close = difflib.get_close_matches(wanted, [k for r in RESOURCES for k in (r.name, r.field)], n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown resource {name!r}; expected one of {known}.{hint}")


ENERGY = Resource("energy", "E", "energy_kwh", "kWh", "sum")
CARBON = Resource("carbon", "C", "carbon_g", "g CO2e", "sum")
TIME = Resource("time", "T", "time_s", "s", "max")
MEMORY = Resource("memory", "M", "memory_gb", "GB", "max")
DATA = Resource("data", "D", "data_samples", "samples", "sum")
PARAMS = Resource("parameters", "N", "params", "parameters", "same")

RESOURCES: tuple[Resource, ...] = (ENERGY, CARBON, TIME, MEMORY, DATA, PARAMS)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run has spent so far. None is an amount that was not measured, which is never the same as 0.

    Attributes:
        energy_kwh: Energy in kWh, of all devices and hosts together.
        carbon_g: Carbon dioxide equivalent in grams.
        time_s: Wall time in seconds.
        memory_gb: Peak memory in GB (1 GB = 1e9 bytes), of the largest rank.
        data_samples: Training samples seen.
        params: Trainable parameters.

    Raises:
        ValueError: If an amount is negative, NaN or infinite.

    >>> Cost(energy_kwh=0.5).amount("energy")
    0.5
    >>> Cost.merge([Cost(energy_kwh=0.5, time_s=9.0), Cost(energy_kwh=0.25, time_s=10.0)])
    Cost(energy_kwh=0.75, carbon_g=None, time_s=10.0, memory_gb=None, data_samples=None, params=None)
    """

    energy_kwh: float | None = None
    carbon_g: float | None = None
    time_s: float | None = None
    memory_gb: float | None = None
    data_samples: float | None = None
    params: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            try:
                number = value if type(value) in (int, float) else float(value)
                valid = math.isfinite(number) and number >= 0 and not isinstance(value, str)
            except (TypeError, ValueError, OverflowError):
                valid = False
            if not valid:
                raise ValueError(
                    f"{field.name} is {value!r}; expected a finite amount that is not negative, "
                    "or None where it was not measured."
                )
            # Plain numbers only: a tensor or numpy scalar in a checkpoint fails to load.
            object.__setattr__(self, field.name, number)

    def amount(self, resource: str | Resource) -> float | None:
        """The amount of one resource, in its unit; None if it was not measured."""
        value: float | None = getattr(self, Resource.of(resource).field)
        return value

    def items(self) -> Iterator[tuple[Resource, float]]:
        """The resources that were measured, with their amounts."""
        for resource in RESOURCES:
            value = self.amount(resource)
            if value is not None:
                yield resource, value

    @classmethod
    def merge(cls, costs: Iterable[Cost]) -> Cost:
        """Merge the costs of the ranks of one run by each resource's rule.

        A sum in which one rank is unmeasured is unmeasured: the rest would pass for the whole.
        """
        costs = list(costs)
        merged: dict[str, float | None] = {}
        for resource in RESOURCES:
            amounts = [cost.amount(resource) for cost in costs]
            known = [amount for amount in amounts if amount is not None]
            if not known or (resource.merge == "sum" and len(known) < len(amounts)):
                merged[resource.field] = None
            else:
                merged[resource.field] = math.fsum(known) if resource.merge == "sum" else max(known)
        return cls(**merged)


UNITS: dict[Resource, tuple[tuple[float, str], ...]] = {
    ENERGY: ((1.0, "kWh"), (1e-3, "Wh"), (1e-6, "mWh")),
    CARBON: ((1e3, "kg"), (1.0, "g"), (1e-3, "mg")),
    TIME: ((3600.0, "h"), (60.0, "min"), (1.0, "s")),
    MEMORY: ((1.0, "GB"), (1e-3, "MB")),
    DATA: ((1e6, "M"), (1e3, "k"), (1.0, "")),
    PARAMS: ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")),
}
"""For each resource what an amount is divided by, and the unit that it then has; the largest first."""

_OF = {CARBON: "CO2e", DATA: "samples", PARAMS: "parameters"}


def unit_for(resource: Resource, largest: float) -> tuple[float, str]:
    """The largest unit in which an amount is at least 1: what to divide by, and its name."""
    units = UNITS[resource]
    return next(((scale, unit) for scale, unit in units if largest >= scale), units[-1])


def three_digits(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def in_words(resource: Resource, value: float, error: float | None = None) -> str:
    """An amount with its unit, and the bound on its error if there is one.

    >>> in_words(ENERGY, 0.0123, 0.0002)
    '12.3 Wh ±1.6 %'
    >>> in_words(PARAMS, 11_200_000)
    '11.2 M parameters'
    """
    scale, unit = unit_for(resource, value)
    about = ""
    if error and value:
        share = 100 * error / value
        about = f"±{share:.0f} %" if share >= 10 else f"±{share:.1f} %"
    return " ".join(filter(None, (three_digits(value / scale), unit, _OF.get(resource, ""), about)))
