"""Plain types, as JSON has them: records become such and are read from them, and are written a line for each entry."""

from __future__ import annotations

import json
import re
import reprlib
import sys
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from lightning_pepr.errors import PePRError

T = TypeVar("T")

Amount = Annotated[float, Meta(ge=0.0, le=sys.float_info.max)]
"""A number in a file that is finite and not negative."""

Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
"""A number in a file that is finite."""

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""An integer in a file that is not negative, and that a table can hold."""

Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""An integer in a file that a table can hold."""

DEEPEST = 64
"""How deep values in a file may stand within one another: Python itself follows no more than a thousand."""

_EXPECTED = re.compile(
    r"Expected `(?P<expected>.+)`(?:, got `(?P<got>\w+)`| (?P<limit>[<>]=) (?P<end>\S+))(?: - at `\$\.?(?P<path>.*)`)?"
)
_STEP = re.compile(r"(\w+)|\[(\d+|\.\.\.)\]")


def to_json(plain: dict[str, Any]) -> str:
    """A record as JSON with a line for each epoch, cost, …: as easy to read as with `indent`, and ten times as fast."""
    dumps = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode
    lines = []
    for key, value in plain.items():
        if isinstance(value, list) and value:
            text = "[\n  " + ",\n  ".join(map(dumps, value)) + "\n ]"
        elif isinstance(value, dict) and value:
            text = "{\n  " + ",\n  ".join(f"{dumps(str(name))}: {dumps(item)}" for name, item in value.items()) + "\n }"
        else:
            text = dumps(value)
        lines.append(f" {dumps(key)}: {text}")
    # Half a character, as in a file's name that is no text, is none.
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8", "replace").decode()


def read_json(text: bytes | str) -> Any:
    """Read JSON as it is defined: without NaN, infinities, numbers that no double holds, and halves of characters.

    Raises:
        PePRError: If it is none, or values stand too deep within one another.
    """
    try:
        data = msgspec.json.decode(text)
        _check_depth(data)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise PePRError(f"it is no JSON: {error}") from error
    except RecursionError:
        raise PePRError(f"its values stand more than {DEEPEST} deep within one another.") from None
    return data


def _check_depth(data: Any, left: int = DEEPEST) -> None:
    if not left:
        raise RecursionError
    for value in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        if isinstance(value, (dict, list)):
            _check_depth(value, left - 1)


def finite(value: Any) -> Any:
    """The same with None for NaN and infinities, which JSON does not have."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)


def to_builtins(data: Any) -> dict[str, Any]:
    """A dataclass or structure as plain types, and so all in it."""
    return msgspec.to_builtins(data, enc_hook=_plain)  # type: ignore[no-any-return]


def encode(data: Any) -> bytes:
    """A dataclass, structure or plain type as JSON in one line. What is not a finite number becomes null."""
    try:
        return _ENCODER.encode(data)
    except UnicodeEncodeError:  # half a character is none, as in `to_json`
        return json.dumps(finite(to_builtins(data)), ensure_ascii=False).encode("utf-8", "replace")


def convert(data: Any, kind: type[T], name: str = "it") -> T:
    """Read plain types as a dataclass or structure; an error names the field, its value, and what was expected.

    >>> convert({"a": 1, "b": ["x"]}, dict[str, int])
    Traceback (most recent call last):
    ...
    lightning_pepr.errors.PePRError: [...] is ['x']; expected int
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        match = _EXPECTED.fullmatch(str(error))
        if match is None:  # a field that is missing or unknown, which the message names
            raise PePRError(str(error)) from None
        path = match["path"] or ""
        value = next((each for each in _values_at(data, path) if _is_refused(each, match)), None)
        expected = f"{match['expected']} {match['limit']} {match['end']}" if match["limit"] else match["expected"]
        raise PePRError(f"{path or name} is {_shown(value)}; expected {expected}") from None


def read_field(data: Any, name: str, kind: type[T]) -> T | None:
    """A field of plain types; None if it is not there, or not of its kind.

    >>> read_field({"a": 1, "b": "x"}, "a", int), read_field({"a": 1, "b": "x"}, "b", int)
    (1, None)
    """
    try:
        return convert(data[name], kind)
    except (KeyError, TypeError, OverflowError, PePRError, RecursionError):
        return None


def _values_at(data: Any, path: str) -> list[Any]:
    """The values at a path: msgspec does not say under which key of a mapping it was."""
    found = [data]
    for name, index in _STEP.findall(path):
        mappings = [each for each in found if isinstance(each, dict)]
        if index == "...":
            found = [item for each in mappings for item in each.values()]
        elif index:
            found = [each[int(index)] for each in found if isinstance(each, list) and len(each) > int(index)]
        else:
            found = [each[name] for each in mappings if name in each]
    return found


def _is_refused(value: Any, match: re.Match[str]) -> bool:
    """Whether a value is of the kind, or beyond the limit, that an error names."""
    if match["got"]:
        kinds = {"NoneType": "null", "list": "array", "tuple": "array", "dict": "object"}
        return kinds.get(type(value).__name__, type(value).__name__) == match["got"]
    end = float(match["end"])
    return isinstance(value, (int, float)) and not (value >= end if match["limit"] == ">=" else value <= end)


def _shown(value: Any) -> str:
    """A value for an error, cut where it is long."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = 100
    return short.repr(value)


def _plain(value: Any) -> Any:
    """A subclass of a plain type as that: numpy's doubles are floats."""
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"{value!r} is a {type(value).__name__}, which JSON does not have")


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)
