"""Runs that are in a table twice."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from lightning_pepr import audit, load_runs
from lightning_pepr.auditing import drop_rejected
from tests.helpers.findings import found
from tests.helpers.tables import make_clean


def test_a_row_twice() -> None:
    table = make_clean(0)
    twice = pl.concat([table, table[7:9]])
    assert found(twice) == [(60, "duplicate-run", "high"), (61, "duplicate-run", "high")]
    assert "those of row 7" in audit(twice)["evidence"][0]
    assert drop_rejected(twice)["model"].to_list() == load_runs(table)["model"].to_list()


def test_a_file_twice(tmp_path: Path) -> None:
    make_clean(0).write_csv(tmp_path / "a.csv")
    findings = audit([tmp_path / "a.csv", tmp_path / "a.csv"])
    assert set(findings["rule"]) == {"duplicate-run"}
    assert len(findings) == 60


def test_with_few_digits_and_no_other_repeats_it_is_likely() -> None:
    table = pl.DataFrame(
        {
            "model": ["a", "b", "b"],
            "performance": [0.7, 0.8, 0.8],
            "energy_kwh": [1.0, 2.0, 2.0],
            "time_s": [9, 19, 19],
        }
    )
    assert found(table) == [(2, "duplicate-run", "medium")]
    seeds = table.with_columns(seed=pl.Series([0, 0, 1]))
    assert found(seeds) == []


def test_a_run_id_twice() -> None:
    table = make_clean(0).with_columns(run_id=pl.format("run{}", pl.int_range(pl.len()) % 59))
    assert found(table) == [(59, "duplicate-run", "medium")]
