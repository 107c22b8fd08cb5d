"""Packed numbers round as Python rounds them."""

from __future__ import annotations

import base64
import gzip

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from lightning_pepr.report.packing import Columns, compress, pack_integers, pack_ratios, pack_scores

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


@given(st.lists(st.one_of(st.floats(0, 10), st.floats(0, 999)), min_size=1))
@example([*TIES, 900.0005, 12.3455])
def test_ratios_round_to_the_same_decimals(values: list[float]) -> None:
    packed = pack_ratios(np.array(values))
    assert packed.dtype == "<f4"
    assert [f"{value:.3f}" for value in packed.tolist()] == [f"{value:.3f}" for value in values]


def test_large_ratios_stay_as_they_are() -> None:
    values = [0.1, 12345.67, 1e300]
    assert pack_ratios(np.array(values)).tolist() == values


def test_a_column_is_kept_once() -> None:
    columns = Columns()
    small, large = pack_integers(np.array([1, 2])), pack_integers(np.array([1, 70_000]))
    assert [columns.add(each) for each in (small, large, small)] == [0, 1, 0]
    assert columns.packed() == [("u2", "AQACAA=="), ("u4", "AQAAAHARAQA=")]
