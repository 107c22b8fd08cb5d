"""The energy of NVIDIA boards, from the driver's management library (NVML)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lightning_pepr.meters.base import Part, Quality

T = TypeVar("T")

PATIENCE = 0.8
"""Seconds that a caller waits for the driver, at the very most."""

GAIN = 0.05
"""Relative uncertainty of a board's own power sensor, which cannot be seen from here."""


@dataclass
class Board:
    """One NVIDIA board.

    Attributes:
        uuid: Its UUID, "GPU-…"; the name it was asked for by if it was not found.
        handle: NVML's handle; None if it cannot be read.
        shared: Whether a MIG instance of it was asked for, so that its energy is others' too.
        reason: Why it cannot be read.
    """

    uuid: str
    handle: Any = None
    shared: bool = False
    reason: str = ""


def within(seconds: float, call: Callable[[], T]) -> T:
    """Do something in another thread, and leave it to itself if it takes longer than that.

    Raises:
        TimeoutError: If it does. What `call` raises is raised too.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="pepr-nvml-call", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"the driver did not answer within {seconds:g} s")
    if errors:
        raise errors[0]
    return results[0]


def find_boards(wanted: Sequence[int | str]) -> list[Board]:
    """Find boards by NVML index or UUID, each once.

    Uses `nvmlInit`, `nvmlDeviceGetHandleByIndex`, `nvmlDeviceGetHandleByUUID` and `nvmlDeviceGetUUID`; of a MIG
    instance `nvmlDeviceGetDeviceHandleFromMigDeviceHandle`, since only whole boards have an energy.

    Raises:
        ValueError: If the driver answers and has no such board; says which there are.
    """
    try:
        boards = within(PATIENCE, lambda: _find_boards(wanted))
    except ValueError:
        raise
    except TimeoutError as error:
        boards = [Board(str(name), reason=f"{error}.") for name in wanted]
    except Exception as error:  # the library is missing, or will not start
        boards = [Board(str(name), reason=f"NVML cannot be used: {error}.") for name in wanted]
    found: dict[str, Board] = {}
    for board in boards:
        found.setdefault(board.uuid, board).shared |= board.shared
    return list(found.values())


def _find_boards(wanted: Sequence[int | str]) -> list[Board]:
    import pynvml  # type: ignore[import-untyped]

    pynvml.nvmlInit()
    boards = []
    for name in wanted:
        try:
            handle, shared = _handle(name)
            uuid = _text(pynvml.nvmlDeviceGetUUID(handle))
            boards.append(Board(uuid, handle, shared))
        except (pynvml.NVMLError_NotFound, pynvml.NVMLError_InvalidArgument):
            count = pynvml.nvmlDeviceGetCount()
            handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
            there = [f"{index} ({_text(pynvml.nvmlDeviceGetUUID(h))})" for index, h in enumerate(handles)]
            raise ValueError(
                f"devices contains {name!r}; expected the NVML index or the UUID of a GPU of this host, "
                f"which has {', '.join(there) or 'none'}."
            ) from None
        except pynvml.NVMLError as error:
            boards.append(Board(str(name), reason=f"NVML cannot find it: {error}."))
    return boards


def _handle(name: int | str) -> tuple[Any, bool]:
    """The handle of a board, and whether a MIG instance of it was meant."""
    import pynvml

    if isinstance(name, int):
        return pynvml.nvmlDeviceGetHandleByIndex(name), False
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(name)
    except pynvml.NVMLError_NotFound:
        # CUDA tells the UUID of a MIG instance without saying that it is one.
        if not name.startswith("GPU-"):
            raise
        handle = pynvml.nvmlDeviceGetHandleByUUID("MIG-" + name[4:])
    try:
        if pynvml.nvmlDeviceIsMigDeviceHandle(handle):
            return pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle), True
    except pynvml.NVMLError:  # drivers before MIG
        pass
    return handle, False


def _text(value: str | bytes) -> str:
    """NVML's strings are bytes in older versions of its bindings."""
    return value.decode() if isinstance(value, bytes) else value


class NvmlSource:
    """The energy of NVIDIA boards.

    Args:
        devices: NVML indices or UUIDs.
        at: When the energy begins to count; of `time.monotonic`.

    Raises:
        ValueError: If the driver has no such board.
    """

    def __init__(self, devices: Sequence[int | str], at: float) -> None:
        self._boards = find_boards(devices)
        self._first: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._losses: dict[str, int] = {}
        for board in self._boards:
            if board.handle is not None:
                try:
                    self._first[board.uuid] = self._last[board.uuid] = self._counter(board)
                except Exception as error:
                    board.reason = f"its energy counter cannot be read: {error}."
        self._marked: dict[str, Part] = {}

    def _counter(self, board: Board) -> int:
        import pynvml

        return within(PATIENCE, lambda: int(pynvml.nvmlDeviceGetTotalEnergyConsumption(board.handle)))

    def mark(self, at: float) -> dict[str, Part]:
        """The energy now."""
        self._marked = {f"gpu:{board.uuid}": self._read(board) for board in self._boards}
        return dict(self._marked)

    def _read(self, board: Board) -> Part:
        if board.uuid not in self._first:
            return Part(None, Quality.UNAVAILABLE, reason=board.reason, shared=board.shared)
        reason = ""
        try:
            now = self._counter(board)
            if now < self._last[board.uuid]:
                reason = "its energy counter went backwards."
                self._first[board.uuid] -= self._last[board.uuid] - now
            self._last[board.uuid] = now
        except Exception as error:
            reason = f"its energy counter cannot be read any more: {error}."
        self._losses[board.uuid] = self._losses.get(board.uuid, 0) + bool(reason)
        energy_uj = (self._last[board.uuid] - self._first[board.uuid]) * 1000
        return Part(
            energy_uj, Quality.COUNTER, losses=self._losses[board.uuid], reason=reason, gain=GAIN, shared=board.shared
        )

    def settle(self, at: float, wait: bool) -> dict[str, Part]:
        """A mark is final."""
        return dict(self._marked)

    def close(self) -> None:
        """Let go of the driver."""
