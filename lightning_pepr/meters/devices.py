"""Which GPUs are meant, and the sources that meter them and the host."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from lightning_pepr.errors import PePRError
from lightning_pepr.meters.base import EnergySource, Part, Quality
from lightning_pepr.meters.rapl import POWERCAP, RaplSource, find_domains


class TorchDevice(Protocol):
    """A `torch.device`, without importing torch."""

    @property
    def type(self) -> str:
        """What kind: "cuda", "cpu", "mps", …."""


Device: TypeAlias = int | str | TorchDevice
"""An NVML index, a UUID, or a torch device."""


class Unavailable(EnergySource):
    """GPUs that cannot be measured, by name, each with the reason why."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self._parts = {f"gpu:{name}": Part(None, Quality.UNAVAILABLE, reason=why) for name, why in reasons.items()}

    def mark(self, at: float) -> dict[str, Part]:
        """The parts, at any moment."""
        return self._parts


def open_sources(devices: Sequence[Device] | None, powercap: Path | None = None) -> list[EnergySource]:
    """Open sources for the GPUs that are meant, and one for the processor: its counters, else an estimate."""
    nvidia, others = find_devices(devices)
    sources: list[EnergySource] = [Unavailable(others)]
    if nvidia:
        from lightning_pepr.meters.nvml import NvmlSource

        sources.append(NvmlSource(nvidia))
    if domains := find_domains(powercap or POWERCAP):
        sources.append(RaplSource(domains))
    else:
        from lightning_pepr.meters.estimate import EstimateSource

        sources.append(EstimateSource())
    return sources


def find_devices(devices: Sequence[Device] | None) -> tuple[list[int | str], dict[str, str]]:
    """Find the NVML indices and UUIDs of the NVIDIA devices, and why each other GPU cannot be metered, by its name."""
    if devices is None:
        return _torch_gpus(None)
    nvidia: list[int | str] = []
    others: dict[str, str] = {}
    for device in devices:
        if isinstance(device, (int, str)) and not isinstance(device, bool):
            nvidia.append(device)
        elif getattr(device, "type", None) is not None:
            found, unknown = _torch_gpus(device)
            nvidia += found
            others.update(unknown)
        else:
            raise PePRError(
                f"devices contains {device!r}; expected an NVML index (int), a UUID (str) as `nvidia-smi -L` "
                "prints them, or a torch.device."
            )
    return nvidia, others


def _torch_gpus(device: Any) -> tuple[list[int | str], dict[str, str]]:
    """The UUIDs of one torch device, or of all that torch uses; the names of those without, and why."""
    torch = sys.modules.get("torch")
    if torch is None:
        return [], {}  # what torch does not use, it does not train on
    kind = "" if device is None else device.type
    try:
        if kind in ("", "cuda") and torch.cuda.is_available():
            indices = _cuda_in_use(torch) if device is None else [device.index]
            indices = [torch.cuda.current_device() if index is None else index for index in indices]
            if getattr(torch.version, "hip", None):
                reason = "the energy of AMD GPUs is not metered."
                return [], {torch.cuda.get_device_name(index): reason for index in indices}
            return [*torch_uuids(indices)], {}
        if kind == "mps" or (not kind and torch.backends.mps.is_available()):
            return [], {"mps": "the energy of Apple GPUs is not metered."}
    except (RuntimeError, AssertionError, AttributeError) as error:
        return [], {"cuda": f"torch cannot say which GPUs it uses: {error}"}
    if kind in ("", "cpu", "meta"):
        return [], {}
    return [], {str(device): f"the energy of {kind} devices is not metered, or there is none."}


def torch_uuids(indices: Sequence[int]) -> list[str]:
    """The UUIDs of CUDA devices by their index in torch, whatever `CUDA_VISIBLE_DEVICES` says.

    The device's own UUID is right under every form of that variable and of `CUDA_DEVICE_ORDER`.
    """
    torch = sys.modules["torch"]
    uuids = []
    for index in indices:
        properties = torch.cuda.get_device_properties(index)
        if not hasattr(properties, "uuid"):
            raise AttributeError("torch before 2.5 does not know its devices' UUIDs; pass `devices=[...]`.")
        uuid = str(properties.uuid)
        uuids.append(uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}")
    return uuids


def _cuda_in_use(torch: Any) -> list[int]:
    """The CUDA devices that hold memory of this process, or all that are visible if none does yet."""
    visible = list(range(torch.cuda.device_count()))
    if not torch.cuda.is_initialized():
        return visible
    return [index for index in visible if torch.cuda.memory_reserved(index) > 0] or visible


def visible_gpus() -> list[str]:
    """The NVIDIA GPUs that a process started here may use: UUIDs, or as `CUDA_VISIBLE_DEVICES` has them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        import pynvml

        from lightning_pepr.meters.nvml import list_uuids

        pynvml.nvmlInit()
        uuids = [uuid or str(index) for index, uuid in enumerate(list_uuids())]
        pynvml.nvmlShutdown()
    except Exception:  # no driver, or no pynvml: no GPU can be found
        return []
    return uuids if visible is None else chosen_gpus(uuids, visible)


def chosen_gpus(uuids: Sequence[str], visible: str) -> list[str]:
    """Those of the GPUs that a value of `CUDA_VISIBLE_DEVICES` shows: up to the first that CUDA does not know.

    >>> chosen_gpus(["GPU-a", "GPU-b"], "1,0"), chosen_gpus(["GPU-a", "GPU-b"], "0,-1,1"), chosen_gpus(["GPU-a"], "-1")
    (['GPU-b', 'GPU-a'], ['GPU-a'], [])
    """
    named = {str(index): uuid for index, uuid in enumerate(uuids)}
    chosen = (part.strip() for part in visible.split(","))
    known = itertools.takewhile(lambda part: part in named or part.startswith(("GPU-", "MIG-")), chosen)
    return [named.get(part, part) for part in known]
