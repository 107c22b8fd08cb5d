"""Resources and costs: their names, units and rules of merging."""

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
from lightning_pepr.cost import RESOURCES, Resource

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


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf, "0.5", "dear", [1.0], 10**400])
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


@given(st.lists(costs, max_size=5))
def test_merging_follows_each_resources_rule(ranks: list[Cost]) -> None:
    merged = Cost.merge(ranks)
    for resource in RESOURCES:
        values = [cost.amount(resource) for cost in ranks]
        known = [value for value in values if value is not None]
        got = merged.amount(resource)
        if not known:
            assert got is None
        elif resource.merge == "sum":
            assert got == (math.fsum(known) if len(known) == len(values) else None)
        else:
            assert got == max(known)


@given(costs)
def test_merging_one_changes_nothing(cost: Cost) -> None:
    assert Cost.merge([cost]) == cost


@given(costs)
def test_copies_and_pickles(cost: Cost) -> None:
    assert copy.deepcopy(cost) == cost
    assert pickle.loads(pickle.dumps(cost)) == cost
