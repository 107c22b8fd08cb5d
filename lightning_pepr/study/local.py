"""The runs of a study on this machine, one after the other."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence

from lightning_pepr.record import RunRecord
from lightning_pepr.study.budget import StudyBudget
from lightning_pepr.study.estimate import START_S, StudyEstimate
from lightning_pepr.study.folder import StudyFolder, is_done
from lightning_pepr.study.locks import device_lock
from lightning_pepr.study.process import StudyError, execute
from lightning_pepr.study.progress import StudyProgress
from lightning_pepr.study.runs import Run
from lightning_pepr.study.words import outcome

NEEDED_BYTES = 1_000_000
"""Free space without which a run that has failed is taken to have failed for want of it."""


def run_here(
    todo: Sequence[Run], folder: StudyFolder, estimate: StudyEstimate, budget: StudyBudget
) -> tuple[list[tuple[Run, RunRecord]], str]:
    """Do runs one after the other; returns what failed, and why the study stopped early (empty if it did not)."""
    failed: list[tuple[Run, RunRecord]] = []
    done = 0
    with StudyProgress([run.title for run in todo], estimate.time_s, noun="run", starting=START_S) as progress:
        for number, run in enumerate(todo):
            if budget.is_spent():
                return failed, budget.verdict(len(todo) - number)
            try:
                with device_lock(run.settings, lambda device: progress.say(f"waiting for another study on {device}")):
                    if is_done(folder.record_of(run)):  # by the study that was waited for
                        continue
                    if budget.is_spent():  # by now
                        return failed, budget.verdict(len(todo) - number)
                    progress.begin(number)
                    record = execute(run, folder.path, budget.watch(progress.update))
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise _no_space(folder, str(error), done) from error
                raise
            progress.say(f"[{number + 1}/{len(todo)}] {outcome(run.title, record, run.settings.measure)}")
            if record.status == "failed":
                failed.append((run, record))
                if shutil.disk_usage(folder.path).free < NEEDED_BYTES:  # torch does not say why it cannot write
                    raise _no_space(folder, record.error, done)
            done += is_done(record)
    return failed, budget.verdict(0) if budget.is_spent() else ""


def _no_space(folder: StudyFolder, error: str, done: int) -> StudyError:
    return StudyError(
        f"there is no space left in {folder.path} ({error}). {done} runs of this start are finished and kept; make "
        "some space and start the study again, which skips them."
    )
