"""Meters, which turn hardware into joules and bytes; usable without Lightning.

Importing it imports neither torch nor pynvml: those are needed when a meter is opened.
"""

from __future__ import annotations

from collections.abc import Sequence

from lightning_pepr.meters.base import Meter, Part, Quality, Reading
from lightning_pepr.meters.devices import Device
from lightning_pepr.meters.host import HostMeter
from lightning_pepr.meters.replay import ReplayMeter

__all__ = ["HostMeter", "Meter", "Part", "Quality", "Reading", "ReplayMeter", "open_meter"]


def open_meter(devices: Sequence[Device] | None = None) -> HostMeter:
    """Open the best meter that this host allows.

    Readings are cumulative, and subtract:

    >>> with open_meter(devices=[]) as meter:
    ...     a = meter.read()
    ...     total = sum(range(100_000))  # train here
    ...     window = meter.read() - a
    >>> window.energy_j >= 0 and window.time_s > 0
    True
    >>> [key.split(":")[0] for key in window.parts]
    ['cpu']

    Args:
        devices: The GPUs to meter: NVML indices (int), UUIDs as `nvidia-smi -L` prints them (str), or torch
            devices (`torch.device("cuda", 0)`; "cpu" adds none). `[]` is no GPU. None is the devices that
            torch uses: those on which this process already holds memory, else all that are visible to it;
            none if torch has not been imported.

    Returns:
        A meter that counts from now on. Each reading has a part `gpu:<UUID>` for each board and `cpu:<host>`
        for the processor, in integer microjoules; what cannot be measured on this host is a part of quality
        `unavailable`, whose energy is NaN and which gives its reason.

    Raises:
        PePRError: If `devices` names a GPU that is not there; says which there are.
    """
    return HostMeter(devices)
