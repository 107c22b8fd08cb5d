"""The limits of a share that was found in samples."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.utilities.statistics import wilson


def limits(p: float, n: int | None) -> tuple[float, float]:
    frame = pl.DataFrame({"p": [p], "n": [n]}, schema={"p": pl.Float64, "n": pl.Int64})
    low, high = wilson(pl.col("p"), pl.col("n"))
    return frame.select(low=low, high=high).row(0)


class TestWilson:
    @given(st.floats(0, 1), st.integers(1, 10**9))
    def test_it_holds_the_share_and_stays_in_bounds(self, p: float, n: int) -> None:
        low, high = limits(p, n)
        assert 0 <= low <= p <= high <= 1

    def test_what_scipy_gives(self) -> None:
        stats = pytest.importorskip("scipy.stats")
        for k, n in [(0, 10), (3, 10), (87, 100), (500, 500)]:
            expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
            assert limits(k / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)

    def test_without_a_number_of_samples_the_limits_are_the_share(self) -> None:
        assert limits(0.7, None) == (0.7, 0.7)
