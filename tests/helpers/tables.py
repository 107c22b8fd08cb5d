"""Tables of runs, true and spoilt, as the benchmark of the audit makes them."""

from __future__ import annotations

from typing import Any

import polars as pl

from benchmarks.made_up_tables import copy_reading as copy_reading
from benchmarks.made_up_tables import make_clean as make_clean
from benchmarks.made_up_tables import put as put
from benchmarks.made_up_tables import scale as scale


def toy(**columns: list[Any]) -> pl.DataFrame:
    """Models m0, m1, … of one performance."""
    size = len(next(iter(columns.values())))
    return pl.DataFrame({"model": [f"m{i}" for i in range(size)], "performance": [0.5] * size, **columns})
