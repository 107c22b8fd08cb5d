"""Records of runs, as `PePRCallback` leaves them, in a table."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import polars as pl

from lightning_pepr.cost import TIME
from lightning_pepr.errors import PePRError
from lightning_pepr.functional import PERFORMANCE_RANGE
from lightning_pepr.record import Epoch, RunRecord
from lightning_pepr.record.names import configuration_of
from lightning_pepr.runs.table import COLUMNS, COSTS, ERRORS, Runs, complete, path_text
from lightning_pepr.runs.wandb import find_wandb, read_wandb
from lightning_pepr.utilities.files import FILE_NAME, files_below, is_journal, is_record
from lightning_pepr.utilities.stores import local_folder, open_store

Found: TypeAlias = "tuple[RunRecord, str | None]"
"""A record, and where it was read."""


def search(folder: str) -> list[Found]:
    """Read the records below a folder, or a URL; broken ones are named in a warning and left out."""
    found: list[Found] = []
    on_disk = local_folder(folder)
    paths, broken = _find_at(folder) if on_disk is None else _find_below(on_disk)
    for path in paths:
        try:
            record = read_wandb(Path(path)) if path.endswith(".wandb") else RunRecord.load(path)
            found.append((record, path_text(path)))
        except (OSError, ValueError, ModuleNotFoundError) as error:
            broken.append(str(error))
    count = len(found) + len(broken)
    if not found:
        what = f"none of the {count} records in it can be read: {broken[0]}" if broken else f"no {FILE_NAME} in it"
        raise PePRError(f"{folder} holds no run ({what}); expected the records that PePRCallback leaves.")
    if broken:
        warnings.warn(
            f"{len(broken)} of {count} records in {folder} cannot be read and are left out:\n"
            + "\n".join([*broken[:20], *["…"] * (len(broken) > 20)]),
            stacklevel=3,
        )
    return found


def _find_below(folder: Path) -> tuple[list[str], list[str]]:
    """Find what holds a run below a folder, or at a path; and in words, what should and does not."""
    if not folder.is_dir():
        return [os.fspath(folder)], []
    errors: list[OSError] = []
    files = list(files_below(folder, errors.append))
    if unreadable := [error for error in errors if not isinstance(error, FileNotFoundError)]:  # but moved meanwhile
        names = [f"{path_text(error.filename)} ({error.strerror})" for error in unreadable[:20]]
        warnings.warn(
            f"{len(unreadable)} folder{'s' * (len(unreadable) > 1)} in {folder} cannot be read, and the runs in them "
            f"are left out: {', '.join(names)}{' …' * (len(unreadable) > 20)}.",
            stacklevel=4,
        )
    records = sorted(filter(is_record, files))
    alone = {file.with_suffix(".json") for file in filter(is_journal, files)}.difference(records)
    broken = [f"{path} is not there, but {path.with_suffix('.jsonl').name} beside it" for path in sorted(alone)]
    return [os.fspath(path) for path in records + find_wandb(files)], broken


def _find_at(url: str) -> tuple[list[str], list[str]]:
    """Find the records at a URL."""
    store, path = open_store(url)
    if store.isfile(path):
        return [url], []
    return [str(store.unstrip_protocol(file)) for file in sorted(store.find(path)) if is_record(Path(file))], []


def from_records(records: Sequence[Found], monitor: str | None = None) -> Runs:
    """Make a table of records, a row for each run: its furthest record, since a resumed run may leave several.

    With `monitor`, performances are those of that key.
    """
    latest = _furthest(records)
    if monitor is not None:
        latest = _monitored_by(monitor, latest)
    _warn_of_exceeded(latest.values())
    rows = [
        {
            "group": record.group or None,
            "model": record.model,
            "performance": record.performance,
            "params": record.params,
            **{name: cost.value for name, cost in record.costs.items() if name in COSTS and cost.value is not None},
            "val_performance": _floored(record.best),
            "last_performance": _floored(record.last),
            **{name: cost.error for name in ERRORS if (cost := record.costs.get(name.removesuffix("_error")))},
            "gain": _gain(record),
            "lower_bound": ", ".join(name for name, cost in record.costs.items() if cost.lower_bound) or None,
            "samples": (record.val_samples if record.test_performance is None else record.test_samples) or None,
            "val_samples": record.val_samples or None,
            "quality": (record.costs["energy_kwh"].quality or None) if "energy_kwh" in record.costs else None,
            "source": path,
            "run_id": record.run_id,
            "boards": ", ".join(sorted(k for k, d in record.devices.items() if d.energy_uj is not None)) or None,
            "device": ", ".join(dict.fromkeys(d.name for d in record.devices.values() if d.name)) or None,
            "status": record.status,
            "configuration": configuration_of(record),
        }
        for record, path in latest.values()
    ]
    return complete(pl.DataFrame(rows, schema_overrides=COLUMNS, infer_schema_length=None))


def _furthest(records: Sequence[Found]) -> dict[str, Found]:
    """Find the record of each run that has got furthest; of such that contradict one another, a warning names two."""
    several: dict[str, list[Found]] = {}
    for each in records:
        several.setdefault(each[0].run_id, []).append(each)
    furthest = {run_id: max(found, key=lambda each: _progress(each[0])) for run_id, found in several.items()}
    doubts = [
        f"{_which(chosen)} counts, and {_which(other)} does not"
        for run_id, chosen in furthest.items()
        for other in [each for each in several[run_id] if each is not chosen and _contradicts(each[0], chosen[0])][:1]
    ]
    if doubts:
        warnings.warn(
            f"{len(doubts)} of the {len(furthest)} runs have several records, and none goes on from the other: "
            f"{'; '.join([*doubts[:5], *['…'] * (len(doubts) > 5)])}. Move away what is not the run's.",
            stacklevel=4,
        )
    return furthest


def _progress(record: RunRecord) -> tuple[float, int, bool, bool, bool, str]:
    """What grows as a run goes on. Dates are the last to decide: a clock may be wrong, and `updated` is in seconds."""
    spent = record.costs[TIME.field].value if TIME.field in record.costs else None
    finished, tested = record.status != "running", record.test_performance is not None
    return spent or 0.0, len(record.epochs), _is_whole(record), finished, tested, record.updated


def _is_whole(record: RunRecord) -> bool:
    """Whether a record is more than what a tracker's metrics tell."""
    return not record.costs or any(cost.quality for cost in record.costs.values())


def _contradicts(other: RunRecord, chosen: RunRecord) -> bool:
    """Whether a record is no earlier state, and no copy, of the one that was chosen for its run."""
    if not _is_whole(other):
        return False
    if other.updated > chosen.updated:
        return True
    if other.status != "finished":  # what has been broken off may go on from an earlier checkpoint, and otherwise
        return False
    known, then = ([(e.performance, e.cost) for e in record.epochs] for record in (other, chosen))
    return known != then[: len(known)] or (len(known) == len(then) and other.cost != chosen.cost)


def _which(found: Found) -> str:
    """Name a record by its file, and what it says."""
    record, path = found
    many = f"{len(record.epochs)} evaluation{'s' * (len(record.epochs) != 1)}"
    return f"{path or f'a record of {record.model}'} ({record.status}, {many}, of {record.updated})"


def _monitored_by(key: str, latest: Mapping[str, Found]) -> dict[str, Found]:
    """Take the performances of another key; which runs do not have it, a warning says."""
    without = [record for record, _ in latest.values() if key not in record.keys]
    if without:
        there = sorted({each for record, _ in latest.values() for each in record.keys})
        what = f"{len(without)} of the {len(latest)} runs have no {key!r}"
        keys = f"The keys that there are: {', '.join(there) or 'none'}."
        if len(without) == len(latest):
            raise PePRError(f"all {what} to take for their performance. {keys}")
        warnings.warn(f"{what} and are listed without a performance, such as {without[0].model}. {keys}", stacklevel=4)
    return {run_id: (record.monitored_by(key), path) for run_id, (record, path) in latest.items()}


def _warn_of_exceeded(found: Collection[Found]) -> None:
    """Name the runs whose performance was above 1 in some epoch, and which have none therefore."""
    places = [f"{what}{f' ({path})' if path else ''}" for record, path in found if (what := _exceeded(record))]
    if places:
        warnings.warn(
            f"{len(places)} of the {len(found)} runs have no performance, since what they monitor was above 1: "
            f"{'; '.join([*places[:5], *['…'] * (len(places) > 5)])}. Expected a number in [0, 1] where higher is "
            "better: monitor such a metric, or divide a percentage by 100.",
            stacklevel=4,
        )


def _exceeded(record: RunRecord) -> str:
    """Say what of a run was above 1; empty if nothing was."""
    if (at := record.exceeded) is not None:
        return f"{record.monitor} of {record.model} was {at.performance:.6g} at epoch {at.epoch}"
    if record.test_performance is not None and record.test_performance > PERFORMANCE_RANGE[1]:
        return f"{record.test_monitor} of {record.model} was {record.test_performance:.6g} in testing"
    return ""


def _floored(epoch: Epoch | None) -> float | None:
    """The performance of an epoch, of which less than 0 is worth nothing."""
    return None if epoch is None or epoch.performance is None else max(0.0, epoch.performance)


def _gain(record: RunRecord) -> float | None:
    """The relative uncertainty of all the energy of a run that its boards' sensors share; None without energy."""
    known = [(d.energy_uj, d.gain) for d in record.devices.values() if d.energy_uj is not None]
    total = sum(energy for energy, _ in known)
    return sum(energy * gain for energy, gain in known) / total if total else None
