"""The figures that the meters are to reach, on a square wave of 70 to 320 W; see `benchmarks/meter_accuracy.py`."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.meter_accuracy import CASES, measure

BOUNDS = {  # of the bias, the standard deviation, and the median of the stated error
    "counter, 1 s": (0.005, 0.018, 0.10),
    "counter, 1 s, settled later": (0.005, 0.018, 0.10),
    "counter, 10 s": (0.005, 0.0025, 0.015),
    "counter, jitter of 5 ms": (0.005, 0.02, 0.15),
    "power, 1 s": (0.005, 0.025, 0.10),
    "power, 1 s, steady": (0.005, 0.005, 0.10),
    "power, 10 s": (0.005, 0.01, 0.015),
}


@pytest.mark.alone
@pytest.mark.timeout(900)
def test_windows_are_as_near_to_the_truth_as_they_say() -> None:
    # In one test, so that the cases run side by side: nearly all of their time is waiting.
    with ThreadPoolExecutor(len(CASES)) as pool:
        found = dict(zip(CASES, pool.map(measure, CASES), strict=True))
    missed = []
    for case, (bias, deviation, median_error) in BOUNDS.items():
        figures = found[case]
        reached = {
            "bias": abs(figures["bias"]) <= bias,
            "deviation": figures["deviation"] <= deviation,
            "covered": figures["covered"] >= 0.99,
            "median_error": figures["median_error"] <= median_error,
            "losses": figures["losses"] == 0,
            "calls_per_boundary": "power" in case or figures["calls_per_boundary"] <= 12,
        }
        missed += [f"{case}: {name} is {figures[name]}" for name, ok in reached.items() if not ok]
    assert not missed
