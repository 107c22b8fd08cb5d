"""Files that are never half written, and what the record of a run is called."""

from __future__ import annotations

import functools
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

FILE_NAME = "pepr.json"
"""The name of a run's record."""

INCOMING = ".incoming-"
"""How the name of a folder begins that is being filled: what is in it is not whole yet, and readers leave it out."""

_RECORD = re.compile(r"pepr(-[0-9a-f]{8}(-\d+)?)?\.json")  # the second form is of a run that shares its folder


def is_record(path: Path) -> bool:
    """Whether a file is a run's record, by its name.

    >>> [is_record(Path(name)) for name in ("pepr.json", "pepr-0a1b2c3d.json", "pepr-unreadable.json", "space.json")]
    [True, True, False, False]
    """
    return _RECORD.fullmatch(path.name) is not None


def files_below(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """The files below a folder. `rglob` would fail if a running study moved a folder away meanwhile."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(INCOMING)]
        yield from (Path(place, name) for name in names)


def signature(path: Path) -> tuple[int, int] | None:
    """What tells a file from one that was put in its place: its inode and when it was written; None if it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def name_aside(which: str) -> str:
    """What a record is called that cannot be `pepr.json`, since there is another one in its folder."""
    return f"{Path(FILE_NAME).stem}-{which}{Path(FILE_NAME).suffix}"


def write_whole(target: Path, text: str) -> None:
    """Write a file beside its place and rename it: if it cannot be written, an older file is still whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        with open(temporary, "x", encoding="utf-8", opener=functools.partial(os.open, mode=0o644)) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
