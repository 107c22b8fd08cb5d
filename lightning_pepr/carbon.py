"""What a kilowatt-hour emits: from energy to g CO2e, without the network, and without guessing the country."""

from __future__ import annotations

import difflib
import functools
import json
import math
import numbers
from dataclasses import dataclass
from importlib import metadata

from lightning_pepr.errors import PePRError
from lightning_pepr.utilities.imports import missing, package_file


@dataclass(frozen=True, slots=True)
class Intensity:
    """The carbon intensity of the electricity that a run draws.

    Attributes:
        g_per_kwh: Of the grid, in g CO2e per kWh.
        pue: Power usage effectiveness: what the data centre draws for each kWh of its computers, at least 1.
        source: Where the intensity comes from, in words.
    """

    g_per_kwh: float
    pue: float = 1.0
    source: str = "given"

    def __post_init__(self) -> None:
        expected = 'g CO2e per kWh, finite and not negative, such as 151.0, or a country\'s code, such as "DNK"'
        object.__setattr__(self, "g_per_kwh", _number("carbon_intensity", self.g_per_kwh, 0.0, expected))
        expected = "a number of at least 1 (1.0 where only the computer counts)"
        object.__setattr__(self, "pue", _number("pue", self.pue, 1.0, expected))


def resolve_intensity(carbon_intensity: float | str | None, pue: float = 1.0) -> Intensity | None:
    """Turn what the user gave into an `Intensity`.

    Args:
        carbon_intensity: In g CO2e per kWh; or a country by its ISO 3166 alpha-3 code ("DNK"), whose yearly mean is
            looked up in CodeCarbon's table (needs `[carbon]`); or None.
        pue: Power usage effectiveness of the data centre, at least 1. The paper's energies include 1.55 to 1.59.

    Returns:
        The intensity, or None for None: carbon is then not measured. Where the machine stands is never guessed.

    Raises:
        PePRError: If the intensity is negative or not finite, the country unknown, or `pue` less than 1.
        ModuleNotFoundError: If a country is given and CodeCarbon is not installed.

    >>> resolve_intensity(151.0, pue=1.5)
    Intensity(g_per_kwh=151.0, pue=1.5, source='given')
    >>> resolve_intensity(None) is None
    True
    """
    if isinstance(carbon_intensity, str):
        g_per_kwh, source = _of_country(carbon_intensity)
        return Intensity(g_per_kwh, pue, source)
    given = Intensity(0.0 if carbon_intensity is None else carbon_intensity, pue)
    return None if carbon_intensity is None else given


def carbon_g(energy_kwh: float | None, intensity: Intensity | None) -> float | None:
    """Carbon of an amount of energy, in g CO2e: energy × intensity × PUE.

    Args:
        energy_kwh: Energy in kWh; None if it was not measured.
        intensity: Of the electricity; None if it is not known.

    Returns:
        Grams of CO2 equivalent; None if either is not known.

    >>> carbon_g(0.5, Intensity(200.0, pue=1.5))
    150.0
    >>> carbon_g(0.5, None) is None
    True
    """
    if energy_kwh is None or intensity is None:
        return None
    return energy_kwh * intensity.g_per_kwh * intensity.pue


def _of_country(code: str) -> tuple[float, str]:
    """The intensity of a country, in g CO2e per kWh, and its source."""
    table = _countries()
    wanted = code.strip().upper()
    if wanted not in table:
        names = {str(entry["country_name"]).upper(): iso for iso, entry in table.items()}
        close = [names[name] for name in difflib.get_close_matches(wanted, names)]
        close = list(dict.fromkeys(close + difflib.get_close_matches(wanted, table)))
        hint = ", ".join(f"{iso} ({table[iso]['country_name']})" for iso in close[:3])
        raise PePRError(
            f"carbon_intensity is {code!r}, which is no country of the table; expected an ISO 3166 alpha-3 code "
            f'such as "DNK", or a number in g CO2e per kWh.' + (f" The nearest: {hint}." if hint else "")
        )
    entry = table[wanted]
    source = f"{entry['country_name']} {entry['year']}, codecarbon {metadata.version('codecarbon')}"
    return float(str(entry["carbon_intensity"])), source


@functools.cache
def _countries() -> dict[str, dict[str, object]]:
    """CodeCarbon's table of countries, read without importing CodeCarbon (which takes a second)."""
    path = package_file("codecarbon", "data", "private_infra", "global_energy_mix.json")
    if path is None:
        raise missing("codecarbon", "carbon", "a country's carbon intensity (a number, in g CO2e per kWh, does not)")
    try:
        table: dict[str, dict[str, object]] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModuleNotFoundError(
            f"this release of CodeCarbon has no {path}; give carbon_intensity as a number, in g CO2e per kWh."
        ) from None
    return {iso: entry for iso, entry in table.items() if entry.get("carbon_intensity") is not None}


def _number(name: str, value: object, least: float, expected: str) -> float:
    """Return a finite number that is not less than the least, or raise an error that says what was expected."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and least <= float(value) < math.inf:
        return float(value)
    raise PePRError(f"{name} is {value!r}; expected {expected}.")
