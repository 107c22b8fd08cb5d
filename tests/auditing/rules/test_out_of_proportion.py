"""Carbon in another unit, and runs unlike their repeats."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr import audit
from tests.helpers.findings import few, found
from tests.helpers.tables import make_clean, scale


@few
@given(seed=st.integers(0, 10**6), row=st.integers(0, 59), factor=st.sampled_from([1e-3, 1e3]))
def test_carbon_in_another_unit(seed: int, row: int, factor: float) -> None:
    table = scale(make_clean(seed), row, carbon_g=factor)
    assert [finding for finding in found(table) if finding[1] != "dominant-high"] == [
        (row, "out-of-proportion", "high")
    ]
    assert {finding[0] for finding in found(table)} == {row}


def test_a_whole_column_in_another_unit() -> None:
    table = make_clean(0).with_columns(pl.col("carbon_g") / 1000)
    assert found(table) == [(row, "out-of-proportion", "medium") for row in range(60)]


def test_a_run_unlike_its_repeats() -> None:
    table = make_clean(0, models=6, seeds=8).with_columns(data_samples=pl.lit(60_000.0))
    table = scale(table, 3, energy_kwh=12.0, carbon_g=12.0, time_s=12.0)
    (finding,) = audit(table).filter(rule="out-of-proportion").rows(named=True)
    assert finding["row"] == 3
    assert "its energy is" in finding["evidence"]
    assert "its time is" in finding["evidence"]
    assert "s per sample" in finding["evidence"]
    stopped = table.with_columns(status=pl.when(pl.int_range(pl.len()) == 3).then(pl.lit("failed")))
    assert audit(stopped).filter(rule="out-of-proportion").is_empty()


def test_half_the_epochs_is_no_finding() -> None:
    table = make_clean(0, models=6, seeds=8).with_columns(data_samples=pl.lit(60_000.0))
    costs = ["energy_kwh", "carbon_g", "time_s", "data_samples"]
    table = scale(table, 3, **dict.fromkeys(costs, 0.1))
    assert found(table) == []
