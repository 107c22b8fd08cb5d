"""The runs of a study on this machine, one after the other."""

from __future__ import annotations

import contextlib
import errno
import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence

from lightning_pepr.record import RunRecord
from lightning_pepr.study.budget import StudyBudget
from lightning_pepr.study.claims import Owner, claim
from lightning_pepr.study.estimate import START_S, StudyEstimate
from lightning_pepr.study.folder import StudyFolder, failed_since, is_done
from lightning_pepr.study.locks import device_lock
from lightning_pepr.study.process import StudyError, execute
from lightning_pepr.study.progress import StudyProgress
from lightning_pepr.study.runs import Run
from lightning_pepr.study.words import outcome

NEEDED_BYTES = 1_000_000
"""Free space without which a run that has failed is taken to have failed for want of it."""

POLL_S = 2.0
"""Seconds between two looks at runs that another study trains."""


def run_here(
    todo: Sequence[Run], folder: StudyFolder, estimate: StudyEstimate, budget: StudyBudget
) -> tuple[list[tuple[Run, RunRecord]], str]:
    """Do runs one after the other; returns what failed, and why the study stopped early (empty if it did not).

    Runs that another study of the folder trains come last: by then they are done, or nobody's.
    """
    failed: list[tuple[Run, RunRecord]] = []
    done = 0
    found = {run.folder: folder.attempt_of(run) for run in todo}
    queue, theirs = deque(enumerate(todo)), dict[int, Run]()
    with StudyProgress([run.title for run in todo], estimate.time_s, noun="run", starting=START_S) as progress:
        while queue or theirs:
            if not queue:
                queue.extend(theirs.items())
                time.sleep(POLL_S)
            number, run = queue.popleft()
            left = 1 + len({*theirs, *(other for other, _ in queue)} - {number})
            if budget.is_spent():
                return failed, budget.verdict(left)
            with (
                _no_space_explained(folder, done),
                device_lock(run.settings, lambda device: progress.say(f"waiting for another study on {device}")),
            ):
                claimed = claim(folder.path / run.folder)
                if isinstance(claimed, Owner):
                    if number not in theirs:
                        progress.say(f"{run.title} is trained by {claimed}; it is looked at again at the end")
                    theirs[number] = run
                    continue
                theirs.pop(number, None)
                with claimed:
                    record = folder.record_of(run)
                    if is_done(record):  # by another study meanwhile
                        continue
                    if failed_since(record, found[run.folder]):
                        failed.append((run, record))
                        continue
                    if budget.is_spent():  # by now
                        return failed, budget.verdict(left)
                    if claimed.instead_of:
                        progress.say(f"{run.title} is taken over from {claimed.instead_of}")
                    progress.begin(number)
                    record = execute(run, folder.path, budget.watch(progress.update))
            progress.say(f"[{number + 1}/{len(todo)}] {outcome(run.title, record, run.settings.measure)}")
            if record.status == "failed":
                failed.append((run, record))
                if shutil.disk_usage(folder.path).free < NEEDED_BYTES:  # torch does not say why it cannot write
                    raise _no_space(folder, record.error, done)
            done += is_done(record)
    return failed, budget.verdict(0) if budget.is_spent() else ""


@contextlib.contextmanager
def _no_space_explained(folder: StudyFolder, done: int) -> Iterator[None]:
    """Turn an error of a full disk into one that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _no_space(folder, str(error), done) from error
        raise


def _no_space(folder: StudyFolder, error: str, done: int) -> StudyError:
    return StudyError(
        f"there is no space left in {folder.path} ({error}). {done} runs of this start are finished and kept; make "
        "some space and start the study again, which skips them."
    )
