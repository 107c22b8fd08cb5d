"""What a page is made of."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from lightning_pepr.report.data import collect, fingerprint
from tests.helpers.records import make_run, save_runs


def test_what_cannot_be_scored_is_left_out_and_noted() -> None:
    table = pl.DataFrame(
        {
            "model": ["a", "b", "c", "d"],
            "performance": [0.5, 1.5, 0.7, 0.8],
            "energy_kwh": [1.0, 2.0, -3.0, float("nan")],
            "samples": [0, 10, 10, None],
        }
    )
    with pytest.warns(UserWarning, match="cannot be true") as caught:
        data = collect(table)
    assert data["runs"]["p"] == [0.5, None, 0.7, 0.8]
    assert data["runs"]["cost"]["E"] == [1.0, 2.0, None, None]
    assert data["runs"]["samples"] == [None, 10, 10, None]
    assert [str(warning.message) for warning in caught] == data["notes"]
    assert any("performance of 1 of the 4 runs cannot be true (that of b is 1.5)" in note for note in data["notes"])
    assert {finding["rule"] for finding in data["findings"]} >= {"not-positive", "performance-range"}
    json.dumps(data, allow_nan=False)


def test_the_last_epoch_or_the_best() -> None:
    run = make_run("a", 1e6, test_performance=None)
    run.epochs[1].performance = 0.99
    assert collect([run])["runs"]["p"] == [0.99]
    assert collect([run], at="last")["runs"]["p"] == [run.epochs[-1].performance]


def test_no_two_runs_have_the_same_key() -> None:
    table = pl.DataFrame({"model": ["a"], "performance": [0.5], "energy_kwh": [1.0]})
    assert len(set(collect([table, table])["runs"]["key"])) == 2
    names = ["x", "x#2", "x", "y", "x"]
    table = pl.DataFrame({"model": list("abcde"), "performance": [0.5] * 5, "energy_kwh": [1.0] * 5, "run_id": names})
    keys = collect(table)["runs"]["key"]
    assert len(set(keys)) == 5
    assert (keys[0], keys[1], keys[3]) == ("x", "x#2", "y"), "the first of a name keeps it"


def test_a_fingerprint_changes_with_the_records(tmp_path: Path) -> None:
    runs = save_runs(tmp_path / "runs", seeds=1)
    before = fingerprint([runs])
    assert fingerprint([runs]) == before
    make_run("new", 2e6).save(runs / "new" / "pepr.json")
    assert fingerprint([runs]) != before
    (runs / "new" / "pepr.json").unlink()
    assert fingerprint([runs]) == before
    assert fingerprint([tmp_path / "nowhere"]) == ()


def test_performances_below_0_and_above_1() -> None:
    """A page is made of all; its curves keep what was below, and a note names what was above."""
    below, above = make_run("a", 1e6), make_run("b", 4e6)
    below.epochs[0].performance = -0.5
    above.epochs[2].performance = 45.0
    with pytest.warns(UserWarning, match="no performance") as caught:
        data = collect([below, above])
    assert {str(warning.message) for warning in caught} == set(data["notes"])
    assert any("val_acc of b was 45 at epoch 2" in note for note in data["notes"])
    assert any("1 of the 2 runs have no performance (such as b)" in note for note in data["notes"])
    assert data["curves"][0]["p"][0] == -0.5
    assert data["curves"][1] is None
    assert data["runs"]["p"] == [below.test_performance, None]
    assert data["scores"]["points"] == [0]
    json.dumps(data, allow_nan=False)


def test_another_key_of_the_records(tmp_path: Path) -> None:
    run = make_run("a", 1e6, test_performance=None)
    for epoch in run.epochs:
        epoch.others = {"val_auc": 0.5 + epoch.epoch / 100}
    run.save(tmp_path / "pepr.json")
    for source in (run, tmp_path):
        data = collect([source], monitor="val_auc")
        assert data["runs"]["p"] == [0.54]
        assert data["curves"][0]["p"] == [0.5, 0.51, 0.52, 0.53, 0.54]
        assert data["monitors"] == ["val_auc"]


def test_a_run_with_a_performance_of_testing_alone() -> None:
    run = make_run("a", 1e6, monitor="", epochs=1)
    run.epochs[0].performance = None
    data = collect([run])
    assert (data["runs"]["p"], data["curves"], data["monitors"]) == ([run.test_performance], [None], ["test_acc"])
