"""Intensities that look like a default."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr import audit
from tests.helpers.findings import few, found
from tests.helpers.tables import make_clean, put


@few
@given(
    seed=st.integers(0, 10**6),
    value=st.sampled_from([475.0, 600.0, 5.0]),
    count=st.integers(3, 10),
    digits=st.sampled_from([6, 15]),
)
def test_an_intensity_of_its_own(seed: int, value: float, count: int, digits: int) -> None:
    """One that several runs share and the rest never reaches."""
    table = make_clean(seed, digits=digits)
    rows = np.random.default_rng(seed).choice(20, count, replace=False)
    for row in rows:
        table = put(table, int(row), carbon_g=table["energy_kwh"][int(row)] * value)
    findings = audit(table).filter(rule="fallback-intensity")
    assert findings["row"].to_list() == sorted(rows)
    assert set(findings["confidence"]) == {"medium"}
    assert ("CodeCarbon" in findings["evidence"][0]) == (value == 475)
    assert f"{value:g} g CO2e per kWh, as that of {count - 1} other runs" in findings["evidence"][0]


def test_the_default_beside_one_constant_is_ambiguous() -> None:
    table = make_clean(0, carbon="constant")
    for row in range(4):
        table = put(table, row, carbon_g=table["energy_kwh"][row] * 475.0)
    assert found(table) == [(row, "fallback-intensity", "low") for row in range(4)]


def test_within_what_the_others_have_it_is_no_finding() -> None:
    table = make_clean(0)
    for row in range(5):
        table = put(table, row, carbon_g=table["energy_kwh"][row] * 150.0)
    assert found(table) == []
