"""What is scored: the resources, the models and the spaces of runs, and R over the range of each space."""

from __future__ import annotations

import polars as pl
import pytest

from lightning_pepr import ModelSpace
from lightning_pepr.cost import ENERGY, TIME
from lightning_pepr.ranking.scores import add_ranges, add_scores, bounds, read_scorable, resources_of
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
