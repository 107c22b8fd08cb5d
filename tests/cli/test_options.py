"""What several commands share: reading runs, and writing tables."""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl
import pytest

from lightning_pepr.cli.options import add_at, add_runs, check_output, read_named_runs, write_table


def test_runs_are_read_with_columns_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("arch,performance,energy_wh\na,0.5,1000\n")
    parser = argparse.ArgumentParser()
    add_runs(parser)
    add_at(parser)
    words = [str(tmp_path / "t.csv"), "--column", "model=arch", "--column", "energy_kwh=energy_wh*0.001"]
    options = parser.parse_args(words)
    assert options.at == "best"
    assert read_named_runs(options).select("model", "energy_kwh").rows() == [("a", 1.0)]


def test_a_table_is_written_by_its_ending(tmp_path: Path) -> None:
    table = pl.DataFrame({"a": [1, 2]})
    for name, read in (("t.csv", pl.read_csv), ("t.json", pl.read_json)):
        write_table(table, tmp_path / name)
        assert read(tmp_path / name).equals(table)


def test_what_is_no_table_or_is_read_is_refused(tmp_path: Path) -> None:
    check_output(None, [])
    check_output(tmp_path / "new.csv", [])
    with pytest.raises(ValueError, match=r"--drop is .*r\.json.*ends in \.csv\."):
        check_output(tmp_path / "r.json", [], "--drop", (".csv",))
    (tmp_path / "t.csv").touch()
    (tmp_path / "link.csv").symlink_to(tmp_path / "t.csv")
    with pytest.raises(ValueError, match="one of the tables that are read"):
        check_output(tmp_path / "link.csv", ["mlflow:runs", str(tmp_path / "t.csv")])
