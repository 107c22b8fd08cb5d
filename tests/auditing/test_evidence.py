"""Findings in words."""

from __future__ import annotations

import polars as pl

from lightning_pepr.auditing.evidence import rounded, tell

RUNS = pl.DataFrame({"at": [0, 1, 2], "x": [1.0, 12345.678, None], "name": ["a", "b", "c"]})


def test_amounts_have_four_digits() -> None:
    numbers = pl.DataFrame({"x": [1.0, 12345.678, 0.000123456, None]})
    assert numbers.select(rounded(pl.col("x")))["x"].to_list() == ["1", "12350", "0.0001235", None]


def test_each_run_that_fails_a_check_is_told_with_all_that_it_fails() -> None:
    x = pl.col("x")
    findings = tell(
        RUNS,
        [(x > 0, "{} of {}", [x / 3, "name"]), (x > 2, "that is {}", ["x"])],
        impossible=x > 2,
        separator=" and ",
        ending="!",
    )
    assert findings.rows() == [(0, "0.3333 of a!", "medium"), (1, "4115 of b and that is 12345.678!", "high")]
    assert tell(RUNS, [(x > 1e9, "{}", ["x"])], impossible=x > 2).rows() == []
