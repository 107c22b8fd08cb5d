"""What is known of runs beside scores: what to colour them by, how costs were measured, stages, devices, versions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl

from lightning_pepr.cost import ENERGY, RESOURCES
from lightning_pepr.figures import palette
from lightning_pepr.paper.architectures import architectures
from lightning_pepr.record import RunRecord
from lightning_pepr.runs import COLUMNS, Runs
from lightning_pepr.utilities.json import finite

_MOST_CATEGORIES = 30


def find_facets(table: Runs, records: Sequence[RunRecord | None]) -> list[dict[str, Any]]:
    """What runs can be coloured by: the type of a model, settings, columns; few values, at least two."""
    columns: dict[str, list[str | None]] = {}
    if "type" not in table.columns:
        kinds = {name: each.kind for each in architectures().values() for name in (each.name, each.timm)}
        # Without what a label adds to a name.
        columns["type"] = [kinds.get(str(label).partition(" (")[0]) for label in table["model"]]
    others = [name for name, dtype in table.schema.items() if name not in COLUMNS and dtype == pl.String]
    columns |= {name: table[name].to_list() for name in ("group", *others)}
    settings = [{} if record is None else _facts(record.settings) for record in records]
    for name in dict.fromkeys(name for each in settings for name in each):
        values = [each.get(name) for each in settings]
        if name not in columns and all(isinstance(value, (str, int, float, type(None))) for value in values):
            columns[name] = [None if value is None else str(value) for value in values]
    columns |= {name: table[name].to_list() for name in ("device", "quality", "status")}
    facets: list[dict[str, Any]] = []
    for name in sorted(columns, key=lambda name: name != "type"):
        categories = palette.order_categories(value for value in columns[name] if value is not None)
        if 2 <= len(categories) <= _MOST_CATEGORIES:
            of = [None if value is None else categories.index(value) for value in columns[name]]
            if all(facet["of"] != of for facet in facets):  # `group` is that of `dataset`
                facets.append({"name": name, "categories": categories, "of": of})
    return facets


def explain_costs(record: RunRecord | None, quality: str | None) -> dict[str, list[Any]]:
    """How each cost of a run was measured: quality, whether it is a lower bound, and a reason."""
    if record is None:
        return {} if quality is None else {ENERGY.letter: [quality, False, ""]}
    known = [(resource, record.costs.get(resource.field)) for resource in RESOURCES]
    return {r.letter: [entry.quality, entry.lower_bound, entry.reason] for r, entry in known if entry is not None}


def list_devices(record: RunRecord) -> list[list[Any]]:
    """The key, name and energy, in microjoules, of each device."""
    return [[key, device.name or key, device.energy_uj] for key, device in record.devices.items()]


def count_origins(records: Sequence[RunRecord]) -> dict[str, Any]:
    """With what, and on what, the runs were made: each kind with the number of runs."""
    facts = {
        "software": [_facts(record.software) for record in records],
        "hardware": [_facts(record.hardware) for record in records],
        "carbon": [known for record in records if (known := _facts(record.carbon))],
    }
    kinds = {name: Counter(json.dumps(each, sort_keys=True, default=str) for each in of) for name, of in facts.items()}
    return {name: [[count, json.loads(text)] for text, count in of.most_common(5)] for name, of in kinds.items()}


def _facts(value: object) -> dict[str, Any]:
    """What a record says of itself, as JSON can hold it; nothing of what is no mapping."""
    return finite(value) if isinstance(value, dict) else {}
