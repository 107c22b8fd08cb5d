"""How near the readings come to the truth, on the simulated driver: `python -m benchmarks.meter_accuracy`."""

from __future__ import annotations

import random
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

WINDOWS = """
from benchmarks.meter_accuracy import windows
import json
print(json.dumps(windows(count={count}, low={low}, high={high}, wait={wait})))
"""


def windows(count: int, low: float, high: float, wait: bool, seed: int = 1) -> dict:
    """Meter windows of random beginning and length, and compare them with the truth; run it in a `SimDriver`."""
    from lightning_pepr.meters import open_meter
    from tests.simnvml import SimDriver

    sim, rng = SimDriver.current(), random.Random(seed)
    found = []
    with open_meter(devices=[0]) as meter:
        key = next(key for key in meter.read().parts if key.startswith("gpu"))
        zero = meter._opened  # the origin of its clock, exactly: measured from here, a busy machine would shift it
        time.sleep(1.6)  # it has learnt by then, and sleeps
        asleep, pairs, total_calls = sim.calls(), [], 0
        for _ in range(count):
            time.sleep(rng.uniform(0.0, 0.25))
            a = meter.read(wait=wait)
            time.sleep(rng.uniform(low, high))
            pairs.append((a, meter.read(wait=wait)))
        time.sleep(0.3)
        total_calls = sim.calls() - asleep
        for a, b in pairs:
            part = (meter.settle(b) - meter.settle(a)).parts[key]
            truth = sim.truth(0, zero + a.time_s, zero + b.time_s)
            found.append((part.energy_j, part.error_j, truth))
    ratios = [energy / truth for energy, _, truth in found]
    return {
        "quality": part.quality.value,
        "bias": sum(e for e, _, _ in found) / sum(t for _, _, t in found) - 1,
        "deviation": statistics.stdev(ratios),
        "worst": max(abs(r - 1) for r in ratios),
        "covered": sum(abs(e - t) <= err for e, err, t in found) / count,
        "median_error": statistics.median(err / t for _, err, t in found),
        "calls_per_boundary": total_calls / (2 * count),
        "losses": part.losses,
    }


CASES: dict[str, dict] = {
    "counter, 1 s": {"count": 100, "low": 1.0, "high": 1.1, "wait": True},
    "counter, 1 s, settled later": {"count": 100, "low": 1.0, "high": 1.1, "wait": False},
    "counter, 10 s": {"count": 20, "low": 10.0, "high": 10.1, "wait": True},
    "counter, jitter of 5 ms": {"count": 100, "low": 1.0, "high": 1.1, "wait": True, "jitter": 0.005},
    "power, 1 s": {"count": 100, "low": 1.0, "high": 1.1, "wait": True, "counter": False},
    "power, 1 s, steady": {"count": 50, "low": 1.0, "high": 1.1, "wait": True, "counter": False, "wave": 0.0},
    "power, 10 s": {"count": 20, "low": 10.0, "high": 10.1, "wait": True, "counter": False},
}


def measure(name: str) -> dict:
    """Meter the windows of one case, in a process of its own."""
    from tests.simnvml import SimDevice, SimDriver

    case = dict(CASES[name])
    device = SimDevice(**{key: case.pop(key) for key in ("jitter", "counter", "wave") if key in case})
    return SimDriver(device, latency=50e-6).ask(WINDOWS.format(**case), timeout=900)


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
