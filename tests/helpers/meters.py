"""Metering against the simulated driver, and reading what was found."""

from __future__ import annotations

import time
from typing import Any

from lightning_pepr.meters import Part, Reading
from lightning_pepr.meters.watch import Watch
from tests.simnvml import SimDriver

HEAD = """
import json, sys, time
from lightning_pepr.meters import HostMeter, open_meter
from tests.simnvml import SimDriver, pretend_torch
sim = SimDriver.current()

def gpus(reading):
    return {key[4:]: part for key, part in reading.parts.items() if key.startswith("gpu:")}

def show(reading, begin=None):
    end = reading
    window = reading if begin is None else reading - begin
    found = {}
    for uuid, part in gpus(window).items():
        device = sim.uuids.index(uuid) if uuid in sim.uuids else 0
        since = 0.0 if begin is None else begin.time_s
        found[uuid] = {
            "energy": part.energy_j, "error": part.error_j, "quality": part.quality.value, "losses": part.losses,
            "lower_bound": part.lower_bound, "reason": part.reason, "settled": part.settled, "shared": part.shared,
            "truth": sim.truth(device, meter._opened + since, meter._opened + end.time_s),
            "uj": part.energy_uj, "drift": part.drift_j,
        }
    return found
"""


def ask(sim: SimDriver, script: str, timeout: float = 60.0) -> Any:
    """What a script finds that meters these boards in a process of its own; `show` there compares with the truth."""
    return sim.ask(HEAD + script, timeout)


def only(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What `show` found of the only board."""
    (part,) = found.values()
    return part


def near(part: dict[str, Any], share: float = 0.0) -> bool:
    """Whether what `show` found of a board is as near to the truth as its error says."""
    return bool(abs(part["energy"] - part["truth"]) <= part["error"] + share * part["truth"])


def only_part(reading: Reading) -> Part:
    (part,) = reading.parts.values()
    return part


def microjoules(part: Part) -> int:
    assert part.energy_uj is not None
    return part.energy_uj


def boundary(watch: Watch, times: list[float] | None = None) -> Part:
    """The energy up to now, as a watch settles it; notes the moment in `times`."""
    at = time.monotonic()
    if times is not None:
        times.append(at)
    watch.post(at)
    return watch.part(at, time.monotonic() + 1.0)
