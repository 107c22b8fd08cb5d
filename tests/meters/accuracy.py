"""How near the readings come to the truth, on the simulated driver: `python -m tests.meters.accuracy`."""

from __future__ import annotations

import json
import random
import statistics
import sys
import time

WINDOWS = """
from tests.meters.accuracy import windows
import json
print(json.dumps(windows(count={count}, low={low}, high={high}, wait={wait}, settle={settle})))
"""


def windows(count: int, low: float, high: float, wait: bool, settle: bool = True, seed: int = 1) -> dict:
    """Meter windows of random beginning and length, and compare them with the truth; run it in a `SimDriver`."""
    from lightning_pepr.meters import open_meter
    from tests.simnvml import SimDriver

    sim, rng = SimDriver.current(), random.Random(seed)
    found = []
    with open_meter(devices=[0]) as meter:
        key = next(key for key in meter.read().parts if key.startswith("gpu"))
        zero = time.monotonic() - meter.read(wait=False).time_s  # the meter's own clock, to some µs
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
            a, b = (meter.settle(a), meter.settle(b)) if settle else (a, b)
            part = (b - a).parts[key]
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


def main() -> None:
    from tests.simnvml import SimDevice, SimDriver

    cases = {
        "counter, 1 s": (SimDevice(), 100, 1.0, 1.1, True),
        "counter, 1 s, settled later": (SimDevice(), 100, 1.0, 1.1, False),
        "counter, 10 s": (SimDevice(), 20, 10.0, 10.1, True),
        "counter, jitter 5 ms": (SimDevice(jitter=0.005), 100, 1.0, 1.1, True),
        "power, 1 s": (SimDevice(counter=False), 100, 1.0, 1.1, True),
        "power, steady": (SimDevice(counter=False, low=200, high=200), 20, 1.0, 1.1, True),
        "power, 10 s": (SimDevice(counter=False), 20, 10.0, 10.1, True),
    }
    chosen = sys.argv[1:] or list(cases)
    for name in chosen:
        device, count, low, high, wait = cases[name]
        sim = SimDriver(device, latency=50e-6)
        found = sim.ask(WINDOWS.format(count=count, low=low, high=high, wait=wait, settle=True), timeout=600)
        print(f"{name:30}", json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in found.items()}))


if __name__ == "__main__":
    main()
