"""The paper's equations: their properties, and that every array library gets the same result."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from lightning_pepr import normalize, pareto_front, pepr
from lightning_pepr.errors import PePRError
from lightning_pepr.functional import (
    PERFORMANCE_RANGE,
    PERFORMANCE_TOLERANCE,
    above_baseline,
    check_performance,
    is_performance,
)

performances = st.floats(0.0, 1.0)
costs = st.floats(0.0, 1e9)
resources = st.floats(0.0, 1e6)


@st.composite
def ranges(draw: st.DrawFn) -> tuple[float, float]:
    low = draw(st.floats(0.0, 1e6))
    return low, low + draw(st.floats(1e-3, 1e6))


class TestNormalize:
    @given(costs, ranges())
    def test_has_a_floor_and_no_ceiling(self, cost: float, low_high: tuple[float, float]) -> None:
        low, high = low_high
        r = normalize(cost, low, high)
        if cost <= low:
            assert r == 0.0
        elif cost > high:
            assert r >= 1.0
        else:
            assert 0.0 <= r <= 1.0

    @given(ranges())
    def test_low_is_0_and_high_is_1(self, low_high: tuple[float, float]) -> None:
        low, high = low_high
        assert normalize(low, low, high) == 0.0
        assert normalize(high, low, high) == 1.0

    @given(costs, costs, ranges())
    def test_never_falls(self, a: float, b: float, low_high: tuple[float, float]) -> None:
        assert normalize(min(a, b), *low_high) <= normalize(max(a, b), *low_high)

    @given(st.floats(0.0, 1e6), ranges(), st.floats(1e-3, 1e3))
    def test_holds_in_any_unit(self, cost: float, of: tuple[float, float], unit: float) -> None:
        low, high = of
        assert normalize(cost * unit, low * unit, high * unit) == pytest.approx(
            normalize(cost, low, high), rel=1e-6, abs=1e-6 * (1 + low / (high - low))
        )

    def test_a_point_space_gives_0_with_one_warning(self) -> None:
        with pytest.warns(UserWarning, match=r"low and high of the space are equal \(2\.0\)") as caught:
            assert normalize(5.0, 2.0, 2.0) == 0.0
        assert len(caught) == 1
        assert caught[0].filename == __file__
        with pytest.warns(UserWarning, match="equal"):
            np.testing.assert_array_equal(normalize(np.array([1.0, 2.0, 9.0]), 2.0, 2.0), np.zeros(3))

    @pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf, None, "0.5", "much"])
    def test_a_bad_cost_is_named(self, bad: Any) -> None:
        with pytest.raises(ValueError, match=r"^cost is .*; expected a finite number that is not negative"):
            normalize(bad, 0.0, 1.0)

    def test_a_bad_cost_in_an_array_is_named_with_its_place(self) -> None:
        with pytest.raises(ValueError, match=r"cost is -2\.0 at index 1; expected"):
            normalize(np.array([1.0, -2.0, math.nan]), 0.0, 1.0)
        with pytest.raises(ValueError, match=r"cost is nan at index \(1, 0\); expected"):
            normalize(torch.tensor([[1.0, 2.0], [math.nan, 3.0]]), 0.0, 1.0)
        with pytest.raises(ValueError, match=r"cost is nan at index 1; expected"):
            normalize(pl.Series([1.0, None]), 0.0, 1.0)

    def test_a_bad_range_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"low \(2\.0\) is larger than high \(1\.0\).*Swap the two\?"):
            normalize(1.0, 2.0, 1.0)
        with pytest.raises(ValueError, match=r"low is nan and high 1\.0; expected finite"):
            normalize(1.0, math.nan, 1.0)
        with pytest.raises(ValueError, match=r"low is -1\.0"):
            normalize(1.0, -1.0, 1.0)


class TestPePR:
    @given(performances)
    def test_is_p_at_0_and_half_of_it_at_1(self, p: float) -> None:
        assert pepr(p, 0.0) == p
        assert pepr(p, 1.0) == p / 2

    @given(performances, resources)
    def test_is_never_more_than_p_nor_less_than_0(self, p: float, r: float) -> None:
        assert 0.0 <= pepr(p, r) <= p

    @given(performances, performances, resources, resources)
    def test_rises_with_p_and_falls_with_r(self, p: float, q: float, r: float, s: float) -> None:
        assert pepr(min(p, q), r) <= pepr(max(p, q), r)
        assert pepr(p, max(r, s)) <= pepr(p, min(r, s))

    def test_takes_rounding_for_what_it_is(self) -> None:
        assert pepr(1.0 + PERFORMANCE_TOLERANCE / 2, 0.0) == 1.0
        assert pepr(-PERFORMANCE_TOLERANCE / 2, 0.0) == 0.0

    @pytest.mark.parametrize("bad", [1.00001, -0.1, 87.5, math.nan, math.inf, None, "0.9"])
    def test_a_bad_performance_is_named(self, bad: Any) -> None:
        with pytest.raises(ValueError, match=r"^performance is .*; expected a number in \[0, 1\]"):
            pepr(bad, 0.0)

    def test_says_what_to_do_with_percentages(self) -> None:
        with pytest.raises(ValueError, match=r"performance is 87\.5; .* divide percentages by 100"):
            pepr(87.5, 0.0)

    @pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf, None])
    def test_a_bad_r_is_named(self, bad: Any) -> None:
        with pytest.raises(ValueError, match=r"^R is .*; expected .* as `normalize` gives it"):
            pepr(0.5, bad)

    def test_broadcasts(self) -> None:
        np.testing.assert_array_equal(pepr(np.array([0.5, 1.0]), 1.0), [0.25, 0.5])
        np.testing.assert_array_equal(pepr(0.5, np.array([0.0, 1.0])), [0.5, 0.25])
        assert pepr(torch.ones(2, 1), torch.ones(3)).shape == (2, 3)


class TestAboveBaseline:
    @given(performances, st.floats(0.0, 0.999))
    def test_is_0_for_what_is_free_and_1_for_all(self, p: float, p0: float) -> None:
        assert above_baseline(p0, p0) == 0.0
        assert above_baseline(1.0, p0) == pytest.approx(1.0)
        assert 0.0 <= above_baseline(p, p0) <= 1.0

    @given(performances)
    def test_a_baseline_of_0_changes_nothing(self, p: float) -> None:
        assert above_baseline(p, 0.0) == p

    @pytest.mark.parametrize("bad", [1.0, -0.1, math.nan, 50.0])
    def test_a_bad_baseline_is_named(self, bad: float) -> None:
        with pytest.raises(ValueError, match=r"^baseline is .*; expected a performance in \[0, 1\)"):
            above_baseline(0.5, bad)


class TestIsPerformance:
    @given(st.floats() | performances)
    def test_is_what_is_scored_and_what_a_table_keeps(self, value: float) -> None:
        try:
            check_performance(value)
        except PePRError:
            scored = False
        else:
            scored = True
        kept = pl.Series([value]).is_between(*PERFORMANCE_RANGE).item()
        assert is_performance(value) == scored == kept


ARRAYS: dict[str, Callable[[list[float]], Any]] = {
    "numpy64": lambda x: np.array(x),
    "numpy32": lambda x: np.array(x, dtype=np.float32),
    "numpy16": lambda x: np.array(x, dtype=np.float16),
    "numpy scalar": lambda x: np.float64(x[0]),
    "numpy 2-d": lambda x: np.array([x]),
    "torch64": lambda x: torch.tensor(x, dtype=torch.float64),
    "torch32": lambda x: torch.tensor(x),
    "torch16": lambda x: torch.tensor(x, dtype=torch.float16),
    "torch bfloat16": lambda x: torch.tensor(x, dtype=torch.bfloat16),
    "torch 0-d": lambda x: torch.tensor(x[0]),
    "torch with gradient": lambda x: torch.tensor(x, requires_grad=True),
    "pandas": lambda x: pd.Series(x, index=[f"m{i}" for i in range(len(x))]),
    "pandas frame": lambda x: pd.DataFrame({"a": x, "b": x}),
    "polars": lambda x: pl.Series("cost", x),
    "polars32": lambda x: pl.Series("cost", x, dtype=pl.Float32),
    "list": lambda x: x,
    "tuple": lambda x: tuple(x),
}


def to_numpy(values: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    if isinstance(values, torch.Tensor):
        values = values.detach().double()
    return np.asarray(values, dtype=np.float64)


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS.keys())
class TestAnyArray:
    def test_gives_what_plain_numbers_give(self, make: Callable[[list[float]], Any]) -> None:
        cost, performance = make([0.125, 0.25, 3.0]), make([0.875, 0.5, 1.0])
        r = normalize(cost, 0.25, 2.25)
        score = pepr(performance, r)
        scores = [pepr(p, normalize(c, 0.25, 2.25)) for p, c in [(0.875, 0.125), (0.5, 0.25), (1.0, 3.0)]]
        expected = np.broadcast_to(
            np.array(scores[0] if np.ndim(to_numpy(cost)) == 0 else scores).T
            if not isinstance(cost, pd.DataFrame)
            else np.array([scores, scores]).T,
            to_numpy(cost).shape,
        )
        np.testing.assert_allclose(to_numpy(score), expected, rtol=1e-6)
        if not isinstance(cost, (list, tuple)):
            assert type(score) is type(cost)
            assert type(r) is type(cost)

    def test_clips_and_rescales(self, make: Callable[[list[float]], Any]) -> None:
        values = to_numpy(above_baseline(make([0.25, 0.5, 0.75]), 0.5))
        assert values.ravel()[0] == 0.0
        assert values.max() in (0.0, 0.5)

    def test_refuses_what_is_outside(self, make: Callable[[list[float]], Any]) -> None:
        with pytest.raises(ValueError, match=r"performance is 1\.5"):
            check_performance(make([1.5, 0.5, 0.5]))


class TestHalfPrecision:
    """Costs in kWh are below the least, samples above the largest number of half precision."""

    @pytest.mark.parametrize(
        "cost",
        [
            torch.tensor(60000.0, dtype=torch.float16),
            torch.tensor(60000.0, dtype=torch.bfloat16),
            np.array(60000.0, dtype=np.float16),
            pd.Series([60000.0], dtype="float16"),
            np.float16(60000.0),
        ],
        ids=["torch16", "bfloat16", "numpy", "pandas", "scalar"],
    )
    def test_a_range_beyond_it_does_not_overflow(self, cost: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert to_numpy(normalize(cost, 0.0, 1e6)).item() == pytest.approx(0.06, rel=5e-3)

    def test_a_range_below_it_does_not_vanish(self) -> None:
        cost = torch.tensor(3e-6, dtype=torch.float16)
        assert normalize(cost, 0.0, 1e-8).item() == pytest.approx(cost.item() / 1e-8, rel=1e-5)

    def test_gradients_flow(self) -> None:
        p = torch.tensor(0.5, requires_grad=True)
        pepr(p, 1.0).backward()  # type: ignore[no-untyped-call]
        assert p.grad is not None
        assert p.grad.item() == 0.5


class TestParetoFront:
    @given(
        st.lists(
            st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, math.nan]), st.sampled_from([0.0, 1.0, 2.0, 3.0])),
            max_size=12,
        )
    )
    def test_is_what_comparing_each_pair_gives(self, models: list[tuple[float, float]]) -> None:
        expected = [
            not math.isnan(p)
            and not any(
                q >= p and d <= c and (q > p or d < c) for q, d in models if not (math.isnan(q) or math.isnan(d))
            )
            for p, c in models
        ]
        assert pareto_front([p for p, _ in models], [c for _, c in models]).tolist() == expected

    @given(st.lists(st.tuples(performances, resources), min_size=1, max_size=50))
    def test_holds_the_best_score(self, models: list[tuple[float, float]]) -> None:
        p, r = np.array(models).T
        assert pepr(p, r)[pareto_front(p, r)].max() == pepr(p, r).max()

    def test_takes_any_array(self) -> None:
        expected = [True, False, True]
        assert pareto_front(torch.tensor([0.9, 0.5, 0.4]), torch.tensor([3.0, 3.0, 1.0])).tolist() == expected
        assert pareto_front(pl.Series([0.9, None, 0.4]), pl.Series([3.0, 3.0, 1.0])).tolist() == expected

    def test_refuses_unequal_lengths(self) -> None:
        with pytest.raises(ValueError, match=r"performance has shape \(2,\) and cost \(1,\); expected two"):
            pareto_front([0.5, 0.6], [1.0])


@given(performances, costs, ranges(), st.floats(1e-3, 1.0))
def test_the_score_falls_just_when_the_gain_is_below_the_price(
    p: float, cost: float, low_high: tuple[float, float], share: float
) -> None:
    """ΔP / P against ΔR / (1 + R), as the docs state it."""
    r = normalize(cost, *low_high)
    assume(0.01 < p < 0.5)
    better, costlier = p * (1 + share), r + share * (1 + r)
    assert pepr(better, costlier) == pytest.approx(pepr(p, r))
