"""A meter that is interrupted by a signal at each of its lines, whose handler reads the meter, too.

As Lightning does, which saves a checkpoint in the handler of the signal with which SLURM announces an end. To be
used in a process of its own, with a time limit: what waits for itself never ends.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import lightning_pepr.meters
from lightning_pepr.meters import Meter, Reading

FILES = (str(Path(lightning_pepr.meters.__file__).parent), threading.__file__)


def interrupted(act: Callable[[], object], line: int) -> bool:
    """Do something, and send SIGUSR1 at that line of those of the meters that it runs; whether it runs so many."""
    seen = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.startswith(FILES):
            return None
        seen += event == "line"
        if event == "line" and seen == line:
            signal.raise_signal(signal.SIGUSR1)
        return trace

    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(None)
    return seen >= line


def readings(meter: Meter, work: Callable[[], object], every: int = 1) -> list[Reading]:
    """What a meter reads that is interrupted once at each line, or every so many, and what its handler reads.

    They are in the order of their times. Before each reading something is done.
    """
    found: list[Reading] = []

    def read() -> None:
        work()
        found.append(meter.read())

    signal.signal(signal.SIGUSR1, lambda *_: read())
    line = 1
    while interrupted(read, line):
        line += every
    assert len(found) == 2 * ((line - 1) // every) + 1, "each was interrupted once"
    return sorted(found, key=lambda reading: reading.time_s)
