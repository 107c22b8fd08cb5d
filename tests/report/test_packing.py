"""Packed numbers round as Python rounds them."""

from __future__ import annotations

import base64
import gzip

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from lightning_pepr.report.packing import compress, pack, pack_integers, pack_ratios, pack_scores, trim

TIES = [0.0005, 0.0015, 0.0625, 0.5625, 0.9375, 0.0, 1.0]


def test_text_is_compressed_the_same_whenever() -> None:
    text = "π" * 100
    assert gzip.decompress(base64.b64decode(compress(text))).decode() == text
    assert compress(text) == compress(text)


@given(st.lists(st.floats(0, 1)))
@example(TIES)
def test_scores_keep_their_thousandths_and_their_order(values: list[float]) -> None:
    packed = pack_scores(np.array(values))
    assert [f"{value // 50 / 1000:.3f}" for value in packed.tolist()] == [f"{value:.3f}" for value in values]
    assert np.abs((packed - 24.5) / 50_000 - values).max(initial=0) < 3e-5
    assert (np.diff(pack_scores(np.sort(values)).astype(int)) >= 0).all()


@given(st.lists(st.one_of(st.floats(0, 2), st.floats(0, 10), st.floats(0, 999)), min_size=1))
@example([*TIES, 900.0005, 12.3455])
@example([*TIES, 1.2999])
def test_ratios_round_to_the_same_decimals(values: list[float]) -> None:
    packed = pack_ratios(np.array(values))
    assert packed.dtype == ("<u2" if max(values) < 1.3 else "<f4")
    shown = (packed - 24.5) / 50_000 if packed.dtype == "<u2" else packed
    assert [f"{value:.3f}" for value in shown.tolist()] == [f"{value:.3f}" for value in values]


@given(st.lists(st.floats(1e-6, 1e6)), st.integers(4, 20))
def test_trimmed_numbers_are_as_exact_as_their_digits(values: list[float], bits: int) -> None:
    trimmed = trim(np.array(values), bits)
    assert trimmed.dtype == "<f4"
    assert not (trimmed.view("<u4") & ((1 << 24 - bits) - 1)).any(), "what is left out is zeros"
    np.testing.assert_allclose(trimmed, values, rtol=1.01 * 2.0**-bits)


def test_what_is_not_finite_stays_so_when_trimmed() -> None:
    assert np.isnan(trim(np.array([np.nan]), 8)).all()
    assert np.isinf(trim(np.array([np.inf]), 8)).all()


def test_large_ratios_stay_as_they_are() -> None:
    values = [0.1, 12345.67, 1e300]
    assert pack_ratios(np.array(values)).tolist() == values


def test_a_column_is_named_by_its_type() -> None:
    columns = [pack_integers(np.array(values)) for values in ([1, 2], [1, 70_000])]
    assert [pack(each) for each in columns] == [("u2", "AQACAA=="), ("u4", "AQAAAHARAQA=")]
