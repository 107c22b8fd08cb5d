"""Drives a study on this machine: one process for each run, one run at a time on a device. Imports no torch."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from lightning_pepr.meters.devices import visible_gpus
from lightning_pepr.record import RunRecord
from lightning_pepr.study.settings import DataSize, Model, Run, Settings, StudyFolder, is_done
from lightning_pepr.utilities.environment import describe_hardware, now
from lightning_pepr.utilities.files import FILE_NAME

LOG_FILE = "log.txt"
"""What a run has printed, beside its record."""

GRACE_S = 60.0
"""How long a run that is interrupted may take to write its record."""

LOCKS = "LIGHTNING_PEPR_LOCKS"
"""The environment variable that names another folder for the locks of devices."""

Heard = Callable[[dict[str, Any]], None]
"""Told each message of a run: {"event": "progress", "share": 0.5, "epoch": 1, "epochs": 2}, and others."""


_APART: dict[str, Any] = {"process_group": 0} if sys.version_info >= (3, 11) else {"start_new_session": True}


class StudyError(OSError):
    """The study cannot go on, whatever the next run is."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a study trains, as it was looked up.

    Attributes:
        models: The models.
        size: How much data there is.
    """

    models: list[Model]
    size: DataSize


# Processes ---------------------------------------------------------------------------------------------------------


class Worker:
    """A process that does one task, and ends when this one does.

    Args:
        task: What to do, as plain types.
        log: Where its standard error goes.
    """

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
            **_APART,  # Ctrl-C is for the driver, which passes it on once
        )
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it says itself why it has ended
            self.process.stdin.write(json.dumps(task).encode() + b"\n")
            self.process.stdin.flush()

    def listen(self) -> Iterator[dict[str, Any]]:
        """What it tells, until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):  # cut short when it was killed
                yield json.loads(line)

    def interrupt(self) -> None:
        """Let it write its record and end; if it does not, end it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

            def insist() -> None:
                try:
                    self.process.wait(GRACE_S)
                except subprocess.TimeoutExpired:
                    self.process.kill()

            threading.Thread(target=insist, daemon=True).start()

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


def survey(
    settings: Settings,
    models: Sequence[str],
    *,
    pretrained: bool = False,
    weights: Mapping[str, str] | None = None,
    heard: Heard = lambda message: None,
) -> Found:
    """Find models and data in a process of its own, and refuse what cannot be trained.

    Args:
        settings: What the runs share.
        models: Names and wildcards.
        pretrained: Whether pretrained weights will be needed.
        weights: Files with them, by the name of the model.
        heard: Told which model is looked at.

    Raises:
        ValueError: If a model, the data or a size of images is refused; says what to do.
        StudyError: If the process ended without an answer.
    """
    task = {
        "task": "survey",
        "settings": asdict(settings),
        "models": list(models),
        "pretrained": pretrained,
        "weights": dict(weights or {}),
    }
    with tempfile.TemporaryFile() as log:
        worker = Worker(task, log)
        answer: dict[str, Any] = {}
        try:
            for message in worker.listen():
                if message["event"] in ("found", "error"):
                    answer = message
                else:
                    heard(message)
        except KeyboardInterrupt:
            worker.process.kill()
            raise
        finally:
            status = worker.end()
        if answer.get("event") == "found":
            return Found([Model(*each) for each in answer["models"]], DataSize(*answer["data"]))
        if answer.get("input"):
            raise ValueError(answer["text"])
        log.seek(0)
        last = _last_line(log.read()) or f"exit status {status}"
        raise StudyError(f"looking up models and data failed: {last}")


def execute(run: Run, out: Path, heard: Heard = lambda message: None) -> RunRecord:
    """Do one run in a process of its own; whatever becomes of it, its record says so.

    What an earlier attempt has left is kept beside it, without counting as a run.

    Args:
        run: The run.
        out: The study's folder.
        heard: Told each message; raise `StopRun` in it to end the run early.

    Returns:
        The record: "finished", "failed" with the error, or "interrupted".

    Raises:
        KeyboardInterrupt: On Ctrl-C, after the run has written its record.
        OSError: If the record cannot be written, as on a full disk.
    """
    folder = out / run.folder
    put_aside(folder)
    folder.mkdir(parents=True, exist_ok=True)
    error, reason = "", ""
    ctrl_c: KeyboardInterrupt | None = None
    with (folder / LOG_FILE).open("wb") as log:
        worker = Worker({"task": "train", "run": run.to_dict(), "apart": run.apart, "out": str(out)}, log)
        messages = worker.listen()
        while True:
            try:
                for message in messages:
                    if message["event"] == "error":
                        error = f"{message['kind']}: {message['text']}"
                    elif not reason:
                        heard(message)
                status = worker.end()
                break
            except StopRun as stop:
                reason = str(stop)
                worker.interrupt()
                messages = worker.listen()
            except KeyboardInterrupt as again:
                if ctrl_c is not None:
                    worker.process.kill()
                ctrl_c = again
                worker.interrupt()
                messages = worker.listen()
    record = _settle(run, folder, status, error, reason or ("Ctrl-C" if ctrl_c else ""))
    if ctrl_c is not None:
        raise ctrl_c
    return record


class StopRun(Exception):
    """Ends a run early; the text says why."""


def put_aside(folder: Path) -> None:
    """Rename the folder of an attempt that did not finish, so that it is kept but is no run any more."""
    if not folder.exists():
        return
    number = 1
    while (aside := folder.with_name(f"{folder.name}.attempt{number}")).exists():
        number += 1
    folder.rename(aside)
    for path in aside.glob("pepr*.json"):
        path.rename(path.with_name(f"attempt-{path.name}"))


def _settle(run: Run, folder: Path, status: int, error: str, reason: str) -> RunRecord:
    """See to it that there is a record, and that it says what became of the run."""
    try:
        record = RunRecord.load(folder)
    except (OSError, ValueError):
        record = RunRecord(
            run.model.name,
            monitor=run.settings.monitor,
            group=run.group,
            settings=run.to_dict(),
            hardware=describe_hardware(),
        )
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
    """Why a process ended that did not say so."""
    if status < 0:
        name = signal.Signals(-status).name
        return f"the process was ended by {name}" + (", as when memory runs out" if name == "SIGKILL" else "")
    last = _last_line(log.read_bytes()) if log.is_file() else ""
    return last or (f"the process ended with status {status}" if status else "the run has no test performance")


def _last_line(text: bytes) -> str:
    lines = [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""


# One run at a time on a device --------------------------------------------------------------------------------------


@contextlib.contextmanager
def device_lock(settings: Settings, waiting: Callable[[str], None] = lambda device: None) -> Iterator[str]:
    """Hold the device that a run will take, so that no other study on this machine trains on it meanwhile.

    Two runs on one device would each be charged the energy of both. The lock ends with the process that holds it.

    Args:
        settings: Of the run: which accelerator it takes.
        waiting: Told which device is waited for, if it is not free.

    Yields:
        What is held: "cpu", or a GPU's UUID.
    """
    from filelock import FileLock, Timeout

    gpus = visible_gpus() if settings.accelerator in ("auto", "gpu", "cuda") else []
    device = gpus[0] if gpus else "cpu"
    name = "".join(letter if letter.isalnum() or letter == "-" else "_" for letter in device)
    path = lock_folder() / f"lightning-pepr-{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    for place in (path, path.with_name(f"{path.stem}-{os.getuid()}.lock")):
        lock = FileLock(place)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting(device)
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


_SHARED = Path("/tmp")


# The study ----------------------------------------------------------------------------------------------------------


def disk_is_full(error: OSError) -> bool:
    """Whether it is for want of space that something could not be written."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def split_runs(runs: Sequence[Run], study: StudyFolder) -> tuple[list[Run], list[tuple[Run, RunRecord]]]:
    """Those that are still to be done, and those that are finished, with their records."""
    todo, finished = [], []
    for run in runs:
        record = study.record_of(run)
        if record is not None and is_done(record):
            finished.append((run, record))
        else:
            todo.append(run)
    return todo, finished
