"""The six resources that a run spends, an amount of each, and how amounts are shown."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal

from lightning_pepr.errors import PePRError


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
            PePRError: If there is none of that name; says which there are.
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
        raise PePRError(f"unknown resource {name!r}; expected one of {known}.{hint}")


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
        PePRError: If an amount is negative, NaN or infinite.

    >>> Cost(energy_kwh=0.5).amount("energy")
    0.5
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
                raise PePRError(
                    f"{field.name} is {value!r}; expected a finite amount that is not negative, "
                    "or None where it was not measured."
                )
            # Plain numbers only: a tensor or numpy scalar in a checkpoint fails to load.
            object.__setattr__(self, field.name, number)

    def amount(self, resource: str | Resource) -> float | None:
        """The amount of one resource, in its unit; None if it was not measured."""
        return getattr(self, Resource.of(resource).field)  # type: ignore[no-any-return]

    def items(self) -> Iterator[tuple[Resource, float]]:
        """The resources that were measured, with their amounts."""
        return ((resource, value) for resource in RESOURCES if (value := self.amount(resource)) is not None)


J_PER_KWH = 3.6e6
UJ_PER_KWH = 3.6e12

_COUNTS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}

FACTORS: dict[Resource, dict[str, float]] = {
    ENERGY: {"kWh": 1.0, "Wh": 1e-3, "mWh": 1e-6, "MWh": 1e3, "J": 1 / J_PER_KWH, "kJ": 1 / 3600, "MJ": 1 / 3.6},
    CARBON: {"g": 1.0, "kg": 1e3, "mg": 1e-3, "g CO2e": 1.0, "kg CO2e": 1e3, "gCO2e": 1.0, "kgCO2e": 1e3},
    TIME: {"s": 1.0, "sec": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0},
    MEMORY: {"GB": 1.0, "MB": 1e-3, "B": 1e-9, "GiB": 2**30 / 1e9, "MiB": 2**20 / 1e9},
    DATA: _COUNTS,
    PARAMS: _COUNTS,
}
"""How many of a resource's own unit one of each known unit is. Case counts: a mWh is not a MWh."""

_SHOWN = {
    ENERGY: ("kWh", "Wh", "mWh"),
    CARBON: ("kg", "g", "mg"),
    TIME: ("h", "min", "s"),
    MEMORY: ("GB", "MB"),
    DATA: ("G", "M", "k", ""),
    PARAMS: ("G", "M", "k", ""),
}

UNITS = {resource: tuple((FACTORS[resource][unit], unit) for unit in units) for resource, units in _SHOWN.items()}
"""For each resource what an amount is divided by to be shown, and the unit that it then has; the largest first."""

OF_WHAT = {CARBON: "CO2e", DATA: "samples", PARAMS: "parameters"}
"""What stands behind the unit of an amount that is shown."""


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
    return " ".join(filter(None, (three_digits(value / scale), unit, OF_WHAT.get(resource, ""), about)))
