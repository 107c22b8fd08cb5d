"""What other tables call their columns: a mapping by the user, units in headers, and CodeCarbon's `emissions.csv`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import polars as pl

from lightning_pepr.cost import CARBON, ENERGY, FACTORS, MEMORY, RESOURCES, TIME

Columns: TypeAlias = Mapping[str, "str | tuple[str, float]"]
"""For each of our columns the table's name of it, or that name and a factor: `{"energy_kwh": ("energy_wh", 1e-3)}`."""

UNITS = {resource.field: FACTORS[resource] for resource in (ENERGY, CARBON, TIME, MEMORY)}
UNITS["performance"] = {"%": 0.01}
"""How many of our unit one of theirs is."""

_TEXT = ("group", "model", "quality", "run_id", "device", "boards", "status")
_AMOUNTS = (
    "performance",
    *(resource.field for resource in RESOURCES),
    "energy_kwh_error",
    "carbon_g_error",
    "samples",
)
_HEADER_UNIT = re.compile(r".*\[(?P<square>[^\]]+)\]\s*|.*\((?P<round>[^)]+)\)\s*")
_CELL_UNIT = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*(?P<unit>[^\d\s.,].*)")
_CODECARBON = {"project_name", "run_id", "duration", "emissions", "energy_consumed"}


def parse_columns(assignments: Iterable[str]) -> dict[str, str | tuple[str, float]]:
    """A mapping of columns from texts such as "model=arch" and "energy_kwh=energy_wh*0.001".

    Raises:
        ValueError: If a text is not of that form, or a column is given twice.

    >>> parse_columns(["model=arch", "energy_kwh=energy_wh*0.001"])
    {'model': 'arch', 'energy_kwh': ('energy_wh', 0.001)}
    """
    found: dict[str, str | tuple[str, float]] = {}
    for text in assignments:
        ours, equals, theirs = (part.strip() for part in text.partition("="))
        if not (ours and equals and theirs):
            raise ValueError(
                f"{text!r} maps no column; expected OURS=THEIRS or OURS=THEIRS*FACTOR, such as model=arch."
            )
        if ours in found:
            raise ValueError(f"the column {ours} is mapped twice, the second time by {text!r}.")
        name, star, factor = theirs.rpartition("*")
        try:
            found[ours] = (name.strip(), float(factor)) if star else theirs
        except ValueError:  # the star is part of the name
            found[ours] = theirs
    return found


def check_columns(columns: Columns) -> None:
    """Refuse a mapping to columns that we do not have, or by a factor that is none.

    Raises:
        ValueError: Names the entry, and the columns that can be mapped.
    """
    for ours, theirs in columns.items():
        if ours not in (*_TEXT, *_AMOUNTS):
            raise ValueError(f"{ours!r} cannot be mapped; expected one of {', '.join((*_TEXT, *_AMOUNTS))}.")
        if isinstance(theirs, str):
            continue
        if not (isinstance(theirs, tuple) and len(theirs) == 2 and isinstance(theirs[0], str)):
            raise ValueError(f"{ours} is mapped to {theirs!r}; expected a column, or a column and a factor.")
        if ours in _TEXT:
            raise ValueError(f"{ours} is text; expected a column for it, without the factor {theirs[1]!r}.")
        if not (isinstance(theirs[1], (int, float)) and 0 < theirs[1] < math.inf):
            raise ValueError(f"the factor of {ours} is {theirs[1]!r}; expected a finite number larger than 0.")


def amounts_of(columns: Columns) -> list[str]:
    """The columns of the table that a mapping takes for numbers."""
    return [_name(theirs) for ours, theirs in columns.items() if ours in _AMOUNTS]


def apply_columns(frame: pl.DataFrame, columns: Columns, where: str) -> pl.DataFrame:
    """Add our columns to a table, from its own by the mapping; numbers are numbers already.

    Where no factor is given, a unit in the header, "energy [Wh]" or "energy (Wh)", is converted.

    Raises:
        ValueError: If the table has not a column that is mapped, lists those found; or its header names a unit that is
            not known.
    """
    missing = [_name(theirs) for theirs in columns.values() if _name(theirs) not in frame.columns]
    if missing:
        raise ValueError(
            f"{where} has no column {' and no column '.join(map(repr, missing))} to map; its columns are "
            f"{', '.join(frame.columns)}."
        )
    new = {}
    for ours, theirs in columns.items():
        if ours in _TEXT:
            new[ours] = pl.col(_name(theirs)).cast(pl.String)
            continue
        factor = _header_factor(ours, theirs) if isinstance(theirs, str) else float(theirs[1])
        new[ours] = pl.col(_name(theirs)) if factor == 1.0 else pl.col(_name(theirs)) * factor
    return frame.with_columns(**new)


def is_codecarbon(frame: pl.DataFrame) -> bool:
    """Whether a table has the columns of CodeCarbon's `emissions.csv`, and has not been through here before."""
    return set(frame.columns) >= _CODECARBON and "energy_kwh" not in frame.columns


def from_codecarbon(frame: pl.DataFrame, mapped: Iterable[str] = ()) -> pl.DataFrame:
    """Add our columns to CodeCarbon's: energy, carbon and time, the project as the model, and the devices.

    Of several rows of one run, which it writes while it measures, the last counts: its amounts are all so far.
    CodeCarbon estimates the power of the memory, and of most processors, so that the sum is an estimate.

    Args:
        frame: The table, its numbers numbers already.
        mapped: Our columns that the user's mapping has filled, and that are left as they are.
    """
    devices = [name for name in ("gpu_model", "cpu_model") if name in frame.columns]
    new = {
        "model": pl.col("project_name").cast(pl.String),
        "energy_kwh": pl.col("energy_consumed"),
        "carbon_g": pl.col("emissions") * 1000.0,  # CodeCarbon writes kg
        "time_s": pl.col("duration"),
        "quality": pl.lit("estimated"),
        "device": pl.concat_str([pl.col(name).cast(pl.String) for name in devices], separator=", ", ignore_nulls=True)
        if devices
        else pl.lit(None, dtype=pl.String),
    }
    if "performance" not in frame.columns:
        new["performance"] = pl.lit(None, dtype=pl.Float64)
    mapped = set(mapped)
    frame = frame.with_columns(column.alias(name) for name, column in new.items() if name not in mapped)
    return frame.filter(pl.col("run_id").is_null() | pl.col("run_id").is_last_distinct())


CODECARBON_AMOUNTS = ("duration", "emissions", "energy_consumed")
"""The columns of `emissions.csv` that are taken for numbers."""


def units_in(text: pl.Series) -> str:
    """What to tell of the units that stand in the cells of a column; empty if none does."""
    units = text.drop_nulls().str.extract(_CELL_UNIT.pattern.replace("?P<unit>", ""), 1)
    found = units.value_counts().sort("count", descending=True).rows()
    if all(unit is None for unit, _ in found):
        return ""
    told = ", ".join(f"{count} in {unit}" if unit else f"{count} without a unit" for unit, count in found)
    mixed = "The column mixes units" if len(found) > 1 else "Units stand in the cells"
    return (
        f" {mixed} ({told}): bring it to one, and write plain numbers; the unit of all of them may stand in a header "
        "that is mapped, such as columns={'energy_kwh': 'energy [Wh]'}."
    )


def _name(theirs: str | tuple[str, float]) -> str:
    return theirs if isinstance(theirs, str) else theirs[0]


def _header_factor(ours: str, theirs: str) -> float:
    """What to multiply a column by for the unit in its header; 1 if there is none."""
    match = _HEADER_UNIT.fullmatch(theirs)
    if match is None or ours not in UNITS:
        return 1.0
    unit = (match["square"] or match["round"]).strip()
    if unit in UNITS[ours]:
        return UNITS[ours][unit]
    if match["round"]:  # a remark, as in "energy (GPU)"
        return 1.0
    raise ValueError(
        f"the column {theirs!r} is mapped to {ours}, and its unit is none of {', '.join(UNITS[ours])}; "
        f"expected a factor beside it: ({theirs!r}, 0.001)."
    )
