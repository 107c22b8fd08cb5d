"""The sentence below a ranking that recommends a model; the table itself is tested with the commands that print it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lightning_pepr import load_runs, rank
from lightning_pepr.report.table import recommend
from tests.helpers.records import save_three


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return save_three(tmp_path / "runs")


def test_the_recommendation_is_picked_on_validation_and_stated_on_test(runs: Path) -> None:
    table = load_runs(runs)
    chosen_on = rank(table.with_columns(performance=pl.col("val_performance")))
    assert recommend(rank(table), chosen_on) == (
        "Take small, best in PePR-E by validation data: it keeps 88.2% of the performance of large, the "
        "best-performing one (0.750 against 0.850), and saves 80% of its energy."
    )


def test_the_recommendation_when_one_is_best_in_both(runs: Path) -> None:
    table = load_runs(runs).sort("model").with_columns(performance=pl.Series([0.1, 0.9, 0.4]))
    assert recommend(rank(table), rank(table), on="hope") == (
        "Take small: by hope it performs best and has the best PePR-E, and takes 80% less energy than the "
        "most expensive, large."
    )


def test_nothing_to_recommend(runs: Path) -> None:
    table = load_runs(runs).with_columns(
        energy_kwh=pl.Series([None, 1.0, 2.0]), performance=pl.Series([0.5, None, None])
    )
    assert recommend(rank(table), rank(table)).startswith("No run has both")
