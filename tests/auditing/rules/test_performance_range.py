"""Performances that cannot be."""

from __future__ import annotations

import pytest

from lightning_pepr import audit
from tests.helpers.findings import found
from tests.helpers.tables import make_clean, put


@pytest.mark.parametrize("value", [-0.01, 1.01, 91.0, float("nan"), float("inf")])
def test_performances_that_are_none(value: float) -> None:
    findings = audit(put(make_clean(0), 4, performance=value))
    assert findings.select("row", "rule", "confidence").rows() == [(4, "performance-range", "high")]
    assert ("a percentage?" in findings["evidence"][0]) == (1 < value <= 100)


def test_rounding_is_forgiven() -> None:
    assert found(put(make_clean(0), 4, performance=1.0000001)) == []
