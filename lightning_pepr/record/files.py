"""The files of one run's record: how it gets its name beside others, and what is written when."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

from lightning_pepr.errors import PePRError
from lightning_pepr.record.journal import Known, first_line, run_of_journal
from lightning_pepr.record.run import RunRecord, run_id_in
from lightning_pepr.utilities.files import (
    FILE_NAME,
    AppendedFile,
    journal_of,
    names_aside,
    read_plain,
    signature,
    write_new,
    write_whole,
)
from lightning_pepr.utilities.stores import local_folder, open_store, put_new

PAUSE_S = 60.0
"""How long a record is not written again that can only be written whole,"""

PAUSE = 100
"""or as many times as long as it took."""


def files_in(folder: str) -> RecordOnDisk | RecordInStore:
    """The files of a run's record in a folder, a path or a URL."""
    on_disk = local_folder(folder)
    return RecordInStore(folder) if on_disk is None else RecordOnDisk(on_disk)


class RecordOnDisk:
    """A run's record in a folder, and its journal.

    Each time, what has changed goes into the journal. The record itself is written anew when its evaluations have
    doubled, so that what is written in all grows with their number and not with its square.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record: Path | None = None
        self._run_id = ""
        self._signature: tuple[int, ...] | None = None  # of the record, as this process has written it last
        self._evaluations = 0  # in the record
        self._known = Known({}, 0, b"")  # in the record and the journal
        self._pause = _Pause()

    @property
    def written(self) -> Path | None:
        """The record, if it is there."""
        return self.record if self.record is not None and os.path.exists(self.record) else None  # which never raises

    def write(self, run: RunRecord, whole: bool = False) -> None:
        """Write what has changed, and the whole record if it is time to, or wanted.

        Raises:
            OSError: If a disk fails; the next call tries again.
        """
        record = self.record
        if record is None or self._run_id != run.run_id or signature(record) != self._signature:
            self._settle(run)  # for the first time, or since somebody has removed or replaced the record
            return
        whole = whole or len(run.epochs) >= max(1, 2 * self._evaluations)
        try:
            whole |= not self._append(run)
        except OSError:  # as on a file system that cannot add to a file
            if not whole and not self._pause.is_over():
                raise
            whole = True
        if whole:
            with self._pause:
                write_whole(record, run.to_text(self._journal.size))
            self._note(record, run)

    def _append(self, run: RunRecord) -> bool:
        """Add to the journal what has changed; returns whether that is all there is to do."""
        known = Known.of(run)
        if known.evaluations < self._known.evaluations:
            return False  # the run has gone back to a checkpoint
        as_left = self._journal.add(self._known.lines_to(known, run), first_line(run.run_id))
        self._known = known
        return as_left

    def _settle(self, run: RunRecord) -> None:
        """Write into the run's own record, or else under a name that nothing has; no other file is touched."""
        for path in self._taken(run.run_id):
            if _run_at(path) == run.run_id:
                _keep_test(run, path)
                self._journal = AppendedFile(journal_of(path))
                write_whole(path, run.to_text(self._journal.size))
                break
        else:
            paths = map(self.folder.joinpath, _names(run.run_id))
            path = next(path for path in paths if self._take(path, run))
        self._note(path, run)

    def _taken(self, run_id: str) -> Iterator[Path]:
        """The files that have one of the names that the record of a run may have."""
        paths = map(self.folder.joinpath, names_aside(run_id))
        return itertools.chain([self.folder / FILE_NAME], itertools.takewhile(os.path.lexists, paths))

    def _take(self, path: Path, run: RunRecord) -> bool:
        """Write the record there, unless something is."""
        journal = journal_of(path)
        if os.path.lexists(path) or (os.path.lexists(journal) and run_of_journal(journal) != run.run_id):
            return False
        self._journal = AppendedFile(journal)
        return write_new(path, run.to_text(self._journal.size))

    def _note(self, record: Path, run: RunRecord) -> None:
        self.record, self._signature = record, signature(record)
        self._run_id, self._evaluations, self._known = run.run_id, len(run.epochs), Known.of(run)


class RecordInStore:
    """A run's record on a file system to which files can only be written whole: seldom, and when the run ends."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.record: str | None = None
        self._path, self._run_id = "", ""
        self._pause = _Pause()

    @property
    def written(self) -> str | None:
        """The record's URL, if it was written."""
        return self.record

    def write(self, run: RunRecord, whole: bool = False) -> None:
        """Write the record if it is time to, or wanted.

        Raises:
            Exception: Whatever the file system or its package can raise.
        """
        if not whole and not self._pause.is_over():
            return
        with self._pause:
            store, folder = open_store(self._folder)
            data = run.to_text().encode()
            if self._run_id == run.run_id:
                store.pipe_file(self._path, data)
                return
            store.makedirs(folder, exist_ok=True)
            for name in _names(run.run_id):
                path = f"{folder.rstrip('/')}/{name}"
                if put_new(store, path, data):
                    break
                if store.isfile(path) and run_id_in(store.cat_file(path)) == run.run_id:
                    store.pipe_file(path, data)
                    break
            self._path, self._run_id, self.record = path, run.run_id, str(store.unstrip_protocol(path))


class _Pause:
    """How long to wait from one time of doing something to the next: a minute, or longer if it takes long."""

    def __init__(self) -> None:
        self._until = self._begun = 0.0

    def is_over(self) -> bool:
        return time.monotonic() >= self._until

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        end = time.monotonic()
        self._until = end + max(PAUSE_S, PAUSE * (end - self._begun))


def _names(run_id: str) -> Iterator[str]:
    return itertools.chain([FILE_NAME], names_aside(run_id))


def _keep_test(run: RunRecord, path: Path) -> None:
    """Keep the test that another process has added to the record of a run meanwhile."""
    with contextlib.suppress(OSError, PePRError):
        there = RunRecord.load(path)
        if run.test_performance is None and not run.test_others:
            run.test_performance, run.test_samples = there.test_performance, there.test_samples
            run.test_others = there.test_others
            run.stages |= {name: stage for name, stage in there.stages.items() if name == "test"}


def _run_at(path: Path) -> str | None:
    """The run whose record a file is; None if it is none."""
    try:
        return run_id_in(read_plain(path))
    except OSError:
        return None
