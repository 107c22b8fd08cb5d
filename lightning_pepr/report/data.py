"""What the page shows, as plain types: runs, spaces, curves, stages, findings, and where it all comes from."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning_pepr._version import __version__
from lightning_pepr.auditing import find
from lightning_pepr.cost import CARBON, ENERGY, PARAMS, RESOURCES, UNITS
from lightning_pepr.figures import palette
from lightning_pepr.functional import PERFORMANCE_TOLERANCE, above_baseline
from lightning_pepr.paper.architectures import architectures
from lightning_pepr.paper.spaces import SETTINGS
from lightning_pepr.record import Epoch, RunRecord
from lightning_pepr.runs import COLUMNS, Runs
from lightning_pepr.runs.checks import warn_of_mixtures
from lightning_pepr.runs.load import read_runs
from lightning_pepr.runs.mlflow import MLFLOW, read_mlflow
from lightning_pepr.runs.wandb import read_wandb
from lightning_pepr.space import ModelSpace
from lightning_pepr.utilities.environment import now
from lightning_pepr.utilities.files import files_below
from lightning_pepr.utilities.json import finite
from lightning_pepr.utilities.statistics import CONFIDENCE, wilson

import polars as pl  # isort: skip, after sources, which says how to install it

if TYPE_CHECKING:
    from lightning_pepr.runs.columns import Columns
    from lightning_pepr.runs.load import Source

MOST_EVALUATIONS = 60_000
"""Evaluations of all runs together that the curves of a page hold; of longer runs some are left out."""

MOST_SPACES = 20
"""Recorded spaces that a page offers, the most used first."""

_MOST_CATEGORIES = 30
_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")  # as `palette.MARKERS`
_FACETS = ("device", "quality", "status")


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

    Runs are as `rank` has them, in the order of `load_runs`. What cannot be scored (a negative cost, a performance
    outside [0, 1]) is left out and told in `notes`, since the audit's findings are about such runs.

    Args:
        sources: What `load_runs` reads.
        space: A space to begin with, beside those that the runs recorded and the published ones.
        group: The column whose values can be looked at apart; by default `group`.
        baseline: P0 in [0, 1): (P - P0) / (1 - P0), floored at 0, is scored instead of P.
        at: "best" or "last", as of `rank`.
        columns: As of `load_runs`.

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
    stages = [
        None if run is None else {k: [stage.energy_uj, stage.time_ns] for k, stage in run.stages.items()}
        for run in records
    ]
    return {
        "version": __version__,
        "made": now(),
        "resources": [
            {"letter": r.letter, "name": r.name, "field": r.field, "unit": r.unit, "units": UNITS[r]} for r in RESOURCES
        ],
        "runs": _columns(table),
        "how": _how(table, records),
        "facets": _facets(table, records),
        "student": _student(table),
        "spaces": _spaces(given, records),
        "baseline": baseline,
        "curves": _curves(records),
        "stages": stages,
        "devices": [None if run is None else _devices(run) for run in records],
        "monitors": sorted({run.monitor if run.test_performance is None else run.test_monitor for run in known}),
        "findings": findings,
        "notes": notes,
        "provenance": _provenance(known),
        "grouped": grouped,
        "themes": {"light": asdict(palette.LIGHT), "dark": asdict(palette.DARK)},
        "symbols": list(_SYMBOLS),
    }


def fingerprint(sources: Iterable[str | os.PathLike[str]]) -> tuple[tuple[str, int, int], ...]:
    """What tells whether that which a page was made of has changed.

    Args:
        sources: Paths, and MLflow experiments.

    Returns:
        Path, time and size of each file that is read; what vanishes meanwhile is left out. An experiment tells
        nothing: it is taken to change every ten seconds.
    """
    found = []
    for source in (os.fspath(each) for each in sources):
        if source.startswith(MLFLOW):
            found.append((source, int(time.monotonic() / 10), 0))
            continue
        for file in _files(source) if os.path.isdir(source) else [source]:
            with contextlib.suppress(OSError):  # it is just being replaced
                state = os.stat(file)
                found.append((file, state.st_mtime_ns, state.st_size))
    return tuple(found)


def _files(folder: str) -> list[str]:
    """What runs are read from below a folder."""
    return sorted(
        str(path) for path in files_below(folder) if fnmatch(path.name, "pepr*.json") or path.suffix == ".wandb"
    )


def _records(sources: Source, runs: Runs) -> dict[str, RunRecord]:
    """The records behind the rows of a table of runs, by `run_id`: epochs and stages are in no table."""
    found: dict[str, RunRecord] = {}
    for source in _flat(sources):
        if isinstance(source, RunRecord):
            found[source.run_id] = source
        elif isinstance(source, str) and source.startswith(MLFLOW):
            found.update({record.run_id: record for record, _ in read_mlflow(source.removeprefix(MLFLOW))})
    for run_id, source in runs.select("run_id", "source").drop_nulls().iter_rows():
        path = Path(source)
        if run_id in found or not path.exists():
            continue
        try:
            found[run_id] = RunRecord.load(path) if path.suffix == ".json" else read_wandb(path)
        except (OSError, ValueError, ModuleNotFoundError):  # it has changed since, or is a table
            continue
    return found


def _flat(sources: Any) -> list[Any]:
    if isinstance(sources, (list, tuple)):
        return [each for source in sources for each in _flat(source)]
    return [sources]


def _scorable(runs: Runs) -> Runs:
    """The runs without values that cannot be scored, which are told in a warning."""
    slack = PERFORMANCE_TOLERANCE
    tests = {"performance": pl.col("performance").is_between(-slack, 1 + slack)}
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
    table = table.with_row_index("_at")
    at = pl.col("_at")
    low, high = wilson(pl.col("performance").clip(0.0, 1.0), pl.col("samples"))
    # What a model did on one data set is no repeat of what it did on another.
    first = at.first().over("group", "model")
    more = table.select(low=low, high=high, same=pl.when(pl.col("model").is_null()).then(at).otherwise(first))
    boards = {name: index for index, name in enumerate(table["boards"].drop_nulls().unique(maintain_order=True))}
    keys = [
        run_id or f"{source}#{row}" if run_id or row is not None else f"#{index}"
        for index, (run_id, source, row) in enumerate(table.select("run_id", "source", "row").iter_rows())
    ]
    return {
        "key": _unique(keys),
        "model": [str(name) if name is not None else "(no name)" for name in table["model"]],
        "group": table["group"].to_list(),
        "p": _plain(table["performance"]),
        "pLow": _plain(more["low"]),
        "pHigh": _plain(more["high"]),
        "samples": table["samples"].to_list(),
        "cost": {resource.letter: _plain(table[resource.field]) for resource in RESOURCES},
        "error": {r.letter: _plain(table[f"{r.field}_error"]) for r in (ENERGY, CARBON)},
        "gain": _plain(table["gain"]),
        "boards": [None if name is None else boards[name] for name in table["boards"]],
        "same": more["same"].to_list(),
        "quality": table["quality"].to_list(),
        "device": table["device"].to_list(),
        "status": table["status"].to_list(),
        "source": table["source"].to_list(),
        "row": table["row"].to_list(),
    }


def _unique(keys: Iterable[str]) -> list[str]:
    """Each key, with its number among its equals if it is not the first: tables may repeat a run's name."""
    counts: Counter[str] = Counter()
    found: dict[str, None] = {}
    for key in keys:
        counts[key] += 1
        name = key if counts[key] == 1 else f"{key}#{counts[key]}"
        while name in found:  # another run is called so
            name += "#"
        found[name] = None
    return list(found)


def _plain(values: pl.Series) -> list[float | None]:
    return [value if value is not None and math.isfinite(value) else None for value in values]


def _how(table: Runs, records: Sequence[RunRecord | None]) -> dict[str, Any]:
    """How each cost of each run was had: the kinds there are, and which of them a run is."""
    kinds: dict[str, int] = {}
    of = []
    for record, quality in zip(records, table["quality"], strict=True):
        if record is not None:
            how = {
                resource.letter: [entry.quality, entry.lower_bound, entry.reason]
                for resource in RESOURCES
                if (entry := record.costs.get(resource.field)) is not None
            }
        else:
            how = {} if quality is None else {"E": [quality, False, ""]}
        of.append(kinds.setdefault(json.dumps(how), len(kinds)))
    return {"kinds": [json.loads(kind) for kind in kinds], "of": of}


def _facets(table: Runs, records: Sequence[RunRecord | None]) -> list[dict[str, Any]]:
    """What runs can be coloured by: the type of a model, settings, columns; few values, at least two."""
    columns: dict[str, list[str | None]] = {}
    if "type" not in table.columns:
        kinds = {name: each.kind for each in architectures().values() for name in (each.name, each.timm)}
        columns["type"] = [kinds.get(str(name)) for name in table["model"]]
    others = [name for name, dtype in table.schema.items() if name not in COLUMNS and dtype == pl.String]
    for name in ("group", *sorted(others, key=lambda name: name != "type")):
        columns[name] = table[name].to_list()
    settings = [{} if record is None else _facts(record.settings) for record in records]
    for name in dict.fromkeys(name for each in settings for name in each):
        values = [each.get(name) for each in settings]
        if name not in columns and all(isinstance(value, (str, int, float, type(None))) for value in values):
            columns[name] = [None if value is None else str(value) for value in values]
    for name in _FACETS:
        columns[name] = table[name].to_list()
    facets: list[dict[str, Any]] = []
    for name in sorted(columns, key=lambda name: name != "type"):
        found = set(columns[name]) - {None}
        if 2 <= len(found) <= _MOST_CATEGORIES:
            categories = palette.order_categories(value for value in found if value is not None)
            at = {category: index for index, category in enumerate(categories)}
            of = [None if value is None else at[value] for value in columns[name]]
            if all(facet["of"] != of for facet in facets):  # `group` is that of `dataset`
                facets.append({"name": name, "categories": categories, "of": of})
    return facets


def _student(table: Runs) -> dict[int, float]:
    """For each number of runs that a model has the half-width of their mean, in standard deviations of one."""
    largest = table.group_by("group", "model").len()["len"].max()
    several = range(2, int(largest or 1) + 1)  # type: ignore[arg-type]  # fewer where some runs have no score
    if not several:
        return {}
    from scipy.special import stdtrit

    return {count: float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) / math.sqrt(count) for count in several}


def _spaces(given: ModelSpace | None, records: Sequence[RunRecord | None]) -> list[dict[str, Any]]:
    """The spaces to choose from, beside that of the runs themselves."""
    spaces = [] if given is None else [_space("given", "Given", given.source, given)]
    recorded = Counter(ModelSpace.from_dict(record.space) for record in records if record is not None and record.space)
    for index, (space, count) in enumerate(recorded.most_common(MOST_SPACES)):
        runs = "a run" if count == 1 else f"{count} runs"
        spaces.append(_space(f"recorded-{index}", "Recorded", f"{space.source}, as {runs} had it", space))
    for name, setting in SETTINGS.items():
        clean = bool(setting.rejected)
        space = ModelSpace.published(name, clean=clean)
        spaces.append(
            _space(
                f"published-{name}",
                "Published",
                f"{name}, without {setting.rejected} rows of other runs' energy" if clean else name,
                space,
            )
        )
    return spaces


def _space(key: str, kind: str, label: str, space: ModelSpace) -> dict[str, Any]:
    ranges = {resource.letter: list(space.range(resource)) for resource in space}
    plain = space.to_dict()
    return {
        "key": key,
        "kind": kind,
        "label": label,
        "ranges": ranges,
        "about": " ".join(filter(None, (space.source + ".", plain.get("device", ""), plain.get("note", "")))),
    }


def _curves(records: Sequence[RunRecord | None]) -> list[dict[str, Any] | None]:
    """P and all that was spent by then, at each evaluation; of long runs some, evenly, the first, best and last too."""
    counts = [0 if record is None else len(record.evaluations) for record in records]
    most = max(4, MOST_EVALUATIONS // max(1, sum(1 for count in counts if count)))
    if sum(counts) <= MOST_EVALUATIONS:
        most = max(counts, default=0)
    curves: list[dict[str, Any] | None] = []
    for record in records:
        if record is None or not record.evaluations:
            curves.append(None)
            continue
        kept = _thin(record.evaluations, most)
        curve: dict[str, Any] = {
            "epoch": [epoch.epoch for epoch in kept],
            "p": [_short(epoch.performance) for epoch in kept],
        }
        for resource in RESOURCES:
            amounts = [_short(epoch.cost.amount(resource)) for epoch in kept]
            if resource is not PARAMS and any(amount is not None for amount in amounts):
                curve[resource.letter] = amounts
        if len(kept) < len(record.evaluations):
            curve["of"] = len(record.evaluations)
        curves.append(curve)
    return curves


def _thin(epochs: list[Epoch], most: int) -> list[Epoch]:
    if len(epochs) <= most:
        return epochs
    last = len(epochs) - 1
    best = max(range(len(epochs)), key=lambda index: epochs[index].performance or 0.0)
    places = {best} | {round(index * last / (most - 2)) for index in range(most - 1)}
    return [epochs[index] for index in sorted(places)]


def _short(value: float | None) -> float | None:
    """Five digits, which is more than a curve shows."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


def _devices(record: RunRecord) -> list[list[Any]]:
    return [
        finite([key, device.name or key, device.energy_uj, device.error_j, device.quality, device.gain, device.reason])
        for key, device in record.devices.items()
    ]


def _findings(runs: Runs) -> list[dict[str, Any]]:
    """What the audit found, with the place of the run in the table."""
    names = ("group", "model", "rule", "evidence", "confidence", "source", "row")
    return [
        {name: finding[name] for name in names} | {"run": finding["at"]} for finding in find(runs).iter_rows(named=True)
    ]


def _provenance(records: Sequence[RunRecord]) -> dict[str, Any]:
    """With what, and on what, the runs were made: each kind with the number of runs."""
    facts = {
        "software": [_facts(record.software) for record in records],
        "hardware": [_facts(record.hardware) for record in records],
        "carbon": [known for record in records if (known := _facts(record.carbon))],
    }
    kinds = {name: Counter(json.dumps(each, sort_keys=True, default=str) for each in of) for name, of in facts.items()}
    return {name: [[count, json.loads(text)] for text, count in of.most_common(5)] for name, of in kinds.items()}


def _facts(value: object) -> dict[str, Any]:
    """What a record says of itself, as JSON can hold it; nothing of what is no mapping."""
    return finite(value) if isinstance(value, dict) else {}
