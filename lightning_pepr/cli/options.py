"""Options that several commands share, and what becomes of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_pepr.errors import PePRError
from lightning_pepr.utilities.files import write_whole

if TYPE_CHECKING:
    import polars as pl

    from lightning_pepr.runs import Runs


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that reads runs."""
    paths = "a folder of records or of W&B's offline runs, a record, a CSV table, or mlflow:EXPERIMENT"
    parser.add_argument("paths", nargs="+", metavar="PATH", help=paths)
    column = "a column of a table by its own name, such as model=arch or energy_kwh=energy_wh*0.001; may be repeated"
    parser.add_argument("--column", action="append", default=[], metavar="OURS=THEIRS[*FACTOR]", help=column)
    monitor = "take the performance of this key, of those that a record has, not the one that its run monitored"
    parser.add_argument("--monitor", metavar="KEY", help=monitor)


def add_at(parser: argparse.ArgumentParser) -> None:
    """Add the option which epoch's performance counts."""
    at = "performance of the best or the last epoch (%(default)s)"
    parser.add_argument("--at", choices=["best", "last"], default="best", help=at)


def read_named_runs(options: argparse.Namespace, group: str | None = None) -> Runs:
    """Read the runs that the options name, grouped by a column."""
    from lightning_pepr.runs.columns import parse_columns
    from lightning_pepr.runs.load import read_runs

    return read_runs(options.paths, group, columns=parse_columns(options.column), monitor=options.monitor)


def check_output(
    output: Path | None, paths: Sequence[str], option: str = "--output", endings: tuple[str, ...] = (".csv", ".json")
) -> None:
    """Refuse to write what is no table, by its ending, or over a table that is read."""
    if output is None:
        return
    if output.suffix not in endings:
        raise PePRError(f"{option} is {str(output)!r}; expected a name that ends in {' or '.join(endings)}.")
    if output.exists() and any(Path(path).exists() and output.samefile(path) for path in paths):
        raise PePRError(f"{output} is one of the tables that are read, and stays as it is; expected another name.")


def write_table(table: pl.DataFrame, output: Path) -> None:
    """Write a table as CSV or JSON, by the ending of the file."""
    write_whole(output, table.write_csv() if output.suffix == ".csv" else table.write_json())
