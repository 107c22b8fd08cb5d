"""The spaces and the scores of a page; test_browser_scores.py holds what is shown of them against `rank`."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lightning_pepr.report import scores
from lightning_pepr.report.data import collect
from lightning_pepr.space import ModelSpace
from tests.helpers.records import make_run


def test_spaces_are_the_given_one_those_recorded_and_the_published(tmp_path: Path) -> None:
    space = ModelSpace.budget(energy_kwh=2.0)
    space.save(tmp_path / "space.json")
    data = collect([make_run("a", 1e6), make_run("b", 4e6)], space=tmp_path / "space.json")
    assert [each["kind"] for each in data["spaces"]] == ["Given", "Recorded", *["Published"] * 8]
    assert data["spaces"][0]["ranges"] == {"E": [0.0, 2.0]}
    for each in data["spaces"][2:]:
        name = each["key"].removeprefix("published-")
        clean = "without" in each["label"]
        assert each["ranges"]["E"] == list(ModelSpace.published(name, clean=clean).range("energy"))


def test_fewer_recorded_spaces_are_offered_of_many_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [make_run(f"m{k}", space=ModelSpace.budget(energy_kwh=1.0 + k // 2).to_dict()) for k in range(10)]
    assert sum(each["kind"] == "Recorded" for each in collect(runs)["spaces"]) == 5
    monkeypatch.setattr(scores, "_MOST_RECORDED", 25)
    assert sum(each["kind"] == "Recorded" for each in collect(runs)["spaces"]) == 2
    given = ModelSpace.budget(energy_kwh=9.0)
    assert [each["kind"] for each in collect(runs, space=given)["spaces"]][:3] == ["Given", "Recorded", "Published"]


def test_groups_are_scored_apart_where_there_are_several() -> None:
    table = pl.DataFrame({"model": ["a", "b", "c"], "performance": [0.5, 0.6, 0.7], "energy_kwh": [1.0, 2.0, 8.0]})
    assert collect(table)["scores"]["apart"] is None
    grouped = collect(table.with_columns(group=pl.Series(["x", "x", "y"])))["scores"]
    (everything,), groups = grouped["all"]["own"]["E"]["groups"], grouped["apart"]["own"]["E"]["groups"]
    assert everything["range"] == (1.0, 8.0)
    assert {each["group"]: each["range"] for each in groups} == {"x": (1.0, 2.0), "y": (8.0, 8.0)}
    fixed = [grouped[scope]["published-derma_pt"]["E"] for scope in ("all", "apart")]
    assert fixed[0]["r"] == fixed[1]["r"], "equal columns are there once"


def test_what_rank_warns_of_is_said_once() -> None:
    table = pl.DataFrame({"model": ["a", "b"], "performance": [0.5, 0.6], "energy_kwh": [1.0, 1.0]})
    assert collect(table)["notes"] == [], "the page itself says that a space is flat"
