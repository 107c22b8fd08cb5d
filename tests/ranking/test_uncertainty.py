"""Intervals hold the truth as often as they say, and ranks follow from them by their definition."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr import rank
from lightning_pepr.runs.table import COLUMNS


def table(**columns: list[Any]) -> pl.DataFrame:
    size = len(next(iter(columns.values())))
    data: dict[str, list[Any]] = {"model": [f"m{i}" for i in range(size)], "performance": [0.5] * size, **columns}
    return pl.DataFrame(data, schema_overrides={name: COLUMNS[name] for name in data})


sizes = st.none() | st.integers(1, 400)
runs_of_models = st.lists(
    st.fixed_dictionaries(
        {
            "model": st.sampled_from("abcd"),
            "performance": st.floats(0, 1),
            "energy_kwh": st.floats(0.1, 2.0),
            "energy_kwh_error": st.none() | st.floats(0, 0.5),
            "gain": st.none() | st.floats(0, 0.2),
            "boards": st.sampled_from(["x", "y", None]),
            "samples": sizes,
        }
    ),
    min_size=2,
    max_size=8,
)


class TestRanks:
    @given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 2), st.floats(0, 0.5), sizes), min_size=2, max_size=9))
    def test_by_definition(self, rows: list[tuple[float, float, float, int | None]]) -> None:
        """They count the intervals that lie wholly above."""
        p, energy, error, samples = (list(column) for column in zip(*rows, strict=True))
        if min(energy) == max(energy):
            return
        ranked = rank(table(performance=p, energy_kwh=energy, energy_kwh_error=error, samples=samples))
        ends = ranked.select("pepr_e_low", "pepr_e_high", "rank", "rank_best", "rank_worst", "pepr_e").rows()
        for low, high, place, best, worst, score in ends:
            assert low <= score <= high
            assert place == best == 1 + sum(other[0] > high for other in ends)
            own = high > low  # an interval with a width reaches above its own lower end
            assert worst == 1 + sum(other[1] > low for other in ends) - own
            assert best <= worst <= len(ends)
        assert ranked["rank"].is_sorted()

    def test_overlap_is_not_chained(self) -> None:
        # a overlaps b, and b overlaps c, but c lies wholly below a.
        runs = table(
            energy_kwh=[1.0, 1.0, 1.0, 2.0],
            performance=[0.90, 0.80, 0.70, 0.10],
            samples=[100, 100, 100, None],
        )
        ranked = rank(runs).sort("model")
        assert ranked["rank"].to_list() == [1, 1, 2, 4]
        assert ranked["rank_worst"].to_list() == [2, 3, 3, 4]

    @given(runs_of_models, st.booleans())
    def test_limits_hold_the_mean(self, rows: list[dict[str, Any]], grouped: bool) -> None:
        """Whatever is known of the runs."""
        if len({row["energy_kwh"] for row in rows}) < 2:
            return
        runs = pl.DataFrame(
            [{**row, "group": str(i % 2)} for i, row in enumerate(rows)],
            schema_overrides={name: COLUMNS[name] for name in ("energy_kwh_error", "gain", "boards", "samples")},
        )
        if any(part["energy_kwh"].n_unique() < 2 for part in runs.partition_by("group")):
            return
        ranked = rank(runs, group="group" if grouped else None)
        # Of one model on two data sets: two models.
        models = ranked.group_by("group", "model").agg(
            pl.col("pepr_e").mean().alias("mean"),
            *(pl.col(name).n_unique().alias(f"{name}_values") for name in ("rank", "pepr_e_low", "pepr_e_high")),
            *(pl.col(name).first() for name in ("rank", "rank_best", "rank_worst", "pepr_e_low", "pepr_e_high")),
        )
        for model in models.rows(named=True):
            assert model["rank_values"] == model["pepr_e_low_values"] == model["pepr_e_high_values"] == 1
            assert model["pepr_e_low"] <= model["mean"] + 1e-15
            assert model["mean"] <= model["pepr_e_high"] + 1e-15
            assert model["pepr_e_low"] >= 0
            assert model["pepr_e_high"] <= 1
            assert 1 <= model["rank_best"] <= model["rank_worst"] <= len(models)


class TestRepeats:
    def test_seeds_give_students_interval_of_their_mean(self) -> None:
        from scipy import stats

        p = [0.8, 0.82, 0.87]
        runs = table(
            model=["a", "a", "a", "b"], performance=[*p, 0.1], energy_kwh=[1.0, 1.0, 1.0, 2.0], samples=[None] * 4
        )
        first = rank(runs).row(0, named=True)
        half = stats.t.ppf(0.975, 2) * statistics.stdev(p) / math.sqrt(3)
        assert first["pepr_e_low"] == pytest.approx(statistics.mean(p) - half, rel=1e-12)
        assert first["pepr_e_high"] == pytest.approx(statistics.mean(p) + half, rel=1e-12)
        assert first["replication"] == "3 runs"

    def test_each_interval_says_what_it_comes_from(self) -> None:
        runs = table(
            model=["a", "a", "b", "c", "d", "d"],
            energy_kwh=[1.0, 1.1, 2.0, 3.0, 4.0, 4.1],
            samples=[100, 100, 100, None, None, None],
        )
        ranked = rank(runs)
        found = dict(zip(ranked["model"], ranked["replication"], strict=True))
        assert found == {"a": "2 runs, 100 samples", "b": "100 samples", "c": "not replicated", "d": "2 runs"}

    def test_the_truth_is_in_the_interval_as_often_as_it_says(self) -> None:
        """Accuracy on a test set of 200, of three seeds that differ: the mean of the score at the true accuracy."""
        rng = np.random.default_rng(0)
        inside, count, n, truth, between = 0, 400, 200, 0.8, 0.02
        for _ in range(count):
            of_seeds = np.clip(rng.normal(truth, between, 3), 0, 1)
            p = rng.binomial(n, of_seeds) / n
            runs = table(
                model=["a"] * 3 + ["b"],
                performance=[*p, 0.5],
                energy_kwh=[1.0, 1.0, 1.0, 2.0],
                samples=[n] * 3 + [None],
            )
            low, high = rank(runs).filter(model="a").select("pepr_e_low", "pepr_e_high").row(0)
            inside += low <= truth <= high
        assert inside >= 0.95 * count


class TestBoards:
    RUNS = (("a", 0.80, 1.0), ("b", 0.79, 1.2), ("c", 0.5, 3.0))

    def ranked(self, boards: list[str | None], gain: float = 0.2) -> pl.DataFrame:
        model, p, energy = (list(column) for column in zip(*self.RUNS, strict=True))
        return rank(table(model=model, performance=p, energy_kwh=energy, gain=[gain] * 3, boards=boards)).sort("model")

    def test_a_gain_that_is_shared_cancels(self) -> None:
        ranked = self.ranked(["x", "x", "x"])
        assert ranked["rank"].to_list() == ranked["rank_worst"].to_list() == [1, 2, 3]
        assert ranked["pepr_e_low"].equals(ranked["pepr_e"], null_equal=True, check_names=False)

    def test_it_counts_between_boards(self) -> None:
        ranked = self.ranked(["x", "y", "y"])
        assert ranked["rank"].to_list() == [1, 1, 3]
        assert ranked["rank_worst"].to_list() == [2, 2, 3]
        assert (ranked["pepr_e_high"] > ranked["pepr_e_low"]).all()
        assert self.ranked(["x", "y", "y"], gain=0.01)["rank"].to_list() == [1, 2, 3]

    def test_two_on_one_board_are_kept_apart_beside_a_third_on_another(self) -> None:
        ranked = self.ranked(["x", "x", "y"])
        assert ranked["rank"].to_list() == [1, 2, 3]
        assert ranked["rank_worst"].to_list() == [1, 2, 3]

    def test_the_row_of_a_baseline_is_on_no_board(self) -> None:
        runs = table(performance=[0.6, 0.7, 0.8], energy_kwh=[1.0, 1.5, 2.0], gain=[0.05] * 3, boards=["x"] * 3)
        for baseline in (None, 0.0):
            found = rank(runs, baseline=baseline).filter(pl.col("source").ne_missing("baseline"))
            assert found["pepr_e_low"].to_list() == found["pepr_e_high"].to_list() == found["pepr_e"].to_list()

    def test_a_group_on_one_board_shares_its_gain_whatever_the_others_are_on(self) -> None:
        runs = table(
            group=["a", "a", "b", "b"],
            performance=[0.8] * 4,
            energy_kwh=[1.0, 2.0, 1.0, 2.0],
            gain=[0.05] * 4,
            boards=["x", "x", "x", "y"],
        )
        found = rank(runs, group="group").sort("group", "model")
        wide = (found["pepr_e_high"] > found["pepr_e_low"]).to_list()
        assert wide == [False, False, True, True]

    def test_repeats_on_several_boards_share_no_gain(self) -> None:
        runs = table(
            model=["a", "a", "b", "b"],
            performance=[0.80, 0.80, 0.79, 0.79],
            energy_kwh=[1.0, 1.0, 1.2, 3.0],
            gain=[0.2] * 4,
            boards=["x", "y", "x", "y"],
        )
        assert rank(runs)["rank"].to_list() == [1, 1, 1, 1]


def test_a_lower_bound_may_be_anything_dearer() -> None:
    runs = table(performance=[0.8, 0.8, 0.8], energy_kwh=[1.0, 2.0, 3.0], lower_bound=["energy_kwh", None, "time_s"])
    with pytest.warns(UserWarning, match="energy_kwh of 1 of the 3 runs \\(such as m0\\) is a lower bound"):
        ranked = rank(runs).sort("model")
    assert ranked.select("rank", "rank_worst").rows() == [(1, 3), (1, 2), (2, 3)]
    assert ranked["pepr_e_low"][0] == 0.0
