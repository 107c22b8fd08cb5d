"""What may stand where a file should, and keeps waiting whoever opens it, or is none."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

ODD_FILES = ["pipe", "device", "socket", "folder", "loop", "nowhere"]


@contextlib.contextmanager
def odd_file(path: Path, what: str) -> Iterator[Path]:
    """Put something there that is no plain file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if what == "pipe":
            os.mkfifo(path)
        elif what == "device":
            path.symlink_to("/dev/zero")  # which has no end
        elif what == "socket":
            here = os.getcwd()
            os.chdir(path.parent)  # a socket's name has no more than 107 bytes
            stack.enter_context(socket.socket(socket.AF_UNIX)).bind(path.name)
            os.chdir(here)
        elif what == "folder":
            path.mkdir()
        else:
            path.symlink_to(path.name if what == "loop" else "/nowhere/at/all")
        yield path
