"""This process and its children: what is counted as this training's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import psutil


def family() -> Iterator[psutil.Process]:
    """This process and all that descend from it and are alive, DataLoader workers among them.

    Another rank is not of the family, though the first rank may have started it: it meters itself. It is told
    by a `LOCAL_RANK` that differs from this process's own.
    """
    try:
        me = psutil.Process()
        yield me
        children = _children_of(me)
        rank = (_local_rank(me) or "0") if children else "0"
    except (psutil.Error, OSError):
        return
    while children:
        child = children.pop()
        with contextlib.suppress(psutil.Error, OSError):
            if (_local_rank(child) or rank) == rank:
                children += _children_of(child)
                yield child


def _children_of(process: psutil.Process) -> list[psutil.Process]:
    """The children of a process that are alive.

    Where the kernel lists them they are read there; psutil looks at every process of the host.
    """
    tasks = f"/proc/{process.pid}/task"
    pids: list[int] = []
    try:
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/children") as children:
                pids += map(int, children.read().split())
    except OSError:
        return process.children()
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            found.append(psutil.Process(pid))
    return found


def _local_rank(process: psutil.Process) -> str | None:
    """The local rank that a process was started with."""
    if process.pid == os.getpid():
        return os.environ.get("LOCAL_RANK")
    try:
        return process.environ().get("LOCAL_RANK")
    except (psutil.Error, OSError):
        return None
