"""Repeats are distinguished from numbers that are equal because they have few digits."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_pepr.auditing.chance import repeated

JOULES = (1.0, 3.6e6)


def draw(seed: int, size: int, spread: float) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(-3, spread, size))


@settings(max_examples=400)
@given(st.integers(0, 10**6), st.integers(2, 400), st.sampled_from([0.001, 0.1, 1.0]), st.integers(2, 12))
def test_independent_numbers_are_no_repeats_whatever_their_digits(
    seed: int, size: int, spread: float, digits: int
) -> None:
    values = pl.Series(draw(seed, size, spread)).round_sig_figs(digits)
    assert not repeated(values).any()


@given(st.integers(0, 10**6), st.integers(20, 400), st.sampled_from([0.1, 1.0]), st.integers(12, 15))
def test_a_copy_among_them_is_found(seed: int, size: int, spread: float, digits: int) -> None:
    """And nothing else is."""
    values = pl.Series(draw(seed, size, spread)).round_sig_figs(digits).to_numpy().copy()
    values[size - 1] = values[3]
    assert np.flatnonzero(repeated(pl.Series(values)).to_numpy()).tolist() == [3, size - 1]


def test_a_coarse_step_in_another_unit_is_seen() -> None:
    """Whole joules, written in kWh with all digits."""
    joules = np.random.default_rng(0).integers(50_000, 60_000, 300)
    assert len(np.unique(joules)) < 300
    assert repeated(pl.Series(joules / 3.6e6)).any(), "which the digits alone do not tell"
    assert not repeated(pl.Series(joules / 3.6e6), units=JOULES).any()


def test_few_digits_do_when_there_are_very_many_repeats() -> None:
    numbers = draw(1, 150, 1.0)
    values = pl.Series(np.concatenate([numbers, numbers])).round_sig_figs(5)
    assert repeated(values).sum() >= 290
    assert not repeated(pl.Series([0.31, 0.31, 0.52, 0.52, 0.11, 0.11])).any(), "two digits never do"


def test_numbers_with_few_digits_among_those_with_many_are_left_out() -> None:
    coarse = pl.Series(draw(2, 100, 0.5)).round_sig_figs(2)
    precise = draw(3, 200, 0.5)
    precise[0] = precise[1]
    found = repeated(pl.concat([coarse, pl.Series(precise)])).to_numpy()
    assert coarse.n_unique() < 100
    assert np.flatnonzero(found).tolist() == [100, 101]


def test_only_within_what_is_given() -> None:
    values = pl.Series([0.123456789012, 0.123456789012, 0.3456789])
    assert repeated(values, pl.Series(["a", "a", "b"])).to_list() == [True, True, False]
    assert not repeated(values, pl.Series(["a", "b", "b"])).any()


@pytest.mark.parametrize("values", [[], [0.5], [1e-300, 1e-300], [1e300, 1e300], [5e-324, 1.7e308]])
def test_extremes(values: list[float]) -> None:
    assert len(repeated(pl.Series(values, dtype=pl.Float64), units=JOULES)) == len(values)
