"""The peak memory of a training, in bytes."""

from __future__ import annotations

import contextlib
import functools
import heapq
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any

import psutil

from lightning_pepr.meters.processes import descendants

INTERVAL = 0.5
"""Seconds between two samples of the resident memory."""

PATIENCE = 1.0
"""Seconds that the thread is given to end, at the very most: a look takes milliseconds."""


class MemoryMeter:
    """Measures the largest amount of memory held since it was started.

    On CUDA devices it is what torch has reserved (`torch.cuda.max_memory_reserved`), of the fullest device.
    Without one it is the resident memory (RSS) of this process and its children, DataLoader workers included,
    sampled every half second by a daemon thread, and whenever `sample` is called. Pages that forked workers
    share are counted once for each. The peak that the kernel keeps (`ru_maxrss`) would remember earlier fits.

    Starting resets torch's peak statistics of the devices (`torch.cuda.reset_peak_memory_stats`), as far as
    they have been used. Code that resets them itself while the meter runs hides what was reserved before from
    it, up to the last `sample`.

    In a forked process, and in a copy, the meter is stopped.

    Args:
        devices: Indices in torch of the CUDA devices whose memory counts; empty for the resident memory.

    >>> memory = MemoryMeter()
    >>> memory.start()
    >>> memory.peak_bytes() > 1e6
    True
    >>> memory.stop()
    """

    def __init__(self, devices: Sequence[int] = ()) -> None:
        self._devices = list(devices)
        self._peak = [0]  # the peak alone, in a heap: see `sample`
        self._pid: int | None = None
        self._thread: threading.Thread | None = None
        self._stopping: threading.Event | None = None  # of that thread

    def start(self) -> None:
        """Reset the peak and begin; begins anew if it runs already."""
        self.stop()
        self._peak = [0]  # another one, so that nobody adds to it what they are looking at now
        self._pid = os.getpid()
        if self._devices:
            cuda = sys.modules["torch"].cuda
            if cuda.is_initialized():  # else there is no peak yet, and CUDA must not be started here
                for device in self._devices:
                    cuda.reset_peak_memory_stats(device)
        self.sample()
        if not self._devices:
            self._stopping = threading.Event()
            self._thread = threading.Thread(target=self._watch, args=(self._stopping,), name="pepr-memory", daemon=True)
            self._thread.start()

    def _watch(self, stopping: threading.Event) -> None:
        while not stopping.wait(INTERVAL):
            self.sample()

    @property
    def running(self) -> bool:
        """Whether it has been started, in this process, and not been stopped."""
        return self._pid == os.getpid()

    def sample(self) -> None:
        """Sample the memory now; does nothing unless the meter runs."""
        if self.running:
            peak = self._peak
            # The thread and signal handlers note what they see, too. This is one step, in which none can come between:
            # it adds what is seen, and takes the smaller of the two away.
            heapq.heappushpop(peak, self._reserved() if self._devices else _resident())

    def _reserved(self) -> int:
        cuda = sys.modules["torch"].cuda
        if not cuda.is_initialized():
            return 0
        return max(int(cuda.max_memory_reserved(device)) for device in self._devices)

    def peak_bytes(self) -> int | None:
        """The largest amount since `start`, in bytes; None if the meter was never started here, or sampled nothing."""
        self.sample()
        return self._peak[0] or None

    def stop(self) -> None:
        """Stop sampling; the peak stays. May be called twice."""
        self.sample()
        self._pid = None
        if self._thread is not None and self._stopping is not None:
            self._stopping.set()
            self._thread.join(PATIENCE)
            self._thread = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pid": None, "_thread": None, "_stopping": None}


@functools.lru_cache(maxsize=1)
def _itself(pid: int) -> psutil.Process:
    """This process; making one takes longer than a look at its memory."""
    return psutil.Process(pid)


def _resident() -> int:
    """The resident memory of this process and its children, in bytes."""
    total = 0
    with contextlib.suppress(psutil.Error, OSError):  # which is raised where no more files may be opened
        for process in (_itself(os.getpid()), *descendants()):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total
