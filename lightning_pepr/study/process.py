"""Do a task of a study in a process of its own. Imports no torch: the process does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from lightning_pepr.errors import PePRError
from lightning_pepr.record import RunRecord
from lightning_pepr.study.folder import is_done, put_aside
from lightning_pepr.study.runs import DataSize, Model, Run
from lightning_pepr.study.settings import Settings
from lightning_pepr.utilities.environment import describe_hardware, now
from lightning_pepr.utilities.files import FILE_NAME
from lightning_pepr.utilities.json import convert, to_builtins

LOG_FILE = "log.txt"
"""What a run has printed, beside its record."""

Listener = Callable[[dict[str, Any]], None]
"""Called with each message of a run: {"event": "progress", "share": 0.5, "epoch": 1, "epochs": 2}, and others."""

_OWN_GROUP: dict[str, Any] = {"process_group": 0} if sys.version_info >= (3, 11) else {"start_new_session": True}


class StudyError(OSError):
    """The study cannot go on, whatever the next run is."""


class StopRun(Exception):
    """Ends a run early; the text says why."""


class WorkerProcess:
    """A process that does one task and ends when this one does; its standard error goes to `log`."""

    def __init__(self, task: Mapping[str, Any], log: IO[bytes]) -> None:
        environment = dict(os.environ)
        # Threads that wait for each other should sleep: on a busy machine spinning makes training slower, and an
        # energy that is estimated from CPU time larger.
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        environment.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lightning_pepr.study.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            **_OWN_GROUP,  # Ctrl-C is for the driver, which passes it on once
        )
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it says itself why it has ended
            self.process.stdin.write(json.dumps(to_builtins(task)).encode() + b"\n")
            self.process.stdin.flush()

    def listen(self) -> Iterator[dict[str, Any]]:
        """Its messages, until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):  # cut short when it was killed
                yield json.loads(line)

    def interrupt(self) -> None:
        """Let it write its record and end; if it does not, end it."""
        self.process.send_signal(signal.SIGINT)  # does nothing once it has ended, and neither does `kill`
        timer = threading.Timer(60.0, self.process.kill)  # by then it has written its record
        timer.daemon = True
        timer.start()

    def end(self) -> int:
        """Wait until it has ended, or end it, if this process is on its way out; returns its exit status."""
        try:
            return self.process.wait()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            for pipe in (self.process.stdin, self.process.stdout):
                assert pipe is not None
                with contextlib.suppress(OSError):
                    pipe.close()


def look_up(
    settings: Settings,
    models: Sequence[str],
    *,
    pretrained: bool,
    weights: Mapping[str, str],
    on_message: Listener = lambda message: None,
) -> tuple[list[Model], DataSize]:
    """Do `lookup.look_up` in a process of its own; raises a PePRError if it refuses something."""
    choice = {"settings": settings, "models": list(models), "pretrained": pretrained, "weights": dict(weights)}
    with tempfile.TemporaryFile() as log:
        worker = WorkerProcess({"task": "look up", **choice}, log)
        answer: dict[str, Any] = {}
        try:
            for message in worker.listen():
                if message["event"] in ("found", "error"):
                    answer = message
                else:
                    on_message(message)
        except KeyboardInterrupt:
            worker.process.kill()
            raise
        finally:
            status = worker.end()
        if answer.get("event") == "found":
            return convert(answer["models"], list[Model]), convert(answer["data"], DataSize)
        if answer.get("input"):
            raise PePRError(answer["text"])
        log.seek(0)
        last = _last_line(log.read()) or f"exit status {status}"
        raise StudyError(f"looking up models and data failed: {last}")


def execute(run: Run, out: Path, on_message: Listener = lambda message: None) -> RunRecord:
    """Do one run in a process of its own; its record says what became of it, also after Ctrl-C, which is raised again.

    What an earlier attempt has left is kept beside it. `on_message` may raise `StopRun` to end the run early.
    """
    folder = out / run.folder
    put_aside(folder)
    folder.mkdir(parents=True, exist_ok=True)
    error, reason = "", ""
    ctrl_c: KeyboardInterrupt | None = None
    with (folder / LOG_FILE).open("wb") as log:
        worker = WorkerProcess({"task": "train", "run": run, "out": str(out)}, log)
        while True:
            try:
                for message in worker.listen():
                    if message["event"] == "error":
                        error = f"{message['kind']}: {message['text']}"
                    elif not reason:
                        on_message(message)
                status = worker.end()
                break
            except StopRun as stop:
                reason = str(stop)
                worker.interrupt()
            except KeyboardInterrupt as again:
                if ctrl_c is not None:
                    worker.process.kill()
                ctrl_c = again
                worker.interrupt()
    record = _complete_record(run, folder, status, error, reason or ("Ctrl-C" if ctrl_c else ""))
    if ctrl_c is not None:
        raise ctrl_c
    return record


def _complete_record(run: Run, folder: Path, status: int, error: str, reason: str) -> RunRecord:
    """Make sure that there is a record, and that it says what became of the run."""
    try:
        record = RunRecord.load(folder)
    except (OSError, ValueError):
        record = run.new_record()
        record.hardware = describe_hardware()
    if status == 0 and is_done(record):
        return record
    if reason:
        record.status, record.error = "interrupted", reason
    else:
        record.status = "failed"
        record.error = error or _cause(status, folder / LOG_FILE)
    record.updated = now()
    record.save(folder / FILE_NAME)
    return record


def _cause(status: int, log: Path) -> str:
    """Say why a process ended that did not say so."""
    if status < 0:
        name = signal.Signals(-status).name
        return f"the process was ended by {name}" + (", as when memory runs out" if name == "SIGKILL" else "")
    last = _last_line(log.read_bytes()) if log.is_file() else ""
    return last or (f"the process ended with status {status}" if status else "the run has no test performance")


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines() or [""]
    return lines[-1].strip()
