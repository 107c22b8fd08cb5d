import copy
import os
import pickle
import subprocess
import sys
import threading
import time

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
    memory.stop()
    for thread in threading.enumerate():
        if thread.name == "pepr-memory":
            thread.join(5)
            assert not thread.is_alive()
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
