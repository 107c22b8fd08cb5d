"""This process and its children: what is counted as this training's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import psutil


def descendants() -> Iterator[psutil.Process]:
    """All processes that descend from this one and are alive, DataLoader workers among them.

    Another rank is not one of them, though the first rank may have started it: it meters itself. Its
    `LOCAL_RANK` differs from this process's own.
    """
    rank = os.environ.get("LOCAL_RANK") or "0"
    children = _children_of(os.getpid())
    while children:
        with contextlib.suppress(psutil.Error, OSError):
            child = psutil.Process(children.pop())
            if (_local_rank(child) or rank) == rank:
                children += _children_of(child.pid)
                yield child


def _children_of(pid: int) -> list[int]:
    """The children of a process, as the kernel lists them, else as psutil finds them among all processes."""
    tasks = f"/proc/{pid}/task"
    pids: list[int] = []
    try:
        for task in os.listdir(tasks):
            # `open` with a buffer would ask the kernel for more than it needs, and this is done at every boundary.
            with open(f"{tasks}/{task}/children", "rb", buffering=0) as file:
                pids += map(int, file.read().split())
    except OSError:
        with contextlib.suppress(psutil.Error, OSError):
            return [child.pid for child in psutil.Process(pid).children()]
        return []
    return pids


def _local_rank(process: psutil.Process) -> str | None:
    """The local rank that a process was started with."""
    try:
        return process.environ().get("LOCAL_RANK")
    except (psutil.Error, OSError):
        return None
