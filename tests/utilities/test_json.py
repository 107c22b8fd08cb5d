"""Plain types: what becomes of values, how they are written, and what is said of those that do not fit."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.errors import PePRError
from lightning_pepr.utilities.json import convert, finite, to_builtins, to_json

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3))


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    number: float | None = None


@dataclass
class Outer:
    name: str
    inners: dict[str, Inner]
    several: list[Inner]


@given(st.dictionaries(st.text(), values, max_size=5))
def test_what_is_written_is_read_back(plain: dict[str, Any]) -> None:
    assert json.loads(to_json(plain)) == plain


def test_an_entry_is_a_line() -> None:
    assert to_json({"a": [1, 2], "b": {"x": {"y": 1}}, "c": []}).splitlines() == [
        "{",
        ' "a": [',
        "  1,",
        "  2",
        " ],",
        ' "b": {',
        '  "x": {"y": 1}',
        " },",
        ' "c": []',
        "}",
    ]


def test_what_is_not_finite_is_none() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"a": math.nan})
    assert finite({1: (math.inf, [math.nan, 2.0])}) == {"1": [None, [None, 2.0]]}


def test_dataclasses_structures_and_numpys_doubles_become_plain() -> None:
    outer = Outer("net", {"a": Inner(np.float64(0.5))}, [Inner()])
    plain = to_builtins(outer)
    assert plain == {"name": "net", "inners": {"a": {"number": 0.5}}, "several": [{"number": None}]}
    assert type(plain["inners"]["a"]["number"]) is float
    assert convert(plain, Outer) == outer
    with pytest.raises(TypeError, match="is a object, which JSON does not have"):
        to_builtins({"a": object()})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": 3, "inners": {}, "several": []}, "name is 3; expected str"),
        ({"name": "x", "inners": [], "several": []}, r"inners is \[\]; expected object"),
        (
            {"name": "x", "inners": {"a": {"number": 1}, "b": {"number": "2"}}, "several": []},
            r"inners\[\.\.\.\]\.number is '2'; expected float \| null",
        ),
        (
            {"name": "x", "inners": {}, "several": [{}, {"number": [1]}]},
            r"several\[1\]\.number is \[1\]; expected float \| null",
        ),
        ({"name": "x", "inners": {}, "several": [{"n": 1}]}, r"unknown field `n` - at `\$\.several\[0\]`"),
        ({"name": "x", "inners": {}}, "missing required field `several`"),
        (None, "the file is None; expected object"),
    ],
)
def test_what_does_not_fit_is_named(data: Any, message: str) -> None:
    with pytest.raises(PePRError, match=message):
        convert(data, Outer, "the file")
