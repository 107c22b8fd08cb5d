import copy
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from lightning_pepr.meters.memory import MemoryMeter


def peak_of(memory: MemoryMeter) -> int:
    peak = memory.peak_bytes()
    assert peak is not None
    return peak


def test_the_peak_is_kept_after_the_memory_is_given_back() -> None:
    memory = MemoryMeter()
    assert memory.peak_bytes() is None
    memory.start()
    before = peak_of(memory)
    block = bytearray(b"x" * 200_000_000)
    memory.sample()
    del block
    assert before + 150e6 < peak_of(memory) < before + 450e6
    memory.stop()
    peak = peak_of(memory)
    memory.start()
    assert peak_of(memory) < peak  # forgets earlier fits, which ru_maxrss would not
    memory.stop()


def test_children_count() -> None:
    memory = MemoryMeter()
    memory.start()
    before = peak_of(memory)
    code = "x = bytearray(b'x' * 200_000_000); print(1, flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1)
    assert child.stdout is not None
    child.stdout.readline()
    assert peak_of(memory) > before + 190e6
    child.communicate(b"\n")
    memory.stop()


def test_what_happens_between_samples_is_seen_by_the_thread() -> None:
    memory = MemoryMeter()
    memory.start()
    before = peak_of(memory)
    block = bytearray(b"x" * 200_000_000)
    time.sleep(1.2)
    del block
    assert peak_of(memory) > before + 150e6
    memory.stop()


def test_stopping_ends_the_thread_and_may_be_done_twice() -> None:
    memory = MemoryMeter()
    memory.stop()
    memory.start()
    memory.start()
    memory.stop()
    assert "pepr-memory" not in {thread.name for thread in threading.enumerate()}
    memory.stop()
    assert peak_of(memory) > 0


def test_copies_and_forks_are_stopped() -> None:
    memory = MemoryMeter()
    memory.start()
    for other in (copy.deepcopy(memory), pickle.loads(pickle.dumps(memory))):
        assert not other.running
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        memory.sample()
        os.write(writer, b"1" if memory.running else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"0"
    assert memory.running
    memory.stop()


class Kernel:
    """Says how much memory the process holds, and does something while it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held = 100
        self.meanwhile: Any = None
        monkeypatch.setattr(psutil.Process, "memory_info", lambda process: SimpleNamespace(rss=self.ask()))

    def ask(self) -> int:
        held, meanwhile, self.meanwhile = self.held, self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return held


def test_stopping_waits_for_a_look_that_is_not_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the thread would outlive the fit."""
    monkeypatch.setattr("lightning_pepr.meters.memory.INTERVAL", 0.01)
    kernel, memory = Kernel(monkeypatch), MemoryMeter()
    memory.start()
    looking = threading.Event()

    def slow() -> None:
        looking.set()
        time.sleep(0.3)

    kernel.meanwhile = slow
    assert looking.wait(30)
    memory.stop()
    assert "pepr-memory" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("by", ["thread", "handler"])
def test_what_another_has_seen_meanwhile_is_kept(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """Another thread, or a signal handler that interrupts."""
    kernel, memory = Kernel(monkeypatch), MemoryMeter()

    def look() -> None:
        kernel.held = 500
        if by == "handler":
            memory.sample()
        else:
            thread = threading.Thread(target=memory.sample)
            thread.start()
            thread.join()
        kernel.held = 100

    memory.start()
    kernel.meanwhile = look
    assert memory.peak_bytes() == 500
    memory.stop()


def test_what_was_seen_before_a_new_start_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it is noted after it, by a thread that was slow."""
    kernel, memory = Kernel(monkeypatch), MemoryMeter()
    memory.start()
    asked, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        asked.set()
        go_on.wait(30)

    kernel.held, kernel.meanwhile = 500, wait
    slow = threading.Thread(target=memory.sample)
    slow.start()
    assert asked.wait(30)
    kernel.held = 100
    memory.start()
    go_on.set()
    slow.join()
    assert memory.peak_bytes() == 100
    memory.stop()


def test_a_process_that_may_open_no_more_files_goes_on() -> None:
    script = """
import json, os, resource, psutil
from lightning_pepr.meters.memory import MemoryMeter
memory = MemoryMeter()
memory.start()
peak = memory.peak_bytes()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (os.open(os.devnull, os.O_RDONLY) + 1, hard))
memory.sample()
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(json.dumps(memory.peak_bytes() >= peak))
memory.stop()
"""
    assert json.loads(subprocess.check_output([sys.executable, "-c", script], timeout=60)) is True
