"""The figures that the meters are to reach, on a square wave of 70 to 320 W; see `accuracy.py`."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.meters.accuracy import CASES, measure

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def found():
    with ThreadPoolExecutor(len(CASES)) as pool:
        return dict(zip(CASES, pool.map(measure, CASES), strict=True))


@pytest.mark.parametrize(
    ("case", "bias", "deviation", "median_error"),
    [
        ("counter, 1 s", 0.005, 0.018, 0.10),
        ("counter, 1 s, settled later", 0.005, 0.018, 0.10),
        ("counter, 10 s", 0.005, 0.0025, 0.015),
        ("counter, jitter of 5 ms", 0.005, 0.018, 0.10),
        ("power, 1 s", 0.005, 0.025, 0.10),
        ("power, 1 s, steady", 0.005, 0.005, 0.10),
        ("power, 10 s", 0.005, 0.01, 0.015),
    ],
)
def test_windows_are_as_near_to_the_truth_as_they_say(found, case, bias, deviation, median_error):
    figures = found[case]
    assert abs(figures["bias"]) <= bias
    assert figures["deviation"] <= deviation
    assert figures["covered"] >= 0.99
    assert figures["median_error"] <= median_error
    assert figures["losses"] == 0
    if "counter" in case:
        assert figures["calls_per_boundary"] <= 12
