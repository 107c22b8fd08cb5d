"""Where runs come from: the records that `PePRCallback` leaves, tables, and other trackers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from lightning_pepr.errors import PePRError
from lightning_pepr.record import RunRecord
from lightning_pepr.record.names import Identity, label_models
from lightning_pepr.runs.columns import Columns, check_columns
from lightning_pepr.runs.mlflow import MLFLOW, read_mlflow
from lightning_pepr.runs.records import Found, from_records, search
from lightning_pepr.runs.table import Runs, concat, path_text, read_csv, to_runs
from lightning_pepr.utilities.files import FILE_NAME
from lightning_pepr.utilities.stores import is_url

Source: TypeAlias = "str | os.PathLike[str] | RunRecord | Runs | Sequence[Source]"
"""What `load_runs` and `rank` read: paths, records, tables, and lists of these."""


def load_runs(*sources: Source, columns: Columns | None = None, monitor: str | None = None) -> Runs:
    """Read runs into one table.

    A record's performance is that of the model one would keep: on test data where it was tested, else of the best
    epoch by `monitor`, and 0 if that is less; none if it was above 1 in any epoch, which a warning says. Of several
    records of one run, which a resumed run may leave, the one that has got furthest counts, by time
    spent and evaluations; of such that contradict one another, a warning names two. Its costs are all that the run
    spent.

    A table in the paper's columns (`energy`, `co2`, `train_time`, `memR`, `num_param`, `test_00` …) has its last
    `test_` column as performance, and `train_time`, which is of one epoch, times their number as `time_s`. Nothing in
    it is judged here: `rank` refuses values that cannot be true.

    CodeCarbon's `emissions.csv` has the project as the model, and no performance: it will do for a space, and for a
    ranking once it has a column for it.

    Args:
        *sources: Folders, searched for records (`pepr.json`) and W&B's offline runs at any depth; single records;
            URLs of either, such as "s3://bucket/runs", where fsspec knows their file system; MLflow experiments, as in
            "mlflow:EXPERIMENT"; CSV tables in the paper's columns or in those of `COLUMNS`, of which `model`,
            `performance` and one cost are needed; `RunRecord`s; tables that `load_runs` or `rank` returned; and lists
            of these.
        columns: For tables with names of their own: for each of our columns theirs, as in `{"model": "arch"}`, or
            theirs and a factor, as in `{"energy_kwh": ("energy_wh", 1e-3)}`. Without a factor a unit in the header,
            as in `{"energy_kwh": "energy [Wh]"}`, is converted.
        monitor: The key of another performance that records have, such as "val_auc", to take instead of the one that
            each run monitored. Runs without it have none, which a warning says. Tables have one performance only.

    Returns:
        One row a run, records first, in the order of the sources, with the columns of `COLUMNS` and then any others
        that the tables had.

    Raises:
        ConnectionError: If MLflow does not answer.
        FileNotFoundError: If a path does not exist.
        ModuleNotFoundError: If an experiment is to be read, or a run of W&B, and its package is not installed.
        PePRError: If a folder holds no record, a file is neither record nor table, columns are missing, there is text
            where a number belongs, `columns` names what is not there, or no record has `monitor`. Broken records in a
            folder are named in a warning and left out.

    >>> load_runs(RunRecord("resnet18", test_performance=0.75)).select("model", "performance").rows()
    [('resnet18', 0.75)]
    """
    columns = {} if columns is None else columns
    check_columns(columns)
    records: list[Found] = []
    tables: list[Runs] = []
    for source in flatten(sources):
        if isinstance(source, RunRecord):
            records.append((source, None))
        elif isinstance(source, pl.DataFrame):
            tables.append(to_runs(source, None, columns))
        elif not isinstance(source, (str, os.PathLike)):
            raise PePRError(
                f"{source!r} is a {type(source).__name__}; expected a path, a RunRecord or a polars.DataFrame."
            )
        elif os.fspath(source).startswith(MLFLOW):
            records += read_mlflow(os.fspath(source).removeprefix(MLFLOW))
        elif is_url(os.fspath(source)):
            records += search(os.fspath(source))
        elif not os.path.exists(source):
            raise FileNotFoundError(
                f"there is no {path_text(source)!r}; expected a folder of records, a {FILE_NAME}, a CSV table, or "
                f"{MLFLOW}EXPERIMENT."
            )
        elif os.path.isdir(source):
            records += search(os.fspath(source))
        elif Path(source).suffix.lower() == ".json":
            records.append((RunRecord.load(source), path_text(source)))
        else:
            tables.append(to_runs(read_csv(Path(source)), path_text(source), columns))
    if not records and not tables:
        raise PePRError("there is nothing to read; expected a folder of records, or a CSV table.")
    if monitor is not None and tables:
        warnings.warn(f"monitor={monitor!r} is for records: tables keep the performance that they have.", stacklevel=2)
    return concat(([from_records(records, monitor)] if records else []) + tables)


def flatten(sources: Iterable[Any]) -> Iterator[Any]:
    """The sources of a list that may hold lists."""
    for source in sources:
        if isinstance(source, (list, tuple)):
            yield from flatten(source)
        else:
            yield source


def read_runs(
    source: Source,
    group: str | None = None,
    at: str = "best",
    columns: Columns | None = None,
    monitor: str | None = None,
) -> Runs:
    """Read runs with P of the "best" or the "last" epoch, the column that is to be `group`, and models by their labels.

    What has a label is a model: its runs within a group are its repeats.
    """
    runs = load_runs(source, columns=columns, monitor=monitor)
    if at not in ("best", "last"):
        raise PePRError(f"at is {at!r}; expected 'best' or 'last'.")
    if at == "last":
        of_last = pl.col("last_performance").is_not_null()
        runs = runs.with_columns(
            performance=pl.coalesce("last_performance", "performance"),
            samples=pl.when(of_last).then("val_samples").otherwise("samples"),
        )
    if group is not None:
        if group not in runs.columns:
            raise PePRError(f"there is no column {group!r} to group by; the runs have {', '.join(runs.columns)}.")
        runs = runs.with_columns(group=pl.col(group).cast(pl.String))
    return _labelled(runs)


def _labelled(runs: Runs) -> Runs:
    """Call each model by its label; see `label_models`."""
    on = list(Identity._fields)
    known_by = runs.select(on)  # without the other columns of a table, which have any names
    kinds = known_by.unique(maintain_order=True)
    if kinds.select("group", "model").is_unique().all():
        return runs
    labels = pl.Series("_label", label_models([Identity(*kind) for kind in kinds.rows()]), dtype=pl.String)
    labelled = known_by.join(kinds.with_columns(labels), on=on, how="left", nulls_equal=True, maintain_order="left")
    return runs.with_columns(labelled.select(model=pl.coalesce("_label", "model")))
