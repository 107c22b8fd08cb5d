"""Reads runs from records, tables and trackers into one table."""

from lightning_pepr.utilities.imports import require

require("polars", "cli", "reading and ranking runs")  # before the modules that import it

from lightning_pepr.runs.load import load_runs  # noqa: E402
from lightning_pepr.runs.table import COLUMNS, Runs  # noqa: E402

__all__ = ["COLUMNS", "Runs", "load_runs"]
