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
        children = me.children(recursive=True)
    except psutil.Error:
        return
    if not children:
        return
    rank = _local_rank(me) or "0"
    ranks: set[int] = set()
    for child in children:
        with contextlib.suppress(psutil.Error):
            if child.ppid() in ranks or (_local_rank(child) or rank) != rank:
                ranks.add(child.pid)
                continue
            yield child


def _local_rank(process: psutil.Process) -> str | None:
    """The local rank that a process was started with."""
    if process.pid == os.getpid():
        return os.environ.get("LOCAL_RANK")
    try:
        return process.environ().get("LOCAL_RANK")
    except (psutil.Error, OSError):
        return None
