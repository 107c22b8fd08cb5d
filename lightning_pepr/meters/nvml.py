"""The energy of NVIDIA boards, from the driver's management library (NVML)."""

from __future__ import annotations

import contextlib
import math
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


BEYOND = 2.0
"""A power beyond so many times the highest limit that the driver tells for a board is no sample."""

MOST_WATTS = 10_000.0
"""The same in watts where it tells no limit: no board draws half of it."""


SECOND_TRY_S = 0.15
"""Seconds after which a power that cannot be true is read again, when a board is opened: the next update has come."""


class SensorError(Exception):
    """What a sensor shows cannot be true, or is nothing at all."""


@dataclass
class Board:
    """One NVIDIA board, and how its energy (in mJ) and power (in W) can be read, if they can."""

    uuid: str  # if it was not found, the name that it was asked for by
    shared: bool = False  # a MIG instance of it was asked for, so that its energy includes that of others
    reason: str = ""  # why it cannot be metered
    limit: float = 1000.0
    ceiling: float = MOST_WATTS  # watts beyond which a power is no sample
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
        except UnicodeDecodeError as error:
            boards.append(Board(str(name), reason=f"its UUID is no text, so it cannot be identified: {error}."))
        except Exception as error:
            boards.append(Board(str(name), reason=f"NVML cannot find it: {error}."))
    return boards


def list_uuids() -> list[str]:
    """The UUIDs of all boards, in the order of their NVML indices, from an initialised driver; "" if unknown."""
    import pynvml

    uuids = [""] * pynvml.nvmlDeviceGetCount()
    for index in range(len(uuids)):
        with contextlib.suppress(pynvml.NVMLError, ValueError):  # a board that is lost, or no text
            uuids[index] = pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(index))
    return uuids


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
    limits = _limits(handle)
    if limits:
        board.limit, board.ceiling = limits[0], BEYOND * max(limits)

    def counter() -> int:
        return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))

    def instant() -> float:
        fields = pynvml.nvmlDeviceGetFieldValues(handle, [pynvml.NVML_FI_DEV_POWER_INSTANT])
        if len(fields) != 1:
            raise SensorError(f"the driver gave {len(fields)} values for the field that was asked for")
        return _credible(_value(fields[0]) / 1000, board.ceiling)

    def usage() -> float:
        return _credible(float(pynvml.nvmlDeviceGetPowerUsage(handle)) / 1000, board.ceiling)

    reasons = []
    for power in (instant, usage):
        try:
            try:
                power()
            except SensorError:  # just this once?
                time.sleep(SECOND_TRY_S)
                power()
            board.read_power, board.window = power, _averaged_over(handle) if power is usage else None
            break
        except Exception as error:  # whatever the driver does: it has no such power, then
            reasons.append(str(error))
    try:
        counter()
        board.read_counter = counter
    except Exception as error:
        why = "; ".join(dict.fromkeys([str(error), *reasons]))
        board.reason = f"it has neither an energy counter nor a power that can be read: {why}."
    return board


def _limits(handle: Any) -> list[float]:
    """The power limits of a board in watts that can be true: the one in force first, then what it may be set to."""
    import pynvml

    calls: tuple[Callable[[], float], ...] = (
        lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(handle),
        lambda: pynvml.nvmlDeviceGetPowerManagementLimit(handle),
        lambda: pynvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)[1],
    )
    limits = []
    for call in calls:
        with contextlib.suppress(Exception):  # a board without, or nonsense
            limits.append(_credible(call() / 1000, MOST_WATTS))
    return [limit for limit in limits if limit > 0]


def _value(field: Any) -> float:
    """What the driver gave for a field, which says itself of which type it is."""
    import pynvml

    if field.nvmlReturn != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(field.nvmlReturn)
    names = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
    if not 0 <= field.valueType < len(names):
        raise SensorError(f"the driver gave a value of the unknown type {field.valueType}")
    return float(getattr(field.value, names[field.valueType]))


def _credible(watts: float, most: float) -> float:
    """A power, if it can be one."""
    if not math.isfinite(watts) or not 0 <= watts <= most:
        raise SensorError(f"its power reads {watts:.7g} W; expected 0 to {most:.7g} W")
    return watts


def _averaged_over(handle: Any) -> float | None:
    """Seconds over which `nvmlDeviceGetPowerUsage` averages; None if that is the update interval.

    NVIDIA states one second for Ampere and later, GA100 (A100, A30, A800) excepted.
    """
    import pynvml

    try:
        later = pynvml.nvmlDeviceGetArchitecture(handle) >= pynvml.NVML_DEVICE_ARCH_AMPERE
        name = pynvml.nvmlDeviceGetName(handle)
    except Exception:  # an old driver, or a name that is no text
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
                self._watches[key] = CounterWatch(
                    name, board.read_counter, board.read_power, board.limit, board.ceiling, board.window
                )
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
