"""A space as plain types, as a record keeps it: what is valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lightning_pepr.cost import RESOURCES, Resource
from lightning_pepr.errors import PePRError
from lightning_pepr.functional import check_range
from lightning_pepr.utilities.json import Count, convert

SPACE_SCHEMA = "lightning-pepr/space/1"


def check_ranges(ranges: Any) -> dict[str, tuple[float, float]]:
    """Return the low and high of each resource by its field, in order, or raise an error that says what is wrong."""
    if not isinstance(ranges, Mapping) or not ranges:
        raise PePRError(
            f"ranges is {ranges!r}; expected a low and a high for at least one resource, "
            'such as {"energy_kwh": (0.01, 0.25)}.'
        )
    found: dict[str, tuple[float, float]] = {}
    for name, pair in ranges.items():
        field = Resource.of(name).field
        if field in found:
            raise PePRError(f"{field} is given twice (the second time as {name!r}); expected once.")
        try:
            low, high = pair
        except (TypeError, ValueError):
            raise PePRError(f"the range of {name} is {pair!r}; expected a pair (low, high).") from None
        try:
            found[field] = check_range(low, high)
        except (TypeError, ValueError, OverflowError) as error:
            raise PePRError(f"the range of {name}: {error}") from None
    return {r.field: found[r.field] for r in RESOURCES if r.field in found}


def check_space(plain: Any) -> dict[str, tuple[float, float]]:
    """Return the ranges of what `ModelSpace.to_dict` gives, or raise an error that says why it is no such thing."""
    schema = plain.get("schema") if isinstance(plain, Mapping) else None
    if schema != SPACE_SCHEMA:
        raise PePRError(f"schema is {schema!r}; expected {SPACE_SCHEMA!r} (a newer one needs a newer lightning-pepr).")
    convert({name: plain[name] for name in _About.__struct_fields__ if name in plain}, _About)
    return check_ranges(plain.get("ranges", {}))


class _About(msgspec.Struct):
    """What a space says of itself beside its ranges."""

    source: str = ""
    models: Count | None = None
    device: str = ""
    note: str = ""
