"""What is scored: the resources, the models and the spaces of runs, and R over the range of each space."""

from __future__ import annotations

import math
import warnings

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr import ModelSpace, rank
from lightning_pepr.cost import ENERGY, TIME
from lightning_pepr.ranking import leverage
from lightning_pepr.ranking.scores import add_ranges, add_scores, bounds, read_scorable, resources_of
from lightning_pepr.report.data import collect
from tests.helpers.tables import toy


def test_each_resource_counts_once_under_all_its_names() -> None:
    assert resources_of("E") == resources_of(ENERGY) == [ENERGY]
    assert resources_of(["T", "energy_kwh", "pepr_t", "energy"]) == [TIME, ENERGY]
    with pytest.raises(ValueError, match="by is empty; expected a resource"):
        resources_of([])


def test_models_are_kept_apart_within_a_group_and_without_a_name() -> None:
    table = toy(energy_kwh=[1.0] * 5, group=["x", "x", "y", None, None])
    table = table.with_columns(model=pl.Series(["a", "a", "a", None, None]))
    for group in (None, "group"):
        assert read_scorable(table, group, "best")["_model"].to_list() == [0, 0, 2, 3, 4]


def test_a_space_is_a_group_or_all() -> None:
    table = toy(energy_kwh=[1.0, 2.0], site=[1, 2])
    assert read_scorable(table, "site", "best")["_space"].to_list() == ["1", "2"]
    assert read_scorable(table, None, "best")["_space"].to_list() == [None, None]


@pytest.mark.parametrize("group", [None, "group"])
@pytest.mark.parametrize("given", [False, True])
def test_r_is_the_quotient_to_the_last_bit(group: str | None, given: bool) -> None:
    """Not the product with the inverse of the range, which is infinite for the smallest of ranges."""
    energies = [5e-324, 1e-323, 3e-310, 1e-309, 7e-310]
    table = toy(energy_kwh=energies, group=["x"] * 5)
    space = ModelSpace({"energy_kwh": (5e-324, 1e-309)}) if given else None
    scored = add_scores(add_ranges(read_scorable(table, group, "best"), [ENERGY], space), [ENERGY], None)
    low, high = min(energies), max(energies)
    assert scored["r_e"].to_list() == [(energy - low) / (high - low) for energy in energies]


def test_each_space_has_its_own_range() -> None:
    table = toy(energy_kwh=[1.0, 3.0, 5.0, None], group=["x", "x", None, None])
    ranges = add_ranges(read_scorable(table, "group", "best"), [ENERGY])
    assert ranges.select(bounds(ENERGY)).rows() == [(1.0, 3.0), (1.0, 3.0), (5.0, 5.0), (5.0, 5.0)]


Rows = list[tuple["float | None", float, str]]

runs = st.lists(
    st.tuples(st.none() | st.floats(0.0, 1.0), st.floats(0.1, 10.0), st.sampled_from(["x", "y"])),
    min_size=2,
    max_size=8,
)


@given(runs, st.booleans())
def test_runs_without_a_performance_move_no_score(rows: Rows, grouped: bool) -> None:
    p, energy, groups = (list(column) for column in zip(*rows, strict=True))
    table = toy(energy_kwh=energy, group=groups).with_columns(performance=pl.Series(p, dtype=pl.Float64))
    known = table.drop_nulls("performance")
    if known.is_empty():
        return
    group = "group" if grouped else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ranking, alone = rank(table, group=group), rank(known, group=group)
        assert sorted(ranking["model"]) == sorted(table["model"]), "all are listed"
        columns = ["model", "r_e", "pepr_e", "pepr_e_low", "pepr_e_high", "rank", "rank_worst", "pareto"]
        scored = ranking.drop_nulls("performance").select(columns).sort("model")
        assert scored.equals(alone.select(columns).sort("model"))
        assert (
            ranking.filter(pl.col("performance").is_null()).select("pepr_e", "rank").null_count().row(0)
            == (len(table) - len(known),) * 2
        )
        assert ModelSpace.from_runs(table).ranges == ModelSpace.from_runs(known).ranges
        assert leverage(table, group=group).equals(leverage(known, group=group))
        view = collect(table)["scores"]["apart" if grouped and table["group"].n_unique() > 1 else "all"]["own"]["E"]
        bounds_of = {each["group"]: each["range"] for each in view["groups"]}
        for name, (low, high) in bounds_of.items():
            costs = known.filter(pl.lit(name is None) | (pl.col("group") == (name or "")))["energy_kwh"]
            assert (low, high) == (costs.min(), costs.max())


def test_one_mistyped_key_moves_no_honest_model() -> None:
    table = toy(energy_kwh=[1.0, 2.0, 4.0, 400.0]).with_columns(performance=pl.Series([0.9, 0.92, 0.95, None]))
    with pytest.warns(UserWarning, match=r"1 of the 4 runs have no performance \(such as m3\)") as caught:
        ranking = rank(table)
    assert caught[0].filename == __file__
    assert ranking["r_e"].to_list() == [0.0, 1 / 3, 1.0, 133.0]
    assert ranking["pepr_e"].to_list() == [0.9, 0.92 / (1 + 1 / 3), 0.475, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rank(table, space=ModelSpace.budget(energy_kwh=4.0))["r_e"].max() == 100.0, "a given space is fixed"


@given(st.sampled_from([-0.0, 0.0]), st.sampled_from([-0.0, 0.0]), st.sampled_from([None, 0.0, 0.5]))
def test_no_score_is_minus_nothing(p: float, energy: float, baseline: float | None) -> None:
    table = toy(energy_kwh=[energy, energy, -0.0]).with_columns(performance=pl.lit(p))
    for runs in (table, table.with_columns(energy_kwh=pl.Series([energy, 1.0, 2.0]))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ranking = rank(runs, baseline=baseline).drop_nulls("pepr_e")
        for name in ("r_e", "pepr_e", "pepr_e_low", "pepr_e_high"):
            assert [math.copysign(1.0, value) for value in ranking[name]] == [1.0] * len(ranking), name
