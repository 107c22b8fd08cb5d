"""One model that sets the high of its space."""

from __future__ import annotations

import polars as pl

from lightning_pepr import audit, rank
from tests.helpers.findings import found
from tests.helpers.tables import make_clean, scale


def test_one_that_sets_the_high_and_the_ranking_without_it() -> None:
    table = pl.DataFrame(
        {
            "model": ["a", "b", "c", "d"],
            "performance": [0.70, 0.80, 0.90, 0.95],
            "energy_kwh": [1.0, 2.0, 3.0, 30.0],
        }
    )
    (finding,) = audit(table).rows(named=True)
    assert (finding["row"], finding["rule"], finding["confidence"]) == (3, "dominant-high", "medium")
    before, after = rank(table).filter(pl.col("model") != "d")["model"][0], rank(table[:3])["model"][0]
    assert (before, after) == ("c", "a")
    assert "energy (30 kWh, 10 times the 3 of c)" in finding["evidence"]
    assert "a would be first of the others, not c by PePR-E" in finding["evidence"]


def test_three_times_is_the_limit() -> None:
    table = make_clean(0, groups=1, carbon="constant")
    second = table["energy_kwh"].sort()[-2]
    top = int(table["energy_kwh"].arg_max() or 0)
    factors = dict.fromkeys(["energy_kwh", "carbon_g", "time_s"], 3.0001 * second / table["energy_kwh"][top])
    assert found(scale(table, top, **factors)) == [(top, "dominant-high", "low")]
    factors = dict.fromkeys(factors, 2.9 * second / table["energy_kwh"][top])
    assert found(scale(table, top, **factors)) == []


def test_repeats_of_one_model_dominate_together() -> None:
    table = make_clean(0, groups=1, models=5, seeds=3)
    large = pl.when(pl.col("model") == "model4").then(5.0).otherwise(1.0)
    table = table.with_columns(pl.col("energy_kwh", "carbon_g", "time_s") * large)
    assert [finding[1:] for finding in found(table)] == [("dominant-high", "low")]


def test_each_group_is_a_space() -> None:
    large = pl.when(pl.col("group") == "data1").then(50.0).otherwise(1.0)
    table = make_clean(0).with_columns(pl.col("energy_kwh", "carbon_g", "time_s") * large)
    assert found(table) == []


def test_without_performances_there_is_no_ranking_to_tell() -> None:
    table = pl.DataFrame({"model": ["a", "b", "c"], "performance": [None] * 3, "energy_kwh": [1.0, 2.0, 9.0]})
    (finding,) = audit(table.with_columns(pl.col("performance").cast(pl.Float64))).rows(named=True)
    assert finding["evidence"] == "it alone sets the high of energy (9 kWh, 4.5 times the 2 of b)"
