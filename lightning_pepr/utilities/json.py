"""JSON as records are written: a line for each entry, and null for what is not a finite number."""

from __future__ import annotations

import json
import math
from typing import Any


def to_json(plain: dict[str, Any]) -> str:
    """A record as JSON with a line for each epoch, cost, …: as easy to read as with `indent`, and ten times as fast."""
    dumps = json.JSONEncoder(allow_nan=False).encode
    lines = []
    for key, value in plain.items():
        if isinstance(value, list) and value:
            text = "[\n  " + ",\n  ".join(map(dumps, value)) + "\n ]"
        elif isinstance(value, dict) and value:
            text = "{\n  " + ",\n  ".join(f"{dumps(str(name))}: {dumps(item)}" for name, item in value.items()) + "\n }"
        else:
            text = dumps(value)
        lines.append(f" {dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def finite(value: Any) -> Any:
    """The same with None for NaN and infinities, which JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
