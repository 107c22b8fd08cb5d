"""What devices can draw at most, by their names."""

from __future__ import annotations

import re

# Watts: the highest board power that NVIDIA's data sheets name for any variant of a board. The first match counts.
_LIMITS: tuple[tuple[str, float], ...] = (
    (r"GB[23]00|B300", 1400.0),
    (r"B200|B100|GH200", 1000.0),
    (r"H[128]00|H20\b", 700.0),
    (r"A100|A800", 500.0),
    (r"L40S|L20\b", 350.0),
    (r"L40\b|A40\b", 300.0),
    (r"A30\b", 165.0),
    (r"A10G?\b", 300.0),
    (r"L4\b", 72.0),
    (r"A16\b", 250.0),
    (r"A2\b|T4\b|P4\b", 75.0),
    (r"V100", 350.0),
    (r"P100|K80|M60", 300.0),
    (r"P40\b|M40\b", 250.0),
    (r"RTX PRO 6000", 600.0),
    (r"RTX 6000 Ada|RTX A6000|Quadro RTX 8000", 300.0),
    (r"RTX A5500|RTX A5000|Quadro RTX 6000", 295.0),
    (r"RTX A4[05]00|RTX A2000", 200.0),
    (r"RTX 5090", 575.0),
    (r"RTX 4090|RTX 3090 Ti", 450.0),
    (r"RTX 5080|RTX 3090|RTX 3080", 360.0),
    (r"RTX 4080", 320.0),
    (r"RTX [2345]0[5-8]0|TITAN|GTX 10[5-8]0|GTX 16[56]0", 300.0),
)

_HOST = 1500.0  # two processors of 500 W, and their memory
_MARGIN = 1.3  # makers of cards raise limits by up to a third, and sensors err by up to 13 %
_BOARDS = 16  # where a table does not say how many there were: as many as a host holds
_OVERHEAD = 1.6  # a table's energy may include a PUE
_COUNT = re.compile(r"(\d+) x ")  # CodeCarbon's "2 x Tesla V100"
_GPU = re.compile(r"NVIDIA|Tesla|Quadro|GeForce|Radeon|Instinct|\bMI\d{2,3}|Gaudi|\bTPU|Apple", re.IGNORECASE)


def power_limit(device: str | None, boards: str | None) -> float | None:
    """Find the mean power in watts above which a run cannot have been, with a margin; None for an unknown device.

    The boards, which only records name, look like "cpu:host, host/gpu:GPU-5f…".
    """
    if boards is None:
        counted = _COUNT.search(device or "")
        gpus, hosts, margin = int(counted[1]) if counted else _BOARDS, 1, _MARGIN * _OVERHEAD
    else:
        keys = [key.rpartition("/")[2] for key in boards.split(", ")]
        gpus, hosts = (sum(key.startswith(kind) for key in keys) for kind in ("gpu:", "cpu:"))
        margin = _MARGIN
    largest = _largest(device) if gpus else 0.0
    return None if largest is None or not gpus + hosts else margin * (gpus * largest + hosts * _HOST)


def _largest(device: str | None) -> float | None:
    """Find the highest limit of the GPUs among the devices; None if there is none, or one that is not known."""
    limits = []
    for name in (device or "").split(", "):
        found = (watts for pattern, watts in _LIMITS if re.search(rf"\b(?:{pattern})", name, re.IGNORECASE))
        limit = next(found, None)
        if limit is not None or _GPU.search(name):
            limits.append(limit)
    known = [limit for limit in limits if limit is not None]
    return max(known) if known and len(known) == len(limits) else None
