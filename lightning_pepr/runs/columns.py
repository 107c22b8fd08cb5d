"""What other tables call their columns: the mapping by the user, and units in headers and cells."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import polars as pl

from lightning_pepr.cost import CARBON, ENERGY, FACTORS, MEMORY, RESOURCES, TIME
from lightning_pepr.errors import PePRError

Columns: TypeAlias = Mapping[str, "str | tuple[str, float]"]
"""For each of our columns the table's name of it, or that name and a factor: `{"energy_kwh": ("energy_wh", 1e-3)}`."""

UNITS = {resource.field: FACTORS[resource] for resource in (ENERGY, CARBON, TIME, MEMORY)}
UNITS["performance"] = {"%": 0.01}
"""How many of our unit one of theirs is."""

_TEXT = ("group", "model", "quality", "run_id", "device", "boards", "status")
_AMOUNTS = ("performance", *(resource.field for resource in RESOURCES), "energy_kwh_error", "carbon_g_error", "samples")
_HEADER_UNIT = re.compile(r".*\[(?P<square>[^\]]+)\]\s*|.*\((?P<round>[^)]+)\)\s*")
_CELL_UNIT = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*([^\d\s.,].*)"


def parse_columns(assignments: Iterable[str]) -> dict[str, str | tuple[str, float]]:
    """Parse a mapping of columns from texts such as "model=arch" and "energy_kwh=energy_wh*0.001".

    Raises:
        PePRError: If a text is not of that form, or a column is given twice.

    >>> parse_columns(["model=arch", "energy_kwh=energy_wh*0.001"])
    {'model': 'arch', 'energy_kwh': ('energy_wh', 0.001)}
    """
    found: dict[str, str | tuple[str, float]] = {}
    for text in assignments:
        ours, equals, theirs = (part.strip() for part in text.partition("="))
        if not (ours and equals and theirs):
            raise PePRError(f"{text!r} maps no column; expected OURS=THEIRS or OURS=THEIRS*FACTOR, such as model=arch.")
        if ours in found:
            raise PePRError(f"the column {ours} is mapped twice, the second time by {text!r}.")
        name, star, factor = theirs.rpartition("*")
        try:
            found[ours] = (name.strip(), float(factor)) if star else theirs
        except ValueError:  # the star is part of the name
            found[ours] = theirs
    return found


def check_columns(columns: Columns) -> None:
    """Refuse a mapping to columns that we do not have, or by a factor that is no positive number."""
    for ours, theirs in columns.items():
        if ours not in (*_TEXT, *_AMOUNTS):
            raise PePRError(f"{ours!r} cannot be mapped; expected one of {', '.join((*_TEXT, *_AMOUNTS))}.")
        if isinstance(theirs, str):
            continue
        if not (isinstance(theirs, tuple) and len(theirs) == 2 and isinstance(theirs[0], str)):
            raise PePRError(f"{ours} is mapped to {theirs!r}; expected a column, or a column and a factor.")
        if ours in _TEXT:
            raise PePRError(f"{ours} is text; expected a column for it, without the factor {theirs[1]!r}.")
        if not (isinstance(theirs[1], (int, float)) and 0 < theirs[1] < math.inf):
            raise PePRError(f"the factor of {ours} is {theirs[1]!r}; expected a finite number larger than 0.")


def amounts_of(columns: Columns) -> list[str]:
    """List the columns of the table that a mapping takes for numbers."""
    return [_name(theirs) for ours, theirs in columns.items() if ours in _AMOUNTS]


def apply_columns(frame: pl.DataFrame, columns: Columns, where: str) -> pl.DataFrame:
    """Add our columns to a table of numbers; without a factor, a unit in the header, "energy [Wh]", is converted."""
    missing = [_name(theirs) for theirs in columns.values() if _name(theirs) not in frame.columns]
    if missing:
        raise PePRError(
            f"{where} has no column {' and no column '.join(map(repr, missing))} to map; its columns are "
            f"{', '.join(frame.columns)}."
        )
    new = {}
    for ours, theirs in columns.items():
        if ours in _TEXT:
            new[ours] = pl.col(_name(theirs)).cast(pl.String)
        else:
            factor = _header_factor(ours, theirs) if isinstance(theirs, str) else float(theirs[1])
            new[ours] = pl.col(_name(theirs)) if factor == 1.0 else pl.col(_name(theirs)) * factor
    return frame.with_columns(**new)


def units_in(text: pl.Series) -> str:
    """Describe the units that stand in the cells of a column; empty if none does."""
    units = text.drop_nulls().str.extract(_CELL_UNIT, 1)
    found = units.value_counts().sort("count", descending=True).rows()
    if all(unit is None for unit, _ in found):
        return ""
    counts = ", ".join(f"{count} in {unit}" if unit else f"{count} without a unit" for unit, count in found)
    mixed = "The column mixes units" if len(found) > 1 else "Units stand in the cells"
    return (
        f" {mixed} ({counts}): bring it to one, and write plain numbers; the unit of all of them may stand in a header "
        "that is mapped, such as columns={'energy_kwh': 'energy [Wh]'}."
    )


def _name(theirs: str | tuple[str, float]) -> str:
    return theirs if isinstance(theirs, str) else theirs[0]


def _header_factor(ours: str, theirs: str) -> float:
    """Find what to multiply a column by for the unit in its header; 1 if there is none."""
    match = _HEADER_UNIT.fullmatch(theirs)
    if match is None or ours not in UNITS:
        return 1.0
    unit = (match["square"] or match["round"]).strip()
    if unit in UNITS[ours]:
        return UNITS[ours][unit]
    if match["round"]:  # a remark, as in "energy (GPU)"
        return 1.0
    raise PePRError(
        f"the column {theirs!r} is mapped to {ours}, and its unit is none of {', '.join(UNITS[ours])}; "
        f"expected a factor beside it: ({theirs!r}, 0.001)."
    )
