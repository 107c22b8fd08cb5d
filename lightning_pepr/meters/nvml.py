"""The energy of NVIDIA boards, from the driver's management library (NVML)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from lightning_pepr.errors import PePRError
from lightning_pepr.meters.base import EnergySource, Part, Quality
from lightning_pepr.meters.counter import CounterWatch
from lightning_pepr.meters.power import PowerWatch
from lightning_pepr.meters.watch import PATIENCE, PROMPT, Watch

T = TypeVar("T")

GAIN = 0.05
"""Relative uncertainty of a board's own power sensor, which cannot be seen from here."""


@dataclass
class Board:
    """One NVIDIA board, and how its energy (in mJ) and power (in W) can be read, if they can."""

    uuid: str  # if it was not found, the name that it was asked for by
    shared: bool = False  # a MIG instance of it was asked for, so that its energy includes that of others
    reason: str = ""  # why it cannot be metered
    limit: float = 1000.0
    read_counter: Callable[[], int] | None = None
    read_power: Callable[[], float] | None = None
    window: float | None = None  # seconds over which that power is averaged, if that is not the update interval


def within(seconds: float, call: Callable[[], T]) -> T:
    """Call something in another thread; if it takes longer than that, leave it to itself and raise `TimeoutError`."""
    result: futures.Future[T] = futures.Future()

    def work() -> None:
        try:
            result.set_result(call())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=work, name="pepr-nvml-call", daemon=True).start()
    if not futures.wait([result], seconds).done:
        raise TimeoutError(f"the driver did not answer within {seconds:g} s")
    return result.result()


def find_boards(wanted: Sequence[int | str]) -> list[Board]:
    """Find boards by NVML index or UUID, each once; of a MIG instance its board, since only that has an energy."""
    try:
        boards = within(PATIENCE, lambda: _find_boards(wanted))
    except PePRError:
        raise
    except Exception as error:  # the library is missing, will not start, or hangs
        reason = f"{error}." if isinstance(error, TimeoutError) else f"NVML cannot be used: {error}."
        boards = [Board(str(name), reason=reason) for name in wanted]
    found: dict[str, Board] = {}
    for board in boards:
        found.setdefault(board.uuid, board).shared |= board.shared
    return list(found.values())


def _find_boards(wanted: Sequence[int | str]) -> list[Board]:
    import pynvml

    pynvml.nvmlInit()
    boards = []
    for name in wanted:
        try:
            handle, shared = _handle(name)
            boards.append(_board(handle, shared))
        except (pynvml.NVMLError_NotFound, pynvml.NVMLError_InvalidArgument):
            there = [f"{index} ({uuid})" for index, uuid in enumerate(list_uuids())]
            raise PePRError(
                f"devices contains {name!r}; expected the NVML index or the UUID of a GPU of this host, "
                f"which has {', '.join(there) or 'none'}."
            ) from None
        except pynvml.NVMLError as error:
            boards.append(Board(str(name), reason=f"NVML cannot find it: {error}."))
    return boards


def list_uuids() -> list[str]:
    """The UUIDs of all boards, in the order of their NVML indices, from an initialised driver."""
    import pynvml

    handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
    return [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]


def _handle(name: int | str) -> tuple[Any, bool]:
    """The handle of a board, and whether a MIG instance of it was meant."""
    import pynvml

    if isinstance(name, int):
        return pynvml.nvmlDeviceGetHandleByIndex(name), False
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(name)
    except pynvml.NVMLError_NotFound:
        # CUDA gives the UUID of a MIG instance without saying that it is one.
        if not name.startswith("GPU-"):
            raise
        handle = pynvml.nvmlDeviceGetHandleByUUID("MIG-" + name[4:])
    with contextlib.suppress(pynvml.NVMLError):  # drivers before MIG
        if pynvml.nvmlDeviceIsMigDeviceHandle(handle):
            return pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle), True
    return handle, False


def _board(handle: Any, shared: bool) -> Board:
    """Find out how the energy of a board can be read."""
    import pynvml

    board = Board(pynvml.nvmlDeviceGetUUID(handle), shared)
    with contextlib.suppress(pynvml.NVMLError):
        board.limit = pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000

    def counter() -> int:
        return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))

    def instant() -> float:
        (field,) = pynvml.nvmlDeviceGetFieldValues(handle, [pynvml.NVML_FI_DEV_POWER_INSTANT])
        if field.nvmlReturn != pynvml.NVML_SUCCESS:
            raise pynvml.NVMLError(field.nvmlReturn)
        return float(field.value.uiVal) / 1000

    def usage() -> float:
        return float(pynvml.nvmlDeviceGetPowerUsage(handle)) / 1000

    for power in (instant, usage):
        with contextlib.suppress(pynvml.NVMLError):
            power()
            board.read_power, board.window = power, _averaged_over(handle) if power is usage else None
            break
    try:
        counter()
        board.read_counter = counter
    except pynvml.NVMLError as error:
        board.reason = f"it has neither an energy counter nor a power that can be read: {error}."
    return board


def _averaged_over(handle: Any) -> float | None:
    """Seconds over which `nvmlDeviceGetPowerUsage` averages; None if that is the update interval.

    NVIDIA states one second for Ampere and later, GA100 (A100, A30, A800) excepted.
    """
    import pynvml

    try:
        later = pynvml.nvmlDeviceGetArchitecture(handle) >= pynvml.NVML_DEVICE_ARCH_AMPERE
        name = pynvml.nvmlDeviceGetName(handle)
    except pynvml.NVMLError:
        return None
    return 1.0 if later and not any(model in name for model in ("A100", "A30 ", "A800")) else None


class NvmlSource(EnergySource):
    """The energy of NVIDIA boards: by the energy counter where there is one, else by summing up the power."""

    def __init__(self, devices: Sequence[int | str]) -> None:
        self._watches: dict[str, Watch] = {}
        self._missing: dict[str, Part] = {}
        boards = find_boards(devices)
        self._shared = {f"gpu:{board.uuid}" for board in boards if board.shared}
        for board in boards:
            key, name = f"gpu:{board.uuid}", f"pepr-{board.uuid}"
            if board.read_counter is not None:
                self._watches[key] = CounterWatch(name, board.read_counter, board.read_power, board.limit)
            elif board.read_power is not None:
                self._watches[key] = PowerWatch(name, board.read_power, board.limit, board.window)
            else:
                unavailable = Part(None, Quality.UNAVAILABLE, reason=board.reason, gain=GAIN, shared=board.shared)
                self._missing[key] = unavailable

    def mark(self, at: float) -> dict[str, Part]:
        """The energy now; final after the next tick."""
        posted = [(watch, watch.post(at)) for watch in self._watches.values()]
        deadline = time.monotonic() + PROMPT
        for watch, boundary in posted:
            boundary.answered.wait(watch.patience(deadline))
        return self._parts(at, deadline=0.0)

    def settle(self, at: float, wait: bool) -> dict[str, Part]:
        """The energy at an earlier mark, as it is known by now or with `wait` after the next tick."""
        longest = max((watch.settling_s for watch in self._watches.values()), default=0.0)
        return self._parts(at, deadline=time.monotonic() + longest if wait else 0.0)

    def _parts(self, at: float, deadline: float) -> dict[str, Part]:
        parts = dict(self._missing)
        for key, watch in self._watches.items():
            part = watch.part(at, deadline)
            gain = 0.0 if part.energy_uj is None else GAIN
            parts[key] = msgspec.structs.replace(part, gain=gain, shared=key in self._shared)
        return parts

    def close(self) -> None:
        """Stop the threads that watch the counters."""
        deadline = time.monotonic() + PROMPT
        for watch in self._watches.values():
            watch.close(deadline)
