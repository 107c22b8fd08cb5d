"""Reads runs from records, tables and trackers into one table."""

from lightning_pepr.runs.load import COLUMNS as COLUMNS
from lightning_pepr.runs.load import Runs as Runs
from lightning_pepr.runs.load import load_runs as load_runs

__all__ = ["COLUMNS", "Runs", "load_runs"]
