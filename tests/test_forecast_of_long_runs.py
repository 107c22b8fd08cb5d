"""A forecast of a long run takes no longer than that of a short one, and is as good."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.forecast import log_uniform
from lightning_pepr import forecast as module
from lightning_pepr.forecast import Forecast, forecast, forecasts


def test_ten_thousand_epochs() -> None:
    costs = 1.0 + 0.1 * np.random.default_rng(1).standard_normal(10_000)
    found = forecast(np.cumsum(costs[:9000]).tolist(), 10_000)
    assert found is not None
    assert found.low <= costs.sum() <= found.high
    assert (found.high - found.low) / found.expected < 0.01  # by the last `WINDOW` alone; all of them would give 0.002


@pytest.mark.parametrize("period", [1, 3, None])
def test_the_last_epochs_of_a_long_run_give_what_all_of_them_give(period: int | None) -> None:
    spent = [np.cumsum(1.0 + 0.1 * np.random.default_rng(i).standard_normal(700)).tolist() for i in range(2)]
    found = forecasts(spent, 1000, period=period)
    begin = 700 - module.WINDOW - 1
    assert forecasts([each[begin:] for each in spent], 1000, period=period, first=begin + 1) == found
    few = forecasts([each[-4:] for each in spent], 1000, period=period, first=697)
    assert [each is not None and each.low > spent[i][-1] for i, each in enumerate(few)] == [True, True]
    assert forecasts([each[-2:] for each in spent], 1000, period=period, first=699) == [None, None]
    assert forecasts([[7.0], [8.0]], 700, first=700) == [Forecast(7.0, 7.0, 7.0, 0.9), Forecast(8.0, 8.0, 8.0, 0.9)]
    with pytest.raises(ValueError, match="epochs is 700, and spent has 701 of them"):
        forecasts([[7.0, 8.0]], 700, first=700)


@pytest.mark.slow
@pytest.mark.parametrize("look", [300, 600, 900])
@pytest.mark.parametrize("kind", ["noise", "drift", "step", "validation"])
def test_long_runs_are_covered_too(kind: str, look: int) -> None:
    covered = []
    for index in range(100):
        rng, number = np.random.default_rng([7, look, index]), np.arange(1000)
        costs = {
            "noise": np.ones(1000),
            "drift": 1.0 + rng.uniform(-0.5, 0.5) * number / 1000,
            "step": np.where(number < rng.integers(1, 250), 1.0, log_uniform(rng, 0.5, 2.0)),
            "validation": np.where(number % 3 == 2, 1.3, 1.0),
        }[kind]
        costs = costs * (1.0 + log_uniform(rng, 0.005, 0.05) * rng.standard_normal(1000))
        found = forecast(np.cumsum(costs[:look]).tolist(), 1000, period=3 if kind == "validation" else 1)
        assert found is not None
        covered.append(found.low <= costs.sum() <= found.high)
    assert np.mean(covered) >= 0.85
