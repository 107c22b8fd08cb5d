"""Tables and runs are read alike for every figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from lightning_pepr.errors import PePRError
from lightning_pepr.figures.inputs import categories_of, columns_of, named_runs
from lightning_pepr.record import RunRecord


@pytest.mark.parametrize("kind", [dict, pl.DataFrame])
def test_columns_are_floats_and_missing_values_nan(kind: Callable[[Any], Any]) -> None:
    found = columns_of(kind({"a": [1, None], "b": [2.0, 3.0]}), ["a"], ["b", "c"])
    np.testing.assert_array_equal(found["a"], [1.0, np.nan])
    assert list(found) == ["a", "b"]


def test_categories_that_are_missing_are_unknown() -> None:
    table = {"type": ["CNN", None]}
    assert categories_of(table, "type") == ["CNN", "unknown"]
    assert categories_of(table, None) is None
    with pytest.raises(PePRError, match="no column 'family' to colour by"):
        categories_of(table, "family")


def test_runs_of_one_name_are_numbered() -> None:
    runs = [RunRecord("a"), RunRecord("b"), RunRecord("a")]
    assert list(named_runs(runs)) == ["a (1)", "b", "a (2)"]
    assert list(named_runs({"mine": runs[0]})) == ["mine"]
    assert list(named_runs(runs[1])) == ["b"]


def test_models_of_one_name_are_called_as_in_a_ranking() -> None:
    runs = [RunRecord("a", params=1), RunRecord("a", params=2), RunRecord("a", params=1)]
    assert list(named_runs(runs)) == ["a (1 parameter) (1)", "a (2 parameters)", "a (1 parameter) (2)"]
