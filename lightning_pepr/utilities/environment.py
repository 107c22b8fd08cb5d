"""Where and when a run takes place: the host, its hardware, the versions of the software, the time."""

from __future__ import annotations

import contextlib
import platform
import socket
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any


def now() -> str:
    """This moment, ISO 8601 with time zone, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def host_name() -> str:
    """The name of this host."""
    return socket.gethostname()


def describe_software() -> dict[str, str]:
    """Versions of Python and of the packages that take part in a run, where installed."""
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("lightning-pepr", "torch", "lightning", "torchmetrics", "timm", "codecarbon", "nvidia-ml-py"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def describe_hardware() -> dict[str, Any]:
    """This host: its name, processor, cores, memory in GB, and the CUDA devices if torch uses them."""
    import psutil

    hardware: dict[str, Any] = {
        "host": host_name(),
        "cpu": processor_name(),
        "cores": psutil.cpu_count(logical=True),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpus": [],
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():  # to ask would start CUDA, in a training on the CPU too
        hardware["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return hardware


def processor_name() -> str:
    """The name of this host's processor, which Linux has only in /proc."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
