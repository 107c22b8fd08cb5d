"""Where runs come from: the records that `PePRCallback` leaves, and CSV tables."""

from __future__ import annotations

import csv
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from lightning_pepr.cost import RESOURCES
from lightning_pepr.functional import PERFORMANCE_TOLERANCE
from lightning_pepr.record import RunRecord
from lightning_pepr.runs.trackers import MLFLOW, find_wandb, read_mlflow, read_wandb
from lightning_pepr.utilities.files import FILE_NAME, files_below, is_record

try:
    import polars as pl
except ModuleNotFoundError as error:  # pragma: no cover
    raise ModuleNotFoundError(
        "reading and ranking runs needs polars: pip install 'lightning-pepr[cli]'", name=error.name
    ) from error

from lightning_pepr.runs.columns import (  # after polars, which it needs
    CODECARBON_AMOUNTS,
    Columns,
    amounts_of,
    apply_columns,
    check_columns,
    from_codecarbon,
    is_codecarbon,
    units_in,
)

Runs: TypeAlias = pl.DataFrame
"""One row a run, with the columns of `COLUMNS` and whatever else a table had; null is what is not known."""

Source: TypeAlias = "str | os.PathLike[str] | RunRecord | Runs | Sequence[Source]"
"""What `load_runs` and `rank` read: paths, records, tables, and lists of these."""

BASELINE = "(baseline)"
"""What `rank` calls the free predictor of a baseline; its row in a ranking is no run, and is left out when read."""

_MEASURED = ("energy_kwh", "carbon_g")  # the costs that have an error

COLUMNS: dict[str, Any] = {
    "group": pl.String,  # what a run is compared within, such as the data set; null where nothing says
    "model": pl.String,
    "performance": pl.Float64,  # on test data where there is any, else of the best epoch
    **{resource.field: pl.Float64 for resource in RESOURCES},  # null is not measured
    "val_performance": pl.Float64,  # of the best epoch
    "last_performance": pl.Float64,  # of the last epoch
    **{f"{name}_error": pl.Float64 for name in _MEASURED},  # bounds, without the gain of a sensor
    "gain": pl.Float64,  # relative uncertainty of the energy that all runs on the same boards share
    "samples": pl.Int64,  # how many samples the performance is of
    "val_samples": pl.Int64,  # how many the other two are of
    "quality": pl.String,  # how the energy was measured
    "source": pl.String,  # the file
    "row": pl.Int64,  # which row of it, from 0; null for a record
    "run_id": pl.String,
    "device": pl.String,  # what was metered
    "boards": pl.String,  # whose energy was metered: the UUIDs of GPUs, and hosts of CPUs
    "status": pl.String,  # whether the run finished
}
"""The columns of a table of runs, in their order."""

PAPER_COLUMNS = {"energy": "energy_kwh", "co2": "carbon_g", "memR": "memory_gb", "num_param": "params"}
"""Columns of the paper's table that hold a cost as it is. `train_time` is of one epoch, the others of all."""

_TEST = re.compile(r"test_\d+")
_KINDS = {"counter": "measured", "integrated": "measured", "estimated": "estimated"}
_NOT_MEASURED = ["", "NA", "N/A", "n/a", "null", "None"]
_COSTS = [resource.field for resource in RESOURCES]
_PERFORMANCES = ["performance", "val_performance", "last_performance"]
_MORE_NUMBERS = ["energy_kwh_error", "carbon_g_error", "gain", "samples", "val_samples"]
_DERIVED = re.compile(r"r_[ectmdn]|pepr_[ectmdn](_low|_high)?|rank(_[ectmdn])?(_best|_worst)?|pareto|replication")


def load_runs(*sources: Source, columns: Columns | None = None) -> Runs:
    """Read runs into one table.

    A record's performance is that of the model one would keep: on test data where it was tested, else of the best
    epoch by `monitor`. Of several records of one run, which a resumed run may leave, the latest counts. Its costs
    are all that the run spent.

    A table in the paper's columns (`energy`, `co2`, `train_time`, `memR`, `num_param`, `test_00` …) has its last
    `test_` column as performance, and `train_time`, which is of one epoch, times their number as `time_s`. Nothing in
    it is judged here: `rank` refuses values that cannot be true.

    CodeCarbon's `emissions.csv` has the project as the model, and no performance: it will do for a space, and for a
    ranking once it has a column for it.

    Args:
        *sources: Folders, searched for records (`pepr.json`) and W&B's offline runs at any depth; single records;
            MLflow experiments, as in "mlflow:EXPERIMENT"; CSV tables in the paper's columns or in those of `COLUMNS`,
            of which `model`, `performance` and one cost are needed; `RunRecord`s; tables that `load_runs` or `rank`
            returned; and lists of these.
        columns: For tables with names of their own: for each of our columns theirs, as in `{"model": "arch"}`, or
            theirs and a factor, as in `{"energy_kwh": ("energy_wh", 1e-3)}`. Without a factor a unit in the header,
            as in `{"energy_kwh": "energy [Wh]"}`, is converted.

    Returns:
        One row a run, records first, in the order of the sources, with the columns of `COLUMNS` and then any others
        that the tables had.

    Raises:
        ConnectionError: If MLflow does not answer.
        FileNotFoundError: If a path does not exist.
        ModuleNotFoundError: If an experiment is to be read, or a run of W&B, and its package is not installed.
        ValueError: If a folder holds no record, a file is neither record nor table, columns are missing, there is text
            where a number belongs, or `columns` names what is not there. Broken records in a folder are named in a
            warning and left out.

    >>> load_runs(RunRecord("resnet18", test_performance=0.75)).select("model", "performance").rows()
    [('resnet18', 0.75)]
    """
    columns = {} if columns is None else columns
    check_columns(columns)
    records: list[tuple[RunRecord, str | None]] = []
    tables: list[Runs] = []
    for source in _flatten(sources):
        if isinstance(source, RunRecord):
            records.append((source, None))
        elif isinstance(source, pl.DataFrame):
            tables.append(_table(source, None, columns))
        elif not isinstance(source, (str, os.PathLike)):
            raise ValueError(
                f"{source!r} is a {type(source).__name__}; expected a path, a RunRecord or a polars.DataFrame."
            )
        elif os.fspath(source).startswith(MLFLOW):
            records += read_mlflow(os.fspath(source).removeprefix(MLFLOW))
        elif not os.path.exists(source):
            raise FileNotFoundError(
                f"there is no {_text(Path(source))!r}; expected a folder of records, a {FILE_NAME}, a CSV table, or "
                f"{MLFLOW}EXPERIMENT."
            )
        elif os.path.isdir(source):
            records += _search(Path(source))
        elif Path(source).suffix.lower() == ".json":
            records.append((RunRecord.load(source), _text(source)))
        else:
            tables.append(_table(_read_csv(Path(source)), _text(source), columns))
    if not records and not tables:
        raise ValueError("there is nothing to read; expected a folder of records, or a CSV table.")
    frames = ([_records(_latest(records))] if records else []) + tables
    return frames[0] if len(frames) == 1 else _concat(frames)


def check_runs(runs: Runs, scored: bool = True) -> None:
    """Refuse a table with values that cannot be scored.

    Args:
        runs: What `load_runs` returned.
        scored: Whether they are to be scored, which takes a performance, or only to span a space.

    Raises:
        ValueError: If a cost is negative, NaN or infinite, or a performance NaN or outside [0, 1]; names the first. If
            the runs are to be scored, and none has a performance.
    """
    slack = PERFORMANCE_TOLERANCE
    for name in _COSTS + _PERFORMANCES:
        if name in _COSTS:
            good = runs[name].is_finite() & (runs[name] >= 0)
            expected = "a finite amount that is not negative, or an empty cell where it was not measured"
        else:
            good = runs[name].is_between(-slack, 1 + slack)
            expected = "a number in [0, 1] where higher is better (divide percentages by 100)"
        bad = good.not_().fill_null(False)
        if bad.any():
            run = runs.row(int(bad.arg_max() or 0), named=True)
            raise ValueError(f"{name} of {_describe(run)} is {run[name]!r}; expected {expected}.")
    if scored and len(runs) and runs["performance"].null_count() == len(runs):
        where = ", ".join(runs["source"].drop_nulls().unique(maintain_order=True).head(3)) or "the table"
        raise ValueError(
            f"none of the {len(runs)} runs in {where} has a performance, so there is nothing to score. Add a column "
            "`performance` to the table (CodeCarbon's emissions.csv has none), or name the one that holds it: "
            "columns={'performance': 'accuracy'}, on the command line --column performance=accuracy."
        )


def arrange(runs: Runs, group: str | None, at: str) -> Runs:
    """The runs with the P and the group by which they are to be looked at.

    Args:
        runs: What `load_runs` returned.
        group: The column that is to be `group`; None leaves that as it is.
        at: "best" or "last": of which epoch P is, where a record has both.

    Raises:
        ValueError: If there is no such column, or `at` is something else.
    """
    if at not in ("best", "last"):
        raise ValueError(f"at is {at!r}; expected 'best' or 'last'.")
    if at == "last":
        of_last = pl.col("last_performance").is_not_null()
        runs = runs.with_columns(
            performance=pl.coalesce("last_performance", "performance"),
            samples=pl.when(of_last).then("val_samples").otherwise("samples"),
        )
    if group is not None:
        if group not in runs.columns:
            raise ValueError(f"there is no column {group!r} to group by; the runs have {', '.join(runs.columns)}.")
        runs = runs.with_columns(group=pl.col(group).cast(pl.String))
    return runs


def warn_of_mixtures(runs: Runs, within: Sequence[str] = ()) -> None:
    """Warn if costs that do not compare are put into one space.

    That is energy that was measured beside energy that was estimated, which may be off by half, and runs on different
    devices, whose costs tell of the devices as well as of the models. What is not known mixes with nothing.

    Args:
        runs: What `load_runs` returned.
        within: Columns, such as "group"; runs that differ in them are in different spaces.
    """
    kinds = runs.select(
        pl.struct(within).alias("_space") if within else pl.lit(0).alias("_space"),
        "model",
        "device",
        energy=pl.when(pl.col("energy_kwh").is_not_null()).then(
            pl.col("quality").replace_strict(_KINDS, default=None, return_dtype=pl.String)
        ),
    )
    for name, group, told in (
        ("energy", "quality", "energy is {}; an estimate may be off by half, and R takes the two for alike"),
        ("device", "device", "the runs are of different devices, {}; R then compares devices as well as models"),
    ):
        found = kinds.drop_nulls(name).group_by("_space", name).agg(pl.len(), pl.col("model").first())
        alike = pl.col(name).str.split(", ").list.sort().list.join(", ")  # a record has its devices in any order
        mixed = found.with_columns(alike).filter(pl.col(name).n_unique().over("_space") > 1)
        if mixed.is_empty():
            continue
        counts = mixed.group_by(name).agg(pl.col("len").sum(), pl.col("model").sort().first()).sort(name)
        shown = [f"{kind} in {count} (such as {model})" for kind, count, model in counts.head(4).rows()]
        shown += [f"and {len(counts) - 4} more"] * (len(counts) > 4)
        warnings.warn(
            f"{told.format(', '.join(shown))}. Rank such runs apart (group={group!r}), or leave one kind out.",
            stacklevel=3,
        )


def _flatten(sources: Iterable[Any]) -> Iterator[Any]:
    for source in sources:
        if isinstance(source, (list, tuple)):
            yield from _flatten(source)
        else:
            yield source


def _text(path: str | os.PathLike[str]) -> str:
    """A path as text: a file's name may be any bytes."""
    return os.fsencode(path).decode("utf-8", "replace")


def _search(folder: Path) -> list[tuple[RunRecord, str | None]]:
    """The records below a folder; broken ones are named in a warning and left out."""
    found: list[tuple[RunRecord, str | None]] = []
    broken: list[str] = []
    files = list(files_below(folder))
    paths = sorted(path for path in files if is_record(path)) + find_wandb(files)
    for path in paths:
        try:
            record = RunRecord.load(path) if path.suffix == ".json" else read_wandb(path)
            found.append((record, _text(path)))
        except (OSError, ValueError, ModuleNotFoundError) as error:
            broken.append(str(error))
    if not found:
        what = f"none of the {len(paths)} records in it can be read: {broken[0]}" if broken else f"no {FILE_NAME} in it"
        raise ValueError(f"{folder} holds no run ({what}); expected the records that PePRCallback leaves.")
    if broken:
        warnings.warn(
            f"{len(broken)} of {len(paths)} records in {folder} cannot be read and are left out:\n"
            + "\n".join([*broken[:20], *["…"] * (len(broken) > 20)]),
            stacklevel=3,
        )
    return found


def _latest(records: list[tuple[RunRecord, str | None]]) -> list[tuple[RunRecord, str | None]]:
    """Of each run the record that was written last: a run that was resumed elsewhere goes on in a new folder."""
    latest: dict[str, tuple[RunRecord, str | None]] = {}
    for record, path in records:
        other = latest.get(record.run_id)
        if other is None or _age(record) > _age(other[0]):
            latest[record.run_id] = (record, path)
    return list(latest.values())


def _age(record: RunRecord) -> tuple[str, int, bool]:
    """What grows as a run goes on. `updated` is in whole seconds."""
    return record.updated, len(record.epochs), record.status != "running"


def _records(records: list[tuple[RunRecord, str | None]]) -> Runs:
    rows = []
    for record, path in records:
        costs = {name: record.costs[name].value for name in _COSTS if name in record.costs}
        energy = record.costs.get("energy_kwh")
        rows.append(
            {
                "group": record.group or None,
                "model": record.model,
                "performance": record.performance,
                "params": record.params,
                **{name: value for name, value in costs.items() if value is not None},
                "val_performance": record.best.performance if record.best else None,
                "last_performance": record.last.performance if record.last else None,
                **{f"{name}_error": record.costs[name].error for name in _MEASURED if name in record.costs},
                "gain": _gain(record),
                "samples": record.val_samples if record.test_performance is None else record.test_samples,
                "val_samples": record.val_samples,
                "quality": energy.quality or None if energy else None,
                "source": path,
                "run_id": record.run_id,
                "boards": ", ".join(sorted(k for k, d in record.devices.items() if d.energy_uj is not None)) or None,
                "device": ", ".join(dict.fromkeys(d.name for d in record.devices.values() if d.name)) or None,
                "status": record.status,
            }
        )
    return pl.DataFrame(rows, schema_overrides=COLUMNS, infer_schema_length=None).pipe(_complete)


def _gain(record: RunRecord) -> float | None:
    """The relative uncertainty of all the energy of a run that its boards' sensors share; None without energy."""
    known = [(d.energy_uj, d.gain) for d in record.devices.values() if d.energy_uj is not None]
    total = sum(energy for energy, _ in known)
    return sum(energy * gain for energy, gain in known) / total if total else None


def _read_csv(path: Path) -> pl.DataFrame:
    """Read a table; the columns that we know become numbers or text, whatever their first rows look like."""
    known = {**COLUMNS, **dict.fromkeys([*PAPER_COLUMNS, "train_time"], pl.Float64), "dataset": pl.String}
    # polars takes no name that is not text.
    file = path if _text(path) == os.fspath(path) else path.read_bytes()
    try:
        header = pl.read_csv(file, n_rows=0).columns
        types = {name: known[name] for name in header if name in known}
        types |= {name: pl.Float64 for name in header if _TEST.fullmatch(name)}
        try:
            frame = pl.read_csv(file, schema_overrides=types, infer_schema_length=10_000)
        except pl.exceptions.ComputeError:  # there is text among the numbers; `_numbers` says where
            frame = pl.read_csv(file, infer_schema=False)
        return _without_blanks(frame, path)
    except pl.exceptions.NoDataError:
        raise ValueError(f"{path} is empty; expected a table with a header.") from None
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path} is not a CSV table: {_ragged(path) or str(error).splitlines()[0]}.") from error


def _ragged(path: Path) -> str:
    """Which line has more fields than the header, if one does; polars does not say."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        lines = csv.reader(file)
        width = len(next(lines, []))
        for fields in lines:
            if fields and len(fields) != width:
                return f"line {lines.line_num} has {len(fields)} fields, and the header {width}"
    return ""


def _without_blanks(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Drop blank lines, and refuse short ones: polars fills both with nulls, which would pass for "not measured"."""
    if not frame.columns or not frame[:, -1].null_count():
        return frame
    if ragged := _ragged(path):
        raise ValueError(f"{path} is not a CSV table: {ragged}.")
    return frame.filter(~pl.all_horizontal(pl.all().is_null()))


def _table(frame: pl.DataFrame, source: str | None, columns: Columns) -> Runs:
    """Bring a table, in the paper's columns, CodeCarbon's, the user's or ours, into the columns of `COLUMNS`."""
    where = source or "the table"
    found = ", ".join(frame.columns) or "none"
    tests = [name for name in frame.columns if _TEST.fullmatch(name)]
    tests.sort(key=lambda name: int(name.removeprefix("test_")))
    of_paper, of_codecarbon = "performance" not in frame.columns and bool(tests), is_codecarbon(frame)
    if source is not None:
        frame = frame.drop("row", strict=False).with_row_index("row").with_columns(source=pl.lit(source))
    if columns:
        frame = apply_columns(_numbers(frame, amounts_of(columns), where), columns, where)
    if of_paper:
        frame = _numbers(frame, [*PAPER_COLUMNS, "train_time", *tests], where)
        new = {field: pl.col(name) for name, field in PAPER_COLUMNS.items() if name in frame.columns}
        if "train_time" in frame.columns:
            new["time_s"] = pl.col("train_time") * len(tests)
        new["performance"] = pl.col(tests[-1])
        frame = frame.with_columns(column.alias(name) for name, column in new.items() if name not in columns)
    elif of_codecarbon:
        frame = from_codecarbon(_numbers(frame, CODECARBON_AMOUNTS, where), columns)
    missing = [name for name in ("model", "performance") if name not in frame.columns]
    if not any(field in frame.columns for field in _COSTS):
        missing.append("cost")
    if missing:
        raise ValueError(
            f"{where} has no {' and no '.join(missing)}; its columns are {found}. Expected model, performance and at "
            f"least one of {', '.join(_COSTS)}; or the paper's: model, test_00, test_01 … and at least one of "
            f"{', '.join([*PAPER_COLUMNS, 'train_time'])}; or columns={{'model': …}} (--column model=…) to map them."
        )
    if "group" not in frame.columns and "dataset" in frame.columns:
        frame = frame.with_columns(group=pl.col("dataset"))
    frame = frame.drop(name for name in frame.columns if _DERIVED.fullmatch(name))
    if "row" not in frame.columns:
        frame = frame.with_row_index("row")
    no_run = frame["model"].cast(pl.String) == BASELINE
    if no_run.any():
        frame = frame.filter(~no_run.fill_null(False))
    return _complete(_numbers(frame, _COSTS + _PERFORMANCES + _MORE_NUMBERS, where))


def _numbers(frame: pl.DataFrame, names: Iterable[str], where: str) -> pl.DataFrame:
    """Turn columns of text into numbers, or raise a `ValueError` that names the row and the text."""
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
            raise ValueError(
                f"{name} in row {row} of {where}{model} is {text[row]!r}; expected a number, or an empty cell where "
                f"it was not measured. Rows are counted from 0, without the header.{units_in(text)}"
            )
        frame = frame.with_columns(numbers.alias(name))
    return frame


def _complete(frame: pl.DataFrame) -> Runs:
    """All columns of `COLUMNS`, in their order and type, then the others."""
    known = [
        pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in COLUMNS.items()
    ]
    return frame.select(*known, pl.exclude(list(COLUMNS)))


def _concat(frames: list[Runs]) -> Runs:
    """Put tables below each other; a column that is text in one of them becomes text in all."""
    types: dict[str, set[Any]] = {}
    for frame in frames:
        for name, dtype in frame.schema.items():
            types.setdefault(name, set()).add(dtype)
    mixed = [name for name, seen in types.items() if len(seen) > 1]
    alike = [
        frame.with_columns(pl.col(name).cast(pl.String) for name in mixed if name in frame.columns) for frame in frames
    ]
    return pl.concat(alike, how="diagonal")


def _describe(run: dict[str, Any]) -> str:
    """A run in words: its model, and where it was read."""
    row = "" if run["row"] is None else f"row {run['row']} of "
    place = f" ({row}{run['source'] or 'the table'})" if row or run["source"] else ""
    return f"{run['model']}{place}"
