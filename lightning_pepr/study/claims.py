"""Which study trains a run: a file beside its folder, so that studies of other machines and locks see it as well."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import uuid
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType

import psutil

from lightning_pepr.utilities.environment import host_name, now
from lightning_pepr.utilities.files import read_plain, write_new, write_whole

SUFFIX = ".claim"

BEAT_S = 20.0
"""Seconds between two signs of life of who has claimed a run."""

DEAD_S = 300.0
"""Seconds without one after which a claim of another machine is dead."""

_CREATED_S = 5.0  # how far off the start of a process may be read after the clock was set


@dataclass(frozen=True)
class Owner:
    """Who has claimed a run."""

    host: str = ""
    pid: int = 0
    started: float = 0.0  # the process, Unix time
    machine: str = ""  # host, boot and name space of process ids: where `pid` means the same
    at: str = ""
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def myself(cls) -> Owner:
        """This process, with a token of its own for each claim."""
        return cls(host_name(), os.getpid(), psutil.Process().create_time(), _machine(), now())

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.host else "somebody"


class Claim:
    """The claim of a run for this process, until it is released; gives a sign of life meanwhile.

    Attributes:
        instead_of: Whose dead claim it was, in words; empty if it was nobody's.
    """

    def __init__(self, path: Path, owner: Owner, instead_of: str = "") -> None:
        self._path, self._owner, self.instead_of = path, owner, instead_of
        self._released = threading.Event()
        threading.Thread(target=self._beat, name="pepr-claim", daemon=True).start()

    def _beat(self) -> None:
        while not self._released.wait(BEAT_S):
            with contextlib.suppress(OSError):  # the server may be away for a while
                os.utime(self._path)

    def release(self) -> None:
        """Give the run free; may be called twice."""
        self._released.set()
        with contextlib.suppress(OSError):
            if _read(self._path) == self._owner:  # and not of somebody who took this process for dead
                self._path.unlink()

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def claim(folder: Path) -> Claim | Owner:
    """Claim the run of a folder; gives who has it if somebody has.

    A file is made whole and linked to its name, which one of several can do, over NFS too. A claim is dead if its
    process on this machine is gone, or if another machine's has given no sign of life for `DEAD_S`.
    """
    path = folder.with_name(folder.name + SUFFIX)
    mine = Owner.myself()
    text = json.dumps(asdict(mine)) + "\n"
    for _ in range(3):
        if write_new(path, text):
            return Claim(path, mine)
        try:
            owner = _read(path)
            if owner == mine:  # over NFS the answer that it was linked may be lost
                return Claim(path, mine)
            dead = _why_dead(path, owner)
        except FileNotFoundError:
            continue  # it was released meanwhile
        if not dead:
            return owner
        if _take_over(path, owner, text):
            return Claim(path, mine, f"{owner}, which {dead}")
    return Owner()


def _take_over(path: Path, dead: Owner, text: str) -> bool:
    """Put a claim in the place of a dead one; of several that try, one does."""
    turn = path.with_name(f".{path.name}.{dead.token}")
    if not write_new(turn, text):
        with contextlib.suppress(FileNotFoundError):
            if _silent_s(turn) > DEAD_S:  # who was to take it over is dead as well
                turn.unlink()
        return False
    try:
        if _read(path).token != dead.token:
            return False  # somebody has taken it over, and is through
        write_whole(path, text)
        return True
    except FileNotFoundError:
        return False
    finally:
        turn.unlink(missing_ok=True)


def _why_dead(path: Path, owner: Owner) -> str:
    """Why a claim is dead, in words; empty if it is not."""
    if owner.machine == _machine():
        try:
            started = psutil.Process(owner.pid).create_time()
        except (psutil.Error, ValueError):  # a number that no process has
            return "is gone"
        return "" if abs(started - owner.started) < _CREATED_S else "is gone, and its number another process's"
    silent = _silent_s(path)
    return f"has given no sign of life for {silent / 60:.0f} min" if silent > DEAD_S else ""


def _silent_s(path: Path) -> float:
    """Seconds since a file was touched, by the clock of the file system: those of two machines may differ."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".clock-") as probe:
        probe.write(b"\n")
        probe.flush()
        os.fsync(probe.fileno())
        return os.stat(probe.name).st_mtime - path.stat().st_mtime


def _read(path: Path) -> Owner:
    """Whose claim it is; one that cannot be read, such as one that is just being written, is somebody's.

    Raises:
        FileNotFoundError: If there is none.
    """
    unknown = Owner(token="unknown")
    try:
        data = json.loads(read_plain(path, most=10_000))
        owner = Owner(**{each.name: type(getattr(unknown, each.name))(data[each.name]) for each in fields(Owner)})
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return unknown
    return owner if owner.token.isalnum() else unknown


def _machine() -> str:
    """Where a process id means the same: hosts may have one name, and containers number their own processes."""
    parts = [host_name()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)
