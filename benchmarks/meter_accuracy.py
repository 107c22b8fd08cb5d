"""How near the readings come to the truth, on the simulated driver: `python -m benchmarks.meter_accuracy`."""

from __future__ import annotations

import random
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

WINDOWS = """
from benchmarks.meter_accuracy import windows
import json
print(json.dumps(windows(count={count}, low={low}, high={high}, wait={wait}, seed={seed})))
"""


def windows(count: int, low: float, high: float, wait: bool, seed: int) -> dict[str, Any]:
    """Meter windows of random beginning and length, and compare them with the truth; run it in a `SimDriver`."""
    from lightning_pepr.meters import open_meter
    from tests.simnvml import SimDriver

    sim, rng = SimDriver.current(), random.Random(seed)
    found = []
    with open_meter(devices=[0]) as meter:
        key = next(key for key in meter.read().parts if key.startswith("gpu"))
        zero = meter._opened  # the origin of its clock, exactly: measured from here, a busy machine would shift it
        time.sleep(1.6)  # it has learnt by then, and sleeps
        asleep, pairs = sim.calls(), []
        for _ in range(count):
            time.sleep(rng.uniform(0.0, 0.25))
            a = meter.read(wait=wait)
            time.sleep(rng.uniform(low, high))
            pairs.append((a, meter.read(wait=wait)))
        time.sleep(0.3)
        calls = sim.calls() - asleep
        for a, b in pairs:
            part = (meter.settle(b) - meter.settle(a)).parts[key]
            truth = sim.truth(0, zero + a.time_s, zero + b.time_s)
            found.append((part.energy_j, part.error_j, truth, part.losses))
    return {"windows": found, "calls": calls}


CASES: dict[str, dict[str, Any]] = {  # the windows of a case come one after another in each of its processes
    "counter, 1 s": {"processes": 2, "count": 50, "low": 1.0, "high": 1.1, "wait": True},
    "counter, 1 s, settled later": {"processes": 2, "count": 50, "low": 1.0, "high": 1.1, "wait": False},
    "counter, 10 s": {"processes": 4, "count": 5, "low": 10.0, "high": 10.1, "wait": True},
    "counter, jitter of 5 ms": {"processes": 2, "count": 50, "low": 1.0, "high": 1.1, "wait": True, "jitter": 0.005},
    "power, 1 s": {"processes": 2, "count": 50, "low": 1.0, "high": 1.1, "wait": True, "counter": False},
    "power, 1 s, steady": {"count": 50, "low": 1.0, "high": 1.1, "wait": True, "counter": False, "wave": 0.0},
    "power, 10 s": {"processes": 4, "count": 5, "low": 10.0, "high": 10.1, "wait": True, "counter": False},
}


def measure(name: str) -> dict[str, Any]:
    """Meter the windows of one case, in processes of their own."""
    from tests.simnvml import SimDevice, SimDriver

    case = dict(CASES[name])
    device = {key: case.pop(key) for key in ("jitter", "counter", "wave") if key in case}

    def run(seed: int) -> Any:
        sim = SimDriver(SimDevice(**device), latency=50e-6)
        return sim.ask(WINDOWS.format(**case, seed=seed), timeout=900)

    processes = case.pop("processes", 1)
    with ThreadPoolExecutor(processes) as pool:
        parts = list(pool.map(run, range(1, processes + 1)))
    found = [window for part in parts for window in part["windows"]]
    ratios = [energy / truth for energy, _, truth, _ in found]
    return {
        "bias": sum(e for e, _, _, _ in found) / sum(t for _, _, t, _ in found) - 1,
        "deviation": statistics.stdev(ratios),
        "worst": max(abs(r - 1) for r in ratios),
        "covered": sum(abs(e - t) <= err for e, err, t, _ in found) / len(found),
        "median_error": statistics.median(err / t for _, err, t, _ in found),
        "calls_per_boundary": sum(part["calls"] for part in parts) / (2 * len(found)),
        "losses": sum(losses for _, _, _, losses in found),
    }


def main() -> None:
    """Print the table; all cases run side by side, since nearly all of their time is waiting."""
    names = sys.argv[1:] or list(CASES)
    print(f"{'':28} {'bias':>7} {'sd':>7} {'worst':>7} {'inside':>7} {'median error':>13} {'calls':>6}")
    with ThreadPoolExecutor(len(names)) as pool:
        for name, found in zip(names, pool.map(measure, names), strict=True):
            shares = [found[key] for key in ("bias", "deviation", "worst", "covered", "median_error")]
            columns = "{:7.2%} {:7.2%} {:7.2%} {:7.0%} {:13.2%}".format(*shares)
            print(f"{name:28} {columns} {found['calls_per_boundary']:6.1f}")


if __name__ == "__main__":
    main()
