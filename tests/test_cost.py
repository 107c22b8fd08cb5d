"""Resources and costs: their names and units, and how amounts are shown."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr import Cost
from lightning_pepr.cost import ENERGY, FACTORS, MEMORY, PARAMS, RESOURCES, TIME, UNITS, Resource, in_words, unit_for

amounts = st.none() | st.floats(0.0, 1e12)
costs = st.builds(Cost, **{resource.field: amounts for resource in RESOURCES})


def test_the_fields_of_a_cost_are_the_resources() -> None:
    assert [field.name for field in fields(Cost)] == [resource.field for resource in RESOURCES]
    assert [resource.letter for resource in RESOURCES] == list("ECTMDN")
    assert [resource.score_key for resource in RESOURCES] == [f"pepr_{x}" for x in "ectmdn"]
    assert [resource.merge for resource in RESOURCES] == ["sum", "sum", "max", "max", "sum", "same"]


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r.name)
def test_a_resource_is_found_by_each_of_its_names(resource: Resource) -> None:
    for name in (resource.name, resource.letter, resource.letter.lower(), resource.field, resource.score_key):
        assert Resource.of(name) is resource
    assert Resource.of(resource) is resource
    assert Resource.of(resource.name.upper()) is resource


def test_an_unknown_resource_lists_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"unknown resource 'enrgy'; expected one of energy \(E, energy_kwh\)"):
        Resource.of("enrgy")
    with pytest.raises(ValueError, match=r"Did you mean 'energy'\?"):
        Resource.of("enrgy")


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf, "0.5", "much", [1.0], 10**400])
def test_a_bad_amount_is_named(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"^energy_kwh is .*; expected a finite amount that is not negative, or None"):
        Cost(energy_kwh=bad)


@pytest.mark.parametrize("given_as", [np.float32(0.5), np.float64(0.5), torch.tensor(0.5), np.array(0.5)])
def test_amounts_become_plain_numbers(given_as: Any) -> None:
    """Anything else in a checkpoint fails to load with `weights_only`."""
    assert type(Cost(energy_kwh=given_as).energy_kwh) is float
    assert Cost(energy_kwh=given_as) == Cost(energy_kwh=0.5)
    assert type(Cost(params=10).params) is int


def test_0_is_measured_and_none_is_not() -> None:
    assert [(r.letter, v) for r, v in Cost(energy_kwh=0.0, time_s=1.0).items()] == [("E", 0.0), ("T", 1.0)]
    assert Cost().amount("energy") is None


@given(costs)
def test_copies_and_pickles(cost: Cost) -> None:
    assert copy.deepcopy(cost) == cost
    assert pickle.loads(pickle.dumps(cost)) == cost


@given(st.floats(1e-12, 1e12), st.sampled_from(RESOURCES))
def test_the_unit_is_the_largest_that_an_amount_fills(amount: float, resource: Resource) -> None:
    scale, _ = unit_for(resource, amount)
    larger = [other for other, _ in UNITS[resource] if other > scale]
    assert all(amount < other for other in larger)
    assert amount >= scale or scale == min(other for other, _ in UNITS[resource])


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r.name)
def test_each_resource_s_own_unit_is_known(resource: Resource) -> None:
    own = "" if FACTORS[resource] is FACTORS[PARAMS] else resource.unit
    assert FACTORS[resource][own] == 1.0
    assert [scale for scale, _ in UNITS[resource]] == sorted((scale for scale, _ in UNITS[resource]), reverse=True)


@pytest.mark.parametrize(
    ("resource", "value", "error", "words"),
    [
        (ENERGY, 1.5, None, "1.50 kWh"),
        (ENERGY, 0.0, 0.1, "0.00 mWh"),
        (ENERGY, 2e-5, 1.5e-5, "20.0 mWh ±75 %"),
        (TIME, 5400, None, "1.50 h"),
        (MEMORY, 0.25, None, "250 MB"),
    ],
)
def test_words(resource: Resource, value: float, error: float | None, words: str) -> None:
    assert in_words(resource, value, error) == words
