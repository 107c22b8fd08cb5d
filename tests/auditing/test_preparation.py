"""Runs as the rules take them."""

from __future__ import annotations

import polars as pl
import pytest

from lightning_pepr import load_runs
from lightning_pepr.auditing.preparation import prepare
from tests.helpers.tables import toy


def test_power_and_intensity_are_of_amounts_that_can_be() -> None:
    table = toy(energy_kwh=[1.0, -1.0, 1.0], carbon_g=[100.0, 100.0, 0.0], time_s=[3600.0, 3600.0, float("nan")])
    runs = prepare(load_runs(table))
    assert runs["_power"].to_list() == [pytest.approx(1000.0), None, None]
    assert runs["_intensity"].to_list() == [100.0, None, None]


def test_models_go_by_name_in_all_groups_and_by_group() -> None:
    table = toy(energy_kwh=[1.0] * 5, group=["x", "y", "y", "x", "x"])
    runs = prepare(load_runs(table.with_columns(model=pl.Series(["a", "a", "a", None, None]))))
    assert runs["_model"].to_list() == [0, 0, 0, 3, 4]
    assert runs["_key"].to_list() == [0, 1, 1, 3, 4]


def test_places_name_the_file_where_there_are_several() -> None:
    table = toy(energy_kwh=[1.0, 2.0], group=["x", None])
    runs = prepare(load_runs(table))
    assert runs.select("_place", "_where").rows() == [("row 0", " in x"), ("row 1", "")]
    two = load_runs(table).with_columns(source=pl.Series(["a.csv", "b.csv"]))
    assert prepare(two)["_place"].to_list() == ["row 0 of a.csv", "row 1 of b.csv"]
    assert prepare(two.with_columns(row=None))["_place"].to_list() == ["a.csv", "b.csv"]


def test_the_limit_of_the_power_is_that_of_the_device() -> None:
    devices = ["NVIDIA L4", "An abacus", None]
    runs = prepare(load_runs(toy(energy_kwh=[1.0] * 3, device=devices, boards=["h/gpu:GPU-1"] * 3)))
    assert runs["_limit"].to_list() == [pytest.approx(93.6), None, None]
    assert runs["_gpus"].to_list() == [1, 1, 1]
