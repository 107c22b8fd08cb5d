"""What the page shows, as plain types: runs, scores, curves, stages, findings, and where it all comes from."""

from __future__ import annotations

import contextlib
import math
import os
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning_pepr._version import __version__
from lightning_pepr.auditing import find
from lightning_pepr.cost import CARBON, ENERGY, RESOURCES, UNITS
from lightning_pepr.figures import palette
from lightning_pepr.functional import PERFORMANCE_RANGE, above_baseline
from lightning_pepr.record import RunRecord
from lightning_pepr.report.curves import draw_curves, thin_evaluations
from lightning_pepr.report.facts import count_origins, explain_costs, find_facets, list_devices, list_stages
from lightning_pepr.report.scores import offer_spaces, score_runs
from lightning_pepr.runs import COLUMNS, Runs
from lightning_pepr.runs.checks import warn_of_mixtures
from lightning_pepr.runs.load import read_runs
from lightning_pepr.runs.mlflow import MLFLOW, read_mlflow
from lightning_pepr.runs.wandb import read_wandb
from lightning_pepr.space import ModelSpace
from lightning_pepr.utilities.environment import now
from lightning_pepr.utilities.files import files_below, is_record
from lightning_pepr.utilities.statistics import wilson

import polars as pl  # isort: skip, after runs, which says how to install it

if TYPE_CHECKING:
    from lightning_pepr.runs.columns import Columns
    from lightning_pepr.runs.load import Source

_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")  # as `palette.MARKERS`


def collect(
    sources: Source,
    *,
    space: ModelSpace | str | os.PathLike[str] | None = None,
    group: str | None = None,
    baseline: float | None = None,
    at: Literal["best", "last"] = "best",
    columns: Columns | None = None,
) -> dict[str, Any]:
    """Gather all that a page shows.

    Runs are those of `rank`, in the order of `load_runs`. What cannot be scored (a negative cost, a performance
    outside [0, 1]) is left out, and `notes` say so, since the audit's findings are about such runs.

    Args:
        sources: What `load_runs` reads.
        space: A space to begin with, beside those that the runs recorded and the published ones.
        group: The column whose values can be looked at apart; by default `group`.
        baseline: P0 in [0, 1): (P - P0) / (1 - P0), floored at 0, is scored instead of P.
        at: "best" or "last", same as for `rank`.
        columns: Same as for `load_runs`.

    Returns:
        A dictionary that JSON can hold: no NaN, no infinities.

    Raises:
        FileNotFoundError: If a path, or the file of the space, does not exist.
        ValueError: What `load_runs` raises; if there is no column `group`; if `baseline` or `at` is out of range.
    """
    if baseline is not None:
        above_baseline(1.0, baseline)  # refuses a bad one
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        given = None if space is None else ModelSpace.of(space)
        runs = read_runs(sources, group, at, columns)
        records = _records(sources, runs)
        warn_of_mixtures(runs, ["group"] if group is not None else [])
        table = _scorable(runs)
        findings = _findings(runs)
    notes = list(dict.fromkeys(str(warning.message) for warning in caught))
    for note in notes:
        warnings.warn(note, stacklevel=2)
    ordered = [records.get(run_id) if run_id else None for run_id in runs["run_id"]]
    return _assemble(table, ordered, given, baseline, findings, notes, grouped=group is not None)


def nothing_yet(reason: str) -> dict[str, Any]:
    """What a page shows that waits for its first run.

    Args:
        reason: Why there is none.
    """
    return _assemble(pl.DataFrame(schema=COLUMNS), [], None, None, [], [reason], grouped=False)


def fingerprint(sources: Iterable[str | os.PathLike[str]]) -> tuple[tuple[str, int, int], ...]:
    """What changes when that which a page is made of does.

    Args:
        sources: Paths, and MLflow experiments.

    Returns:
        Path, time and size of each file that is read; what vanishes meanwhile is left out. An experiment has none
        of these: it is taken to change every ten seconds.
    """
    found = []
    for source in (os.fspath(each) for each in sources):
        if source.startswith(MLFLOW):
            found.append((source, int(time.monotonic() / 10), 0))
            continue
        below = sorted(p for p in files_below(source) if is_record(p) or p.suffix == ".wandb")
        for file in below if os.path.isdir(source) else [source]:
            with contextlib.suppress(OSError):  # it is just being replaced
                state = os.stat(file)
                found.append((str(file), state.st_mtime_ns, state.st_size))
    return tuple(found)


def _assemble(
    table: Runs,
    records: Sequence[RunRecord | None],
    given: ModelSpace | None,
    baseline: float | None,
    findings: list[dict[str, Any]],
    notes: list[str],
    grouped: bool,
) -> dict[str, Any]:
    known = [record for record in records if record is not None]
    evaluations = thin_evaluations(records)
    shown, spaces = offer_spaces(given, records)
    # What a model did on one data set is no repeat of what it did on another.
    at = pl.col("_at")
    first = pl.when(pl.col("model").is_null()).then(at).otherwise(at.first().over("group", "model"))
    same = table.with_row_index("_at").select(first).to_series()
    return {
        "version": __version__,
        "made": now(),
        "resources": [
            {"letter": r.letter, "name": r.name, "field": r.field, "unit": r.unit, "units": UNITS[r]} for r in RESOURCES
        ],
        "runs": {**_columns(table), "same": same.to_list()},
        "groups": table["group"].drop_nulls().unique().sort().to_list(),
        "grouped": grouped,
        "how": [explain_costs(run, quality) for run, quality in zip(records, table["quality"], strict=True)],
        "facets": find_facets(table, records),
        "spaces": shown,
        "scores": score_runs(table, same, spaces, baseline, evaluations),
        "baseline": baseline,
        "curves": draw_curves(records, evaluations),
        "stages": [None if run is None else list_stages(run) for run in records],
        "devices": [None if run is None else list_devices(run) for run in records],
        "monitors": sorted({run.monitor if run.test_performance is None else run.test_monitor for run in known}),
        "findings": findings,
        "notes": notes,
        "provenance": count_origins(known),
        "themes": {"light": asdict(palette.LIGHT), "dark": asdict(palette.DARK)},
        "symbols": list(_SYMBOLS),
    }


def _records(sources: Source, runs: Runs) -> dict[str, RunRecord]:
    """The records behind the rows of a table of runs, by `run_id`: epochs and stages are in no table."""
    found: dict[str, RunRecord] = {}
    for source in _flatten(sources):
        if isinstance(source, RunRecord):
            found[source.run_id] = source
        elif isinstance(source, str) and source.startswith(MLFLOW):
            found.update({record.run_id: record for record, _ in read_mlflow(source.removeprefix(MLFLOW))})
    for run_id, source in runs.select("run_id", "source").drop_nulls().iter_rows():
        path = Path(source)
        if run_id not in found and path.exists():
            with contextlib.suppress(OSError, ValueError, ModuleNotFoundError):  # it has changed since, or is a table
                found[run_id] = RunRecord.load(path) if path.suffix == ".json" else read_wandb(path)
    return found


def _flatten(sources: Any) -> list[Any]:
    if isinstance(sources, (list, tuple)):
        return [each for source in sources for each in _flatten(source)]
    return [sources]


def _scorable(runs: Runs) -> Runs:
    """The runs without values that cannot be scored, which a warning names."""
    tests = {"performance": pl.col("performance").is_between(*PERFORMANCE_RANGE)}
    costs = [resource.field for resource in RESOURCES]
    bounds = [f"{resource.field}_error" for resource in (ENERGY, CARBON)] + ["gain"]
    tests |= {name: pl.col(name).is_finite() & (pl.col(name) >= 0) for name in costs + bounds}
    tests |= {name: pl.col(name) >= 1 for name in ("samples", "val_samples")}
    kept = runs.with_columns(pl.when(test).then(pl.col(name)) for name, test in tests.items())
    for name in tests:
        lost = int(runs[name].count() - kept[name].count())
        if lost:
            at = int((runs[name].is_not_null() & kept[name].is_null()).arg_max() or 0)
            warnings.warn(
                f"{name} of {lost} of the {len(runs)} runs cannot be true (that of {runs['model'][at]} is "
                f"{runs[name][at]!r}) and is left out.",
                stacklevel=3,
            )
    return kept


def _columns(table: Runs) -> dict[str, Any]:
    """The runs, a list a column; None is what is not known."""
    low, high = wilson(pl.col("performance").clip(0.0, 1.0), pl.col("samples"))
    limits = table.select(low=low, high=high)
    errors = {r.letter: (table[r.field], table[f"{r.field}_error"]) for r in (ENERGY, CARBON)}
    # What a run is recognised by when the page is made anew; tables may repeat a name.
    place = pl.coalesce(
        pl.format("{}#{}", pl.col("source").fill_null(""), "row"), pl.format("#{}", pl.int_range(pl.len()))
    )
    key = pl.when(pl.col("run_id") != "").then("run_id").otherwise(place)
    again = pl.int_range(pl.len()).over("_key")
    keys = table.select(_key=key).select(pl.when(again == 0).then("_key").otherwise(pl.format("{}\0{}", "_key", again)))
    return {
        "key": keys.to_series().to_list(),
        "model": [str(name) if name is not None else "(no name)" for name in table["model"]],
        "p": _plain(table["performance"]),
        "pLow": _plain(limits["low"]),
        "pHigh": _plain(limits["high"]),
        "cost": {resource.letter: _plain(table[resource.field]) for resource in RESOURCES},
        "error": {letter: _plain(error) for letter, (_, error) in errors.items()},
        # Errors with those of the sensor, which runs on other boards do not share.
        "errorApart": {
            letter: _plain(error.fill_null(0.0) + (table["gain"] * cost).fill_null(0.0))
            for letter, (cost, error) in errors.items()
        },
        **{name: table[name].to_list() for name in ("group", "samples", "boards", "quality", "device", "status")},
    }


def _plain(values: pl.Series) -> list[float | None]:
    return [value if value is not None and math.isfinite(value) else None for value in values]


def _findings(runs: Runs) -> list[dict[str, Any]]:
    """What the audit found, with the place of the run in the table."""
    names = ("group", "model", "rule", "evidence", "confidence", "source", "row")
    return [
        {name: finding[name] for name in names} | {"run": finding["at"]} for finding in find(runs).iter_rows(named=True)
    ]
