"""Files that are not on this host's disks: on fsspec's file systems, which Lightning writes to as well."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any


def is_url(path: str) -> bool:
    """Whether a path names its file system, as in "s3://bucket/runs"."""
    return "://" in path


def open_store(folder: str) -> tuple[Any, str]:
    """The file system of a folder and the folder's path there.

    Raises:
        ImportError: If the package for such a file system is not installed.
        ValueError: If no file system has the name that the URL begins with.
    """
    from fsspec.core import url_to_fs

    store, path = url_to_fs(folder)
    return store, str(path)


def local_folder(folder: str) -> Path | None:
    """Where a folder is on this host's disks, as fsspec takes its name; None if it is elsewhere."""
    from fsspec.implementations.local import LocalFileSystem

    if re.match("file:/(?!/)", folder):  # what Lightning makes of "file:///runs" as a trainer's root
        folder = folder.removeprefix("file:")
    if not is_url(folder):
        return Path(folder).expanduser() if folder.startswith("~") else Path(folder)
    store, path = open_store(folder)
    return Path(path) if isinstance(store, LocalFileSystem) else None


def read_url(url: str, name: str) -> bytes:
    """Read a file by its URL; of a folder, the file of that name in it."""
    store, path = open_store(url)
    data: bytes = store.cat_file(f"{path.rstrip('/')}/{name}" if store.isdir(path) else path)
    return data


def put_new(store: Any, path: str, data: bytes) -> bool:
    """Write a file whole, unless there is one of its name; in two steps where a file system knows no single one."""
    if store.exists(path):
        return False
    knows = "mode" in inspect.signature(store.pipe_file).parameters
    try:
        store.pipe_file(path, data, **({"mode": "create"} if knows else {}))
    except FileExistsError:
        return False
    return True
