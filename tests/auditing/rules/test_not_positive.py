"""Costs that are no cost."""

from __future__ import annotations

import pytest

from lightning_pepr import audit
from tests.helpers.tables import make_clean, put


@pytest.mark.parametrize("name", ["energy_kwh", "carbon_g", "time_s", "memory_gb", "params"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_costs_that_are_none(name: str, value: float) -> None:
    sure = "medium" if value == 0 and name in ("carbon_g", "params") else "high"
    findings = audit(put(make_clean(0), 4, **{name: value}))
    assert findings.select("row", "rule", "confidence").rows() == [(4, "not-positive", sure)]
    assert f"{name} is {'NaN' if value != value else value}" in findings["evidence"][0]
