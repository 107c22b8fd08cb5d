"""What the audit finds, in short."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings

from lightning_pepr import audit

few = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def found(table: Any, **options: Any) -> list[tuple[int | None, str, str]]:
    """The row, the rule and the confidence of each finding."""
    return audit(table, **options).select("row", "rule", "confidence").rows()
