"""Findings in words."""

from __future__ import annotations

import polars as pl

from lightning_pepr.auditing.evidence import rounded, sentence, tell

RUNS = pl.DataFrame({"at": [0, 1, 2], "x": [1.0, 12345.678, None], "name": ["a", "b", "c"]})


def test_amounts_have_four_digits() -> None:
    numbers = pl.DataFrame({"x": [1.0, 12345.678, 0.000123456, None]})
    assert numbers.select(rounded(pl.col("x")))["x"].to_list() == ["1", "12350", "0.0001235", None]


def test_columns_are_filled_into_a_template() -> None:
    assert RUNS.select(text=sentence("{name}: {x}, about {~x} W"))["text"].to_list() == [
        "a: 1.0, about 1 W",
        "b: 12345.678, about 12350 W",
        None,
    ]


def test_each_run_that_fails_a_check_is_found_with_all_that_it_fails() -> None:
    x = pl.col("x")
    findings = tell(
        RUNS.with_columns(third=x / 3),
        [(x > 0, "{~third} of {name}"), (x > 2, "that is {x}")],
        impossible=x > 2,
        separator=" and ",
        ending="!",
    )
    assert findings.rows() == [(0, "0.3333 of a!", "medium"), (1, "4115 of b and that is 12345.678!", "high")]
    assert tell(RUNS, [(x > 1e9, "{x}")], impossible=x > 2).rows() == []
