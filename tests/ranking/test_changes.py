"""What dropping runs changes in a ranking, and the table without them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr import ModelSpace, RunRecord, load_runs, rank
from lightning_pepr.ranking.changes import ranking_changes, write_kept
from tests.helpers.tables import toy

runs = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0.1, 10), st.booleans()), min_size=2, max_size=8, unique_by=lambda run: run[1]
)


@given(runs)
def test_it_is_what_ranking_before_and_after_gives(rows: list[tuple[float, float, bool]]) -> None:
    p, energy, stays = (list(column) for column in zip(*rows, strict=True))
    before = load_runs(toy(energy_kwh=energy, group=["x"] * len(rows)).with_columns(performance=pl.Series(p)))
    after = before.filter(pl.Series(stays))
    changes = ranking_changes(before, after).rows(named=True)
    if len(after) in (0, len(before)):
        assert [change["first_after"] for change in changes] == [None] * (len(after) == 0)
        return
    (change,) = changes
    own, in_all = rank(after), rank(after, space=ModelSpace.from_runs(before))
    both = own.join(in_all, on="model")
    assert change == {
        "group": "x",
        "by": "energy_kwh",
        "dropped": len(before) - len(after),
        "models": len(after),
        "changed": (both["rank"] != both["rank_right"]).sum(),
        "first": rank(before)["model"][0],
        "first_after": own["model"][0],
        "high": max(energy),
        "high_after": own["energy_kwh"].max(),
    }


def test_only_groups_that_lose_a_run_are_listed_and_what_rank_refuses_is_left_out() -> None:
    table = toy(energy_kwh=[1.0, 2.0, -1.0, 1.0, 2.0], group=["x", "x", "x", "y", "y"])
    runs = load_runs(table)
    with pytest.raises(ValueError, match="energy_kwh of m2"):
        rank(runs)
    changes = ranking_changes(runs, runs.filter(pl.col("energy_kwh") > 0))
    assert changes.select("group", "dropped", "models", "changed", "high_after").rows() == [("x", 1, 2, 0, 2.0)]


def test_a_single_table_keeps_its_columns_and_digits(tmp_path: Path) -> None:
    text = ["model,performance,energy_kwh,site", "a,0.50,1e0,A", "b,0.5,2.000,B", "c,.5,3,C"]
    path = tmp_path / "t.csv"
    path.write_text("\n".join([*text[:2], "", *text[2:]]) + "\n", encoding="utf-8")
    runs = load_runs(path)
    write_kept([path], runs.filter(pl.col("model") != "b"), tmp_path / "kept.csv")
    assert (tmp_path / "kept.csv").read_text(encoding="utf-8").splitlines() == [*text[:2], text[3]]


def test_of_records_the_table_of_runs_is_written(tmp_path: Path) -> None:
    for name in ("a", "b"):
        RunRecord(name, test_performance=0.5).save(tmp_path / name / "pepr.json")
    runs = load_runs(tmp_path)
    write_kept([tmp_path], runs.head(1), tmp_path / "kept.csv")
    assert pl.read_csv(tmp_path / "kept.csv").columns == runs.columns


def test_where_there_is_nothing_to_rank_by_that_is_said() -> None:
    runs = load_runs(toy(energy_kwh=[None, None]).with_columns(pl.col("energy_kwh").cast(pl.Float64)))
    for table in (runs, load_runs(toy(energy_kwh=[1.0, 2.0])).with_columns(performance=pl.lit(None, pl.Float64))):
        with pytest.raises(ValueError, match="none of the 2 runs has both a performance and a cost"):
            ranking_changes(table, table.head(1))


def test_the_high_is_that_of_runs_with_a_performance() -> None:
    runs = load_runs(toy(energy_kwh=[1.0, 2.0, 99.0]).with_columns(performance=pl.Series([0.5, 0.6, None])))
    (change,) = ranking_changes(runs, runs.tail(2)).rows(named=True)
    assert (change["high"], change["high_after"]) == (2.0, 2.0)
