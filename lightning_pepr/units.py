"""Amounts in words: in the unit in which they are easy to read."""

from __future__ import annotations

from lightning_pepr.cost import CARBON, DATA, ENERGY, MEMORY, PARAMS, TIME, Resource

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


def printable(text: str) -> str:
    r"""Text as a terminal can take it: what would steer the terminal is replaced. Records come from anywhere.

    >>> printable("resnet\x1b[2J18")
    'resnet\ufffd[2J18'
    """
    return "".join(sign if sign.isprintable() or sign == "\n" else "\ufffd" for sign in text)


def unit_for(resource: Resource, largest: float) -> tuple[float, str]:
    """The largest unit in which an amount is at least 1: what to divide by, and its name."""
    units = UNITS[resource]
    return next(((scale, unit) for scale, unit in units if largest >= scale), units[-1])


def three_digits(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def in_words(resource: Resource, value: float, error: float | None = None) -> str:
    """An amount with its unit, and the bound on its error if there is one.

    >>> from lightning_pepr.cost import ENERGY, PARAMS
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
