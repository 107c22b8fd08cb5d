"""What the page shows, as plain types: runs, scores, curves, stages, findings, and where it all comes from."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from lightning_pepr._version import __version__
from lightning_pepr.auditing import find
from lightning_pepr.cost import CARBON, ENERGY, RESOURCES, UNITS
from lightning_pepr.figures import palette
from lightning_pepr.functional import above_baseline
from lightning_pepr.record import RunRecord
from lightning_pepr.report.curves import draw_curves, thin_evaluations
from lightning_pepr.report.facts import count_origins, explain_costs, find_facets, list_devices
from lightning_pepr.report.scores import offer_spaces, score_runs
from lightning_pepr.runs import COLUMNS, Runs
from lightning_pepr.runs.checks import can_be, warn_of_mixtures, warn_of_unscored
from lightning_pepr.runs.load import flatten, read_runs
from lightning_pepr.runs.mlflow import MLFLOW, read_mlflow
from lightning_pepr.runs.table import COSTS, ERRORS, SAMPLES
from lightning_pepr.runs.wandb import read_wandb
from lightning_pepr.space import ModelSpace
from lightning_pepr.utilities.environment import now
from lightning_pepr.utilities.files import files_below, is_journal, is_record, journal_of, signature
from lightning_pepr.utilities.json import finite
from lightning_pepr.utilities.statistics import wilson
from lightning_pepr.utilities.stores import is_url

if TYPE_CHECKING:
    from lightning_pepr.runs.columns import Columns
    from lightning_pepr.runs.load import Source


def collect(
    sources: Source,
    *,
    space: ModelSpace | str | os.PathLike[str] | None = None,
    group: str | None = None,
    baseline: float | None = None,
    at: Literal["best", "last"] = "best",
    columns: Columns | None = None,
    monitor: str | None = None,
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
        monitor: Same as for `load_runs`.

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
        runs = read_runs(sources, group, at, columns, monitor)
        records = _records(sources, runs)
        if monitor is not None:
            records = {run_id: record.monitored_by(monitor) for run_id, record in records.items()}
        within = ["group"] if group is not None else []
        warn_of_mixtures(runs, within)
        table = _scorable(runs)
        warn_of_unscored(table, within)
        findings = find(runs).rename({"at": "run"}).to_dicts()
    notes = list(dict.fromkeys(str(warning.message) for warning in caught))
    for note in notes:
        warnings.warn(note, stacklevel=2)
    ordered = [records.get(run_id) if run_id else None for run_id in runs["run_id"]]
    page = _assemble(table, ordered, given, baseline, grouped=group is not None)
    return page | {"findings": findings, "notes": notes}


def nothing_yet(reason: str) -> dict[str, Any]:
    """What a page shows that waits for its first run, with the reason why there is none."""
    nothing = _assemble(pl.DataFrame(schema=COLUMNS), [], None, None, grouped=False)
    return nothing | {"findings": [], "notes": [reason]}


def fingerprint(sources: Iterable[str | os.PathLike[str]]) -> tuple[tuple[str, object], ...]:
    """Each file that is read, with its signature; an MLflow experiment is taken to change every ten seconds."""
    found: list[tuple[str, object]] = []
    for source in (os.fspath(each) for each in sources):
        if source.startswith(MLFLOW):
            found.append((source, int(time.monotonic() / 10)))
            continue
        read = [Path(source), journal_of(Path(source))]
        if os.path.isdir(source):
            read = [p for p in files_below(source) if is_record(p) or is_journal(p) or p.suffix == ".wandb"]
        found += [(str(file), state) for file in sorted(read) if (state := signature(file)) is not None]
    return tuple(found)


def _assemble(
    table: Runs, records: Sequence[RunRecord | None], given: ModelSpace | None, baseline: float | None, grouped: bool
) -> dict[str, Any]:
    known = [record for record in records if record is not None]
    evaluations = thin_evaluations(records)
    shown, spaces = offer_spaces(given, records)
    # What a model did on one data set is no repeat of what it did on another.
    places = table.select("group", "model", at=pl.int_range(pl.len(), dtype=pl.Int64))  # a table may have any columns
    first = pl.when(pl.col("model").is_null()).then("at").otherwise(pl.col("at").first().over("group", "model"))
    same = places.select(first).to_series()
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
        "stages": [None if run is None else {name: of.energy_uj for name, of in run.stages.items()} for run in records],
        "devices": [None if run is None else list_devices(run) for run in records],
        "monitors": sorted({run.monitor if run.test_performance is None else run.test_monitor for run in known}),
        "provenance": count_origins(known),
        "themes": {"light": asdict(palette.LIGHT), "dark": asdict(palette.DARK)},
        "symbols": ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross"],  # as `palette.MARKERS`
    }


def _records(sources: Source, runs: Runs) -> dict[str, RunRecord]:
    """The records behind the rows of a table of runs, by `run_id`: epochs and stages are in no table."""
    found: dict[str, RunRecord] = {}
    for source in flatten([sources]):
        if isinstance(source, RunRecord):
            found[source.run_id] = source
        elif isinstance(source, str) and source.startswith(MLFLOW):
            found.update({record.run_id: record for record, _ in read_mlflow(source.removeprefix(MLFLOW))})
    for run_id, source in runs.select("run_id", "source").drop_nulls().iter_rows():
        if run_id not in found and (is_url(source) or os.path.exists(source)):
            with contextlib.suppress(OSError, ValueError, ModuleNotFoundError):  # it has changed since, or is a table
                found[run_id] = RunRecord.load(source) if source.endswith(".json") else read_wandb(Path(source))
    return found


def _scorable(runs: Runs) -> Runs:
    """The runs without values that cannot be scored, which a warning names."""
    names = ["performance", *COSTS, *ERRORS, "gain", *SAMPLES]
    kept = runs.with_columns(pl.when(can_be(name)).then(name) for name in names)
    for name in names:
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
    errors = table.select(pl.col(f"{r.field}_error").alias(r.letter) for r in (ENERGY, CARBON))
    gains = table.select((pl.col("gain") * pl.col(r.field)).alias(r.letter) for r in (ENERGY, CARBON))
    # What a run is recognised by when the page is made anew; tables may repeat a name.
    place = pl.coalesce(
        pl.format("{}#{}", pl.col("source").fill_null(""), "row"), pl.format("#{}", pl.int_range(pl.len()))
    )
    key = pl.when(pl.col("run_id") != "").then("run_id").otherwise(place)
    again = pl.int_range(pl.len()).over("_key")
    keys = table.select(_key=key).select(pl.when(again == 0).then("_key").otherwise(pl.format("{}\0{}", "_key", again)))
    columns = {
        "key": keys.to_series().to_list(),
        "model": table["model"].fill_null("(no name)").to_list(),
        "p": table["performance"].to_list(),
        "pLow": limits["low"].to_list(),
        "pHigh": limits["high"].to_list(),
        "cost": {resource.letter: table[resource.field].to_list() for resource in RESOURCES},
        "error": errors.to_dict(as_series=False),
        # Errors with those of the sensor, which runs on other boards do not share.
        "errorApart": (errors.fill_null(0.0) + gains.fill_null(0.0)).to_dict(as_series=False),
        **table.select("group", "samples", "boards", "quality", "device", "status").to_dict(as_series=False),
    }
    return {name: finite(values) for name, values in columns.items()}
