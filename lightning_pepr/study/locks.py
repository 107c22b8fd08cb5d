"""One run at a time on a device, over all studies of a machine."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from lightning_pepr.study.settings import Settings
from lightning_pepr.utilities.imports import require

LOCKS = "LIGHTNING_PEPR_LOCKS"
"""The environment variable that names another folder for the locks of devices."""

_SHARED = Path("/tmp")


@contextlib.contextmanager
def device_lock(settings: Settings, on_wait: Callable[[str], None] = lambda device: None) -> Iterator[str]:
    """Hold the device that a run will take, so that no other study on this machine trains on it meanwhile.

    Two runs on one device would each be charged the energy of both. The lock ends with the process that holds it.
    `on_wait` is called with the device, "cpu" or a GPU's UUID, if it is not free.
    """
    filelock = require("filelock", "study", "locking a device")
    device = next(iter(settings.gpus()), "cpu")
    name = "".join(letter if letter.isalnum() or letter == "-" else "_" for letter in device)
    path = lock_folder() / f"lightning-pepr-{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    for place in (path, path.with_name(f"{path.stem}-{os.getuid()}.lock")):
        lock = filelock.FileLock(place)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            on_wait(device)
            lock.acquire()
        except PermissionError:  # it is another user's: then at least the studies of this one take turns
            continue
        break
    try:
        yield device
    finally:
        lock.release()


def lock_folder() -> Path:
    """Where the locks are: one folder for all of a machine, and so not $TMPDIR, of which each job may have its own."""
    if named := os.environ.get(LOCKS):
        return Path(named)
    return _SHARED if os.name == "posix" and os.access(_SHARED, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
