"""Files that are never half written, and what the record of a run is called."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

FILE_NAME = "pepr.json"
"""The name of a run's record."""

INCOMING = ".incoming-"
"""How the name of a folder begins that is being filled: what is in it is not whole yet, and readers leave it out."""

# The second form is of a run that shares its folder.
_RECORD, _JOURNAL = (re.compile(r"pepr(-[0-9a-f]{8}(-\d+)?)?\." + suffix) for suffix in ("json", "jsonl"))


def is_record(path: Path) -> bool:
    """Whether a file is a run's record, by its name.

    >>> [is_record(Path(name)) for name in ("pepr.json", "pepr-0a1b2c3d.json", "pepr-unreadable.json", "space.json")]
    [True, True, False, False]
    """
    return _RECORD.fullmatch(path.name) is not None


def is_journal(path: Path) -> bool:
    """Whether a file is the journal beside a run's record, by its name."""
    return _JOURNAL.fullmatch(path.name) is not None


def journal_of(record: Path) -> Path:
    """The file beside a record to which a run adds a line for each evaluation."""
    return record.with_suffix(".jsonl")


def names_aside(run_id: str) -> Iterator[str]:
    """What the record of a run may be called where `pepr.json` is another's, the first choice first.

    >>> list(itertools.islice(names_aside("0a1b2c3d4e5f"), 2))
    ['pepr-0a1b2c3d.json', 'pepr-0a1b2c3d-2.json']
    """
    which = run_id[:8]
    if re.fullmatch("[0-9a-f]{8}", which) is None:  # it goes into a name, whatever it is
        which = hashlib.sha256(run_id.encode(errors="replace")).hexdigest()[:8]
    stem, suffix = Path(FILE_NAME).stem, Path(FILE_NAME).suffix
    yield f"{stem}-{which}{suffix}"
    yield from (f"{stem}-{which}-{number}{suffix}" for number in itertools.count(2))


def files_below(
    folder: str | os.PathLike[str], on_error: Callable[[OSError], object] = lambda error: None
) -> Iterator[Path]:
    """The files below a folder, but for folders that cannot be read, which `on_error` is called with.

    `rglob` would fail if a running study moved a folder away meanwhile.
    """
    for place, folders, names in os.walk(folder, onerror=on_error):
        folders[:] = [name for name in folders if not name.startswith(INCOMING)]
        yield from (Path(place, name) for name in names)


def signature(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from one that was put in its place or has grown: inode, time, size; None if it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def read_plain(path: Path, begin: int = 0, most: int | None = None) -> bytes:
    """Read a file from a byte on, up to so many; what is no plain file, such as a pipe, raises OSError, unopened.

    Who opens a pipe keeps its writer from another reader, and waits for a writer; who opens a device may move it.
    """
    _check_plain(path, path.stat())
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        _check_plain(path, os.fstat(file.fileno()))  # it may have been replaced since
        file.seek(begin)
        return file.read() if most is None else file.read(most)


def _check_plain(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path} is no plain file.")


def write_whole(target: Path, text: str | bytes) -> None:
    """Write a file beside its place and rename it: if it cannot be written, an older file is still whole."""
    with _written_beside(target, text) as temporary:
        os.replace(temporary, target)


def write_new(target: Path, text: str) -> bool:
    """Write a file whole, unless there is one of its name: of several processes that try, one succeeds."""
    with _written_beside(target, text) as temporary:
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links: the name is taken first, and the file put there then
            try:
                os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            except FileExistsError:
                return False
            os.replace(temporary, target)
    return True


@contextlib.contextmanager
def _written_beside(target: Path, text: str | bytes) -> Iterator[Path]:
    """A file beside another one's place, on the disk; it is gone afterwards, unless it was renamed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        with open(temporary, "xb", opener=functools.partial(os.open, mode=0o644)) as file:
            file.write(text.encode() if isinstance(text, str) else text)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


class AppendedFile:
    """A file to which whole lines are added, each time by one call, so that a process that is killed leaves no half.

    It is opened anew each time, so that one that somebody removed or changed is noticed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size if path.exists() else 0
        self._whole = self.size == 0  # whether the last line is known to have an end

    def add(self, lines: bytes, first: bytes) -> bool:
        """Add lines, and `first` before them if the file is empty; returns whether it was as it had been left.

        Raises:
            OSError: If they were not added, or not whole: then none is, or the next call ends the half of one.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(self.path, flags, 0o644)
        try:
            status = os.fstat(descriptor)
            _check_plain(self.path, status)
            before = status.st_size
            as_left = before == self.size
            data = (b"\n" if before and not (self._whole and as_left) else b"") + lines
            data = data if before else first + data
            self._whole = False
            written = os.write(descriptor, data)
            if written < len(data):  # a disk that is full takes a part
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, before)
                raise OSError(f"only {written} of {len(data)} bytes could be added to {self.path}")
        finally:
            os.close(descriptor)
        self.size, self._whole = before + written, True
        return as_left
