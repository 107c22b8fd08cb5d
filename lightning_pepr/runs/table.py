"""The table of runs: its columns, and how other tables are brought into them."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from lightning_pepr.cost import RESOURCES
from lightning_pepr.errors import PePRError
from lightning_pepr.runs.columns import Columns, amounts_of, apply_columns, units_in
from lightning_pepr.runs.formats import PAPER, codecarbon_columns, from_codecarbon, is_test, paper_columns
from lightning_pepr.utilities.files import read_plain

Runs: TypeAlias = pl.DataFrame
"""One row a run, with the columns of `COLUMNS` and whatever else a table had; null is what is not known."""

BASELINE = "(baseline)"
"""The name of the trivial predictor that `rank` adds for a baseline; its row is no run, and is left out when read."""

COSTS = [resource.field for resource in RESOURCES]
PERFORMANCES = ["performance", "val_performance", "last_performance"]
ERRORS = ["energy_kwh_error", "carbon_g_error"]
SAMPLES = ["samples", "val_samples"]
INTEGERS = [*SAMPLES, "row"]

COLUMNS: dict[str, Any] = {
    "group": pl.String,  # what a run is compared within, such as the data set; null where nothing says
    "model": pl.String,
    "performance": pl.Float64,  # on test data where there is any, else of the best epoch
    **dict.fromkeys(COSTS, pl.Float64),  # null is not measured
    "val_performance": pl.Float64,  # of the best epoch
    "last_performance": pl.Float64,  # of the last epoch
    **dict.fromkeys(ERRORS, pl.Float64),  # bounds, without the gain of a sensor
    "gain": pl.Float64,  # relative uncertainty of the energy that all runs on the same boards share
    "lower_bound": pl.String,  # the costs of which something was lost, so that the truth is larger
    "samples": pl.Int64,  # how many samples the performance is of
    "val_samples": pl.Int64,  # how many the other two are of
    "quality": pl.String,  # how the energy was measured
    "source": pl.String,  # the file
    "row": pl.Int64,  # which row of it, from 0; null for a record
    "run_id": pl.String,
    "device": pl.String,  # what was metered
    "boards": pl.String,  # whose energy was metered: the UUIDs of GPUs, and hosts of CPUs
    "status": pl.String,  # whether the run finished
    "configuration": pl.String,  # what tells it from other runs of its model's name, as JSON; without seeds
}
"""The columns of a table of runs, in their order."""

_NOT_MEASURED = ["", "NA", "N/A", "n/a", "null", "None"]
_DERIVED = re.compile(r"r_[ectmdn]|pepr_[ectmdn](_low|_high)?|rank(_[ectmdn])?(_best|_worst)?|pareto|replication")


def path_text(path: str | os.PathLike[str]) -> str:
    """A path as text: a file's name may be any bytes."""
    return os.fsencode(path).decode("utf-8", "replace")


def read_csv(path: Path) -> pl.DataFrame:
    """Read a table; the columns that we know become numbers or text, whatever their first rows look like."""
    known = {**COLUMNS, **dict.fromkeys(PAPER.values(), pl.Float64), "dataset": pl.String}
    file = read_plain(path)
    try:
        header = pl.read_csv(file, n_rows=0).columns
        types = {name: known.get(name, pl.Float64) for name in header if is_test(name) or name in known}
        try:
            frame = pl.read_csv(file, schema_overrides=types, infer_schema_length=10_000)
        except pl.exceptions.ComputeError:  # there is text among the numbers; `_numbers` says where
            frame = pl.read_csv(file, infer_schema=False)
    except pl.exceptions.NoDataError:
        raise PePRError(f"{path} is empty; expected a table with a header.") from None
    except pl.exceptions.PolarsError as error:
        raise PePRError(f"{path} is not a CSV table: {_ragged(file) or str(error).splitlines()[0]}.") from error
    if not frame.columns or not frame[:, -1].null_count():
        return frame
    # polars fills short lines with nulls, which would pass for "not measured", and blank lines, too.
    if ragged := _ragged(file):
        raise PePRError(f"{path} is not a CSV table: {ragged}.")
    return frame.filter(~pl.all_horizontal(pl.all().is_null()))


def _ragged(file: bytes) -> str:
    """Which line has another number of fields than the header, if one does; polars does not say."""
    lines = csv.reader(io.StringIO(file.decode("utf-8-sig", "replace"), newline=""))
    width = len(next(lines, []))
    try:
        for fields in lines:
            if fields and len(fields) != width:
                return f"line {lines.line_num} has {len(fields)} fields, and the header {width}"
    except csv.Error as error:
        return f"line {lines.line_num}: {error}"
    return ""


def to_runs(frame: pl.DataFrame, source: str | None, columns: Columns) -> Runs:
    """Bring a table, in the paper's columns, CodeCarbon's, the user's or ours, into the columns of `COLUMNS`."""
    where, found = source or "the table", ", ".join(frame.columns) or "none"
    frame = _readable(frame, where)
    of_paper, of_codecarbon = paper_columns(frame.columns), codecarbon_columns(frame.columns)
    if source is not None:
        frame = frame.drop("row", strict=False).with_row_index("row").with_columns(source=pl.lit(source))
    columns = {**of_paper, **of_codecarbon, **columns}
    tests = filter(is_test, frame.columns) if of_paper else ()
    frame = apply_columns(_numbers(frame, [*amounts_of(columns), *tests], where), columns, where)
    if of_codecarbon:
        frame = from_codecarbon(frame, columns)
    missing = [name for name in ("model", "performance") if name not in frame.columns]
    missing += ["cost"] * (not any(name in frame.columns for name in COSTS))
    if missing:
        raise PePRError(
            f"{where} has no {' and no '.join(missing)}; its columns are {found}. Expected model, performance and at "
            f"least one of {', '.join(COSTS)}; or the paper's: model, test_00, test_01 … and at least one of "
            f"{', '.join(PAPER.values())}; or columns={{'model': …}} (--column model=…) to map them."
        )
    if "group" not in frame.columns and "dataset" in frame.columns:
        frame = frame.with_columns(group=pl.col("dataset"))
    frame = frame.drop(name for name in frame.columns if _DERIVED.fullmatch(name))
    if "row" not in frame.columns:
        frame = frame.with_row_index("row")
    frame = frame.filter(pl.col("model").cast(pl.String).ne_missing(BASELINE))
    frame = _numbers(frame, [*COSTS, *PERFORMANCES, *ERRORS, "gain", *INTEGERS], where)
    return complete(_integers(frame, where))


def _readable(frame: pl.DataFrame, where: str) -> pl.DataFrame:
    """Refuse columns of ours that hold neither text nor numbers; in others, lists and the like become text."""
    odd = [name for name, dtype in frame.schema.items() if dtype.is_nested() or dtype in (pl.Object, pl.Binary)]
    for name in odd:
        if name in (*COLUMNS, *PAPER.values(), "dataset"):
            raise PePRError(f"{name} of {where} is of type {frame[name].dtype}; expected text or numbers.")
    texts = ([None if value is None else str(value) for value in frame[name].to_list()] for name in odd)
    return frame.with_columns(pl.Series(name, text, pl.String) for name, text in zip(odd, texts, strict=True))


def _integers(frame: pl.DataFrame, where: str) -> pl.DataFrame:
    """Make integers of what counts something, or raise an error that names the row and the number."""
    for name in (name for name in INTEGERS if name in frame.columns):
        whole = frame[name].cast(pl.Int64, strict=False)
        bad = frame[name].is_not_null() & (whole.is_null() | (whole != frame[name]))
        if bad.any():
            row = int(bad.arg_max() or 0)
            raise PePRError(f"{name} in row {row} of {where} is {frame[name][row]!r}; expected a whole number.")
        frame = frame.with_columns(whole)
    return frame


def _numbers(frame: pl.DataFrame, names: Iterable[str], where: str) -> pl.DataFrame:
    """Turn columns of text into numbers, or raise an error that names the row and the text."""
    for name in names:
        if name not in frame.columns or frame[name].dtype.is_numeric() or frame[name].dtype == pl.Null:
            continue
        text = frame[name].cast(pl.String).str.strip_chars()
        text = text.set(text.is_in(_NOT_MEASURED).fill_null(False), None)
        numbers = text.cast(pl.Float64, strict=False)
        bad = text.is_not_null() & numbers.is_null()
        if bad.any():
            row = int(bad.arg_max() or 0)
            model = f" (model {frame['model'][row]!r})" if "model" in frame.columns else ""
            raise PePRError(
                f"{name} in row {row} of {where}{model} is {text[row]!r}; expected a number, or an empty cell where "
                f"it was not measured. Rows are counted from 0, without the header.{units_in(text)}"
            )
        frame = frame.with_columns(numbers.alias(name))
    return frame


def complete(frame: pl.DataFrame) -> Runs:
    """Give a table all columns of `COLUMNS`, in their order and type, before its others."""
    missing = {name: pl.lit(None) for name in COLUMNS if name not in frame.columns}
    known = [pl.col(name).cast(dtype) for name, dtype in COLUMNS.items()]
    return frame.with_columns(**missing).select(*known, pl.exclude(list(COLUMNS)))


def concat(frames: list[Runs]) -> Runs:
    """Put tables below each other; a column that is text in one of them becomes text in all."""
    types = {(name, dtype) for frame in frames for name, dtype in frame.schema.items()}
    mixed = {name for name, count in Counter(name for name, _ in types).items() if count > 1}
    # By series: for polars, a column without a name is none.
    alike = [
        frame.with_columns(frame[name].cast(pl.String) for name in mixed.intersection(frame.columns))
        for frame in frames
    ]
    return pl.concat(alike, how="diagonal")
