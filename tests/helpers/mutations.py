"""Files as nobody should write them: a good one with a few changes, each of which JSON can hold or nearly can."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from random import Random
from typing import Any

DEEP = 2000

_NUMBERS = ["0", "-0.0", "-1", "1", "0.5", "1.5", "87.5", "1e999", "-1e999", "1e308", "5e-324", "NaN", "Infinity"]
_NUMBERS += [
    "-Infinity",
    "1" + 400 * "0",
    "-1" + 400 * "0",
    "1" + 5000 * "0",
    str(2**63),
    str(2**64),
    str(-(2**63) - 1),
]
_WORDS = [
    "",
    "x",
    "1",
    "nan",
    "NaN",
    "a/b",
    "../..",
    "9999-12-31T23:59:59+00:00",
    "finished",
    "energy_kwh",
    "(baseline)",
]
_ESCAPED = [r'"\ud800"', r'"\u0000"', r'"\u001b[2J"', r'"\udc00\ud800"', '"<script>"', r'"\n"', '"' + 5000 * "x" + '"']
_NESTED = ["[]", "{}", "[null]", '{"": null}', "[[1]]", '[{"a": 1}]', '{"value": null}', '["a", 1]']
_DEEP = [depth * "[" + depth * "]" for depth in (90, 900, DEEP, 100_000)]
_DEEP += [depth * '{"a":' + "1" + depth * "}" for depth in (90, 300, 900, DEEP)]

ODD = ["null", "true", "false", *_NUMBERS, *map(json.dumps, _WORDS), *_ESCAPED, *_NESTED, *_DEEP]
"""Values, as they stand in a file."""

NAMES = [
    "_at",
    "_row",
    "_model",
    "_space",
    "_key",
    "_label",
    "at",
    "row",
    "run",
    "",
    "\ud800",
    "_rest",
    "schema",
    "journal",
]
"""Names of fields and columns, some of which the package uses within."""

_ALIKE: dict[type, list[str]] = {
    float: [*_NUMBERS[:13], "null"],
    int: ["0", "-1", "1", str(2**31), str(2**53), str(2**63 - 1), "null"],
    str: [json.dumps(word) for word in _WORDS] + _ESCAPED[1:],
    bool: ["true", "false"],
}
"""Those of the same kind, which get further in."""

_MARK = "%odd{}%"


def mutate(plain: Any, random: Random, most: int = 3) -> str:
    """The text of plain types with one or a few changes."""
    texts: list[str] = []
    plain = copy.deepcopy(plain)
    for _ in range(random.choice([1, 1, most])):
        _change(plain, random, texts)
    text = json.dumps(plain)
    for index, odd in enumerate(texts):
        text = text.replace(json.dumps(_MARK.format(index)), odd)
    return _scratch(text, random) if random.random() < 0.1 else text


def _change(plain: Any, random: Random, texts: list[str]) -> None:
    places = _places(plain)
    if not places:  # all has been deleted
        return
    holder, key = random.choice(places)
    what = random.random()
    if what < 0.1:
        del holder[key]
    elif what < 0.2 and isinstance(holder, dict):
        holder[random.choice(NAMES)] = holder[key]
    elif what < 0.25 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    else:
        before, holder[key] = holder[key], _MARK.format(len(texts))
        texts.append(random.choice(_ALIKE.get(type(before), ODD) if random.random() < 0.6 else ODD))


def _places(plain: Any) -> list[tuple[Any, Any]]:
    """Where something stands: what holds it, and its key or index there."""
    if not isinstance(plain, (dict, list)):
        return []
    keys: Sequence[Any] = list(plain) if isinstance(plain, dict) else range(len(plain))
    found: list[tuple[Any, Any]] = [(plain, key) for key in keys]
    return found + [place for key in keys for place in _places(plain[key])]


def _scratch(text: str, random: Random) -> str:
    """Cut a text off, or write over it."""
    at = random.randrange(len(text) + 1)
    return text[:at] + random.choice(["", "\x00", "\ufeff", "}", '"', "\\", "NaN", text[at + 1 :], text])
