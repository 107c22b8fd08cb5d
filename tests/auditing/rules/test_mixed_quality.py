"""Measured energies beside estimated ones."""

from __future__ import annotations

import polars as pl

from lightning_pepr import audit
from tests.helpers.findings import found
from tests.helpers.tables import make_clean


def test_mixed_quality_is_found_once_for_each_group() -> None:
    quality = pl.when(pl.int_range(pl.len()) % 20 < 3).then(pl.lit("estimated")).otherwise(pl.lit("counter"))
    table = make_clean(0).with_columns(quality=quality)
    assert found(table) == [(row, "mixed-quality", "medium") for row in (0, 20, 40)]
    assert "estimated in 3 runs, this the first of them, and measured in 17" in audit(table)["evidence"][0]
    assert found(table.with_columns(quality=pl.lit("integrated"))) == []
