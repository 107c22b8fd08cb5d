"""What a test adds to the record of a run: of the fit before it, or of the checkpoint that is tested."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities import rank_zero_warn
from lightning.pytorch import Trainer

from lightning_pepr.accounting.ranks import Performance
from lightning_pepr.accounting.stages import Spent
from lightning_pepr.accounting.tracker import stage_of
from lightning_pepr.callbacks import _checks, _lightning
from lightning_pepr.callbacks._batches import BatchCounter
from lightning_pepr.callbacks._monitored import Monitored
from lightning_pepr.callbacks._run import Run
from lightning_pepr.functional import is_performance
from lightning_pepr.record import RunRecord
from lightning_pepr.utilities.files import is_record


def begin_test(trainer: Trainer, run: Run, monitored: Sequence[Monitored], counter: BatchCounter) -> None:
    """Count for testing, beside the fit."""
    for each in monitored:
        each.begin_test(trainer, counter)
    run.tracker.reset_fit()
    run.tracker.open(trainer.strategy.root_device)
    run.tracker.switch_stage("test")


def record_test(trainer: Trainer, run: Run, monitored: Sequence[Monitored]) -> bool:
    """Record what a test that ends now has given and cost; whether there is anything. A collective."""
    record, tracker = run.record, run.tracker
    tracker.switch_stage(None, wait=True)
    published = _lightning.published(trainer)
    values = {
        each.test_key: Performance(float(published[each.test_key]), each.evaluated.samples)
        for each in monitored
        if each.test_key in published
    }
    tested = tracker.gather(values)
    tracker.reset_fit()  # so that it is not added to the fit
    tracker.close()
    keys = _lightning.logged_keys(trainer)
    found = [(each, _check(each.test_key, tested.performances, keys)) for each in monitored if each.test_key]
    if found and all(performance is None for _, performance in found):
        return False
    for each, performance in found:
        if performance is None:
            continue
        if each.key == record.monitor or each.test_key == record.test_monitor:
            record.test_performance, record.test_samples = performance
        else:  # of a further callback, or of one that monitors something else than the run did
            record.test_others[each.key or each.test_key] = performance.value
    record.stages["test"] = stage_of(tested.stages.get("test", Spent()))
    return True


def _check(key: str, tested: Mapping[str, Performance], keys: Iterable[str]) -> Performance | None:
    """The test performance of a key; None with a warning if it was not logged, or is none."""
    if key not in tested:
        rank_zero_warn(
            f"PePRCallback: {key!r} was not logged in testing, so the record has no test performance. "
            f"Logged are {_checks.listing(keys)}. Name the right one: PePRCallback(…, test_monitor=…)."
        )
        return None
    value = tested[key].value
    if is_performance(value):
        return tested[key]
    negative = -math.inf < value < 0.0
    then = "It counts as 0 in a ranking." if negative else "The record is without it."
    rank_zero_warn(f"PePRCallback: {_checks.not_a_performance(key, value)} {then}")
    return tested[key] if negative else None


def find_run(state: Any, trainer: Trainer, new: Run, own: Monitored, write: bool) -> Run | None:
    """The run whose checkpoint is tested, in place of a new one. A collective: all ranks take what rank 0 finds."""
    found = trainer.strategy.broadcast(_find(state, trainer) if trainer.is_global_zero else None)
    if found is None:
        return None
    new.record, folder = found
    new.begun = True
    if not own.key and not own.test_key:  # the run knows by what it is tested
        own.test_key = new.record.test_monitor
    if write:
        new.writer.place_in(folder)
    return new


def _find(state: Any, trainer: Trainer) -> tuple[RunRecord, str] | None:
    """The record of a checkpoint's run, and its folder: where the checkpoint says it is, or beside the checkpoint."""
    run_id = state.get("run_id") if isinstance(state, Mapping) else None
    if not isinstance(run_id, str):
        rank_zero_warn(
            "PePRCallback: nothing says which run this test belongs to, so no record has it. Test a checkpoint of the "
            "run: trainer.test(…, ckpt_path=…)."
        )
        return None
    location, troubles = state.get("record"), list[str]()
    for path in _places(location, trainer.ckpt_path):
        try:
            record = RunRecord.load(path)
        except Exception as error:  # whatever a file system or its package can raise
            troubles.append(f"{type(error).__name__}: {error}")
            continue
        if record.run_id == run_id:
            return record, path if os.path.isdir(path) else os.path.dirname(path)
    why = f" ({'; '.join(troubles)})" if troubles else ""
    rank_zero_warn(
        f"PePRCallback: the record of run {run_id} is neither at {location!r} nor beside {trainer.ckpt_path}{why}, so "
        "no record has this test. Put the run's pepr.json beside the checkpoint."
    )
    return None


def _places(location: Any, checkpoint: Any) -> Iterator[str]:
    """Where a run's record may be: a checkpoint is often in a folder of its own below the record's."""
    if isinstance(location, str):
        yield location
    if isinstance(checkpoint, (str, Path)):
        for folder in list(Path(checkpoint).absolute().parents)[:3]:
            yield from sorted(str(path) for path in folder.glob("pepr*.json") if is_record(path))
