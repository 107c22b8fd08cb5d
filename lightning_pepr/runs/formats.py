"""Tables of others that are known by their columns: the paper's, and CodeCarbon's `emissions.csv`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from lightning_pepr.runs.columns import Columns

PAPER = {
    "energy_kwh": "energy",
    "carbon_g": "co2",
    "memory_gb": "memR",
    "params": "num_param",
    "time_s": "train_time",  # of one epoch; the others are of all
}
"""The paper's columns that hold costs."""

_TEST = re.compile(r"test_\d+")
_CODECARBON: Columns = {
    "model": "project_name",
    "energy_kwh": "energy_consumed",
    "carbon_g": ("emissions", 1000.0),  # CodeCarbon writes kg
    "time_s": "duration",
}
_CODECARBON_HEADER = {"project_name", "run_id", "duration", "emissions", "energy_consumed"}


def is_test(name: str) -> bool:
    """Whether a column is one of the paper's performances: `test_00`, `test_01`, … of each epoch."""
    return _TEST.fullmatch(name) is not None


def paper_columns(header: Sequence[str]) -> Columns:
    """The mapping of a table in the paper's columns, whose last `test_` is the performance; empty for another table."""
    tests = sorted(filter(is_test, header), key=lambda name: int(name.removeprefix("test_")))
    if "performance" in header or not tests:
        return {}
    costs: Columns = {**PAPER, "time_s": (PAPER["time_s"], float(len(tests)))}
    return {"performance": tests[-1]} | {ours: theirs for ours, theirs in costs.items() if PAPER[ours] in header}


def codecarbon_columns(header: Sequence[str]) -> Columns:
    """The mapping of CodeCarbon's `emissions.csv` that has not been through here before; empty for another table."""
    return _CODECARBON if set(header) >= _CODECARBON_HEADER and "energy_kwh" not in header else {}


def from_codecarbon(frame: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """Complete a table of CodeCarbon's whose costs are mapped: the devices, the quality, one row a run."""
    devices = [pl.col(name).cast(pl.String) for name in ("gpu_model", "cpu_model") if name in frame.columns]
    new = {"quality": pl.lit("estimated")}  # its power of the memory is, and that of most processors
    new["device"] = pl.concat_str(devices, separator=", ", ignore_nulls=True) if devices else pl.lit(None, pl.String)
    if "performance" not in frame.columns:
        new["performance"] = pl.lit(None, pl.Float64)
    frame = frame.with_columns(column.alias(name) for name, column in new.items() if name not in columns)
    # It writes a run several times while it measures: in its last row the amounts are all so far.
    return frame.filter(pl.col("run_id").is_null() | pl.col("run_id").is_last_distinct())
