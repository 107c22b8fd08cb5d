"""The forecast of a whole run's cost: what it covers, what it is made of, and what it refuses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from benchmarks.forecast import CASES, EPOCHS, FAMILIES, LOOKS, OUTSIDE, Trace, judge, log_uniform, noisy
from lightning_pepr import forecast as module
from lightning_pepr.forecast import Forecast, forecast, forecasts
from tests.helpers.benchmarks import tables

MARGIN = 0.05
"""By how much the truth may be in the interval less often than stated."""

costs_of_epochs = st.lists(st.floats(0.0, 10.0), min_size=2, max_size=30)


def after(costs: Any, epochs: int, **more: Any) -> Forecast:
    """The forecast from what each epoch cost."""
    found = forecast(np.cumsum(costs).tolist(), epochs, **more)
    assert found is not None
    return found


# What it covers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "look"), CASES, ids=[f"{name}, after {look}" for name, look in CASES])
def test_the_interval_covers_the_truth_in_every_family(name: str, look: int) -> None:
    """On other draws than the benchmark's table, and than those that the method was tried on."""
    found = judge(FAMILIES[name], look, traces=500, seed=20261124)
    print(f"{name}, after {look}: {found.coverage:.1%} covered, median width {np.median(found.width):.1%}")
    assert found.coverage >= 0.9 - MARGIN


def saturating(rng: np.random.Generator, look: int) -> Trace:
    """A drift by up to 30 % that comes to an end."""
    settled = 1.0 - np.exp(-np.arange(EPOCHS) / rng.uniform(5.0, 30.0))
    return noisy(rng, 1.0 + rng.uniform(-0.3, 0.3) * settled)


def wandering(rng: np.random.Generator, look: int) -> Trace:
    """A random walk in steps of 0.2 to 2 %, and white noise."""
    return noisy(rng, np.exp(np.cumsum(log_uniform(rng, 0.002, 0.02) * rng.standard_normal(EPOCHS))))


def skewed(rng: np.random.Generator, look: int) -> Trace:
    """Lognormal noise of 5 to 40 %."""
    return Trace(rng.lognormal(0.0, log_uniform(rng, 0.05, 0.4), EPOCHS))


def level_warm_up(rng: np.random.Generator, look: int) -> Trace:
    """One or two epochs, both at up to three times the cost."""
    costs = np.ones(EPOCHS)
    costs[: int(rng.integers(1, 3))] *= rng.uniform(1.1, 3.0)
    return noisy(rng, costs)


def fading_warm_up(rng: np.random.Generator, look: int) -> Trace:
    """An excess that falls by a factor each epoch."""
    return noisy(rng, 1.0 + rng.uniform(0.1, 2.0) * rng.uniform(0.2, 0.6) ** np.arange(EPOCHS))


def cheap_first(rng: np.random.Generator, look: int) -> Trace:
    """A first epoch that was begun late, as after a resume."""
    costs = np.ones(EPOCHS)
    costs[0] = rng.uniform(0.3, 0.9)
    return noisy(rng, costs)


def just_stepped(rng: np.random.Generator, look: int) -> Trace:
    """A step exactly three epochs ago."""
    costs = np.ones(EPOCHS)
    costs[look - 3 :] *= log_uniform(rng, 0.5, 2.0)
    return noisy(rng, costs)


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize(
    "family", [saturating, wandering, skewed, level_warm_up, fading_warm_up, cheap_first, just_stepped]
)
def test_the_interval_covers_the_truth_of_runs_that_behave_otherwise(
    family: Callable[[np.random.Generator, int], Trace], look: int
) -> None:
    assert judge(family, look, traces=200, seed=5).coverage >= 0.9 - MARGIN


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_other_levels_cover_what_they_state(level: float) -> None:
    of_all = [judge(family, 10, traces=100, seed=11, level=level).coverage for family in FAMILIES.values()]
    assert min(of_all) >= level - MARGIN


def test_it_is_nearer_than_the_mean_of_epochs_where_epochs_differ_in_kind() -> None:
    for name in ("slow drift", "warm-up epochs", "step change"):
        found = judge(FAMILIES[name], 10, traces=100, seed=3)
        assert np.median(found.error) < np.median(found.mean_error) / 2, name


# What a user sees ---------------------------------------------------------------------------------------------------


def test_none_after_the_first_epoch() -> None:
    assert forecast([], 50) is None
    assert forecast([1.0], 50) is None
    assert forecast([1.0, 2.0], 50) is not None


@given(costs_of_epochs, st.floats(0.01, 0.99))
def test_after_the_last_epoch_it_is_what_was_spent(costs: list[float], level: float) -> None:
    spent = np.cumsum(costs).tolist()
    assert forecast(spent, len(spent), level) == Forecast(spent[-1], spent[-1], spent[-1], level)


def test_a_run_of_one_epoch_is_told_when_it_is_over() -> None:
    assert forecast([3.0], 1) == Forecast(3.0, 3.0, 3.0, 0.9)


@given(costs_of_epochs, st.integers(0, 1000), st.sampled_from([0.001, 0.5, 0.9, 0.999999]), st.sampled_from([None, 3]))
def test_the_interval_holds_what_is_expected_and_begins_at_what_is_spent(
    costs: list[float], left: int, level: float, period: int | None
) -> None:
    spent = np.cumsum(costs).tolist()
    found = forecast(spent, len(spent) + left, level, period)
    assert found is not None
    assert spent[-1] <= found.low <= found.expected <= found.high < math.inf
    assert found.level == level
    assert all(type(value) is float for value in found)


@given(
    st.lists(st.floats(0.1, 10.0), min_size=2, max_size=20),
    st.integers(1, 100),
    st.sampled_from([1e-300, 3e-9, 0.7, 1e6, 1e250]),
)
def test_the_unit_does_not_matter(costs: list[float], left: int, factor: float) -> None:
    spent = np.cumsum(costs)
    one, other = (forecast((spent * k).tolist(), len(costs) + left) for k in (1.0, factor))
    assert one is not None
    assert other is not None
    assert other[:3] == pytest.approx([value * factor for value in one[:3]], rel=1e-5)


@given(costs_of_epochs, st.integers(1, 100))
def test_a_higher_level_is_a_wider_interval(costs: list[float], left: int) -> None:
    found = [after(costs, len(costs) + left, level=level) for level in (0.5, 0.8, 0.9, 0.99)]
    slack = 1e-6 * found[-1].high
    for narrow, wide in itertools.pairwise(found):
        assert wide.low <= narrow.low + slack
        assert narrow.high <= wide.high + slack


@pytest.mark.parametrize(
    ("done", "period", "width"),
    [(3, 1, 0.06), (5, 1, 0.04), (10, 1, 0.02), (40, 1, 0.002), (5, None, 0.05), (10, None, 0.02), (40, None, 0.002)],
)
def test_equal_epochs_are_forecast_closely(done: int, period: int | None, width: float) -> None:
    found = after([0.1] * done, 50, period=period)
    assert found.expected == pytest.approx(5.0, rel=1e-3)
    assert found.low <= 5.0 <= found.high
    assert 0.0 < found.high - found.low < width * 5.0


@pytest.mark.parametrize("cost", [5e-324, 1e-310, 1e-200, 1, 10**30, 1e300])
def test_costs_of_any_size(cost: float) -> None:
    found = forecast([cost * count for count in (1, 2, 3, 4)], 8, period=1)
    assert found is not None
    assert found.expected == pytest.approx(8 * cost, rel=1e-6)


def test_integers_and_arrays_are_as_good_as_floats() -> None:
    spent = [3, 5, 9, 12]
    of_arrays = forecast(np.array(spent), np.int64(20))  # type: ignore[arg-type]
    assert forecast(spent, 20) == of_arrays == forecast([float(c) for c in spent], 20)


@given(
    st.integers(2, 20).flatmap(lambda n: st.lists(st.lists(st.floats(0.1, 10.0), min_size=n, max_size=n), max_size=3))
)
def test_several_at_once_are_as_each_alone(costs: list[list[float]]) -> None:
    spent = [np.cumsum(each).tolist() for each in costs]
    spent += [[0.0] * len(each) for each in spent[:1]]
    for found, each in zip(forecasts(spent, 50), spent, strict=True):
        alone = forecast(each, 50)
        assert found is not None
        assert alone is not None
        assert tuple(found) == pytest.approx(tuple(alone), rel=1e-5)


def test_several_at_once_at_the_ends_of_a_run() -> None:
    assert forecasts([], 50) == []
    assert forecasts([[1.0], [2.0]], 50) == [None, None]
    assert forecasts([[1.0, 2.0], [0.0, 0.0]], 2) == [Forecast(2.0, 2.0, 2.0, 0.9), Forecast(0.0, 0.0, 0.0, 0.9)]
    with pytest.raises(ValueError, match=r"spent is of \[2, 3\] epochs; expected as many of each resource"):
        forecasts([[1.0, 2.0], [1.0, 2.0, 3.0]], 50)


def test_epochs_that_cost_nothing() -> None:
    assert forecast([0.0, 0.0, 0.0], 50) == Forecast(0.0, 0.0, 0.0, 0.9)
    assert forecast([0.0], 50) is None
    found = after([5.0] + [0.0] * 9, 50)  # all of it in the first epoch
    assert found.low == 5.0
    assert found.expected == pytest.approx(5.0, rel=0.01)


def test_three_epochs_after_a_step_the_new_cost_counts() -> None:
    costs = [1.0, 1.01, 0.99, 1.0, 1.01, 1.0, 0.99, 1.5, 1.51, 1.49]
    found = after(costs, 50)
    truth = sum(costs) + 40 * 1.5
    assert found.low <= truth <= found.high
    assert found.expected == pytest.approx(truth, rel=0.02)
    assert found.low > sum(costs) / 10 * 50  # which is what the mean of epochs tells


def test_a_period_that_is_told_is_counted() -> None:
    costs = ([1.0] * 7 + [1.5]) * 7
    truth = sum(costs)
    found = after(costs[:11], 56, period=8)
    assert found.expected == pytest.approx(truth, rel=0.005)
    assert found.low <= truth <= found.high < found.low + 0.05 * truth


@pytest.mark.parametrize("period", [2, 3, 4, 5])
def test_a_short_period_that_is_not_told_is_found(period: int) -> None:
    costs = ([1.0] * (period - 1) + [1.5]) * 12
    found = after(costs[:11], len(costs))
    assert found.expected == pytest.approx(sum(costs), rel=0.005)
    assert found.high - found.low < 0.05 * sum(costs)


def test_a_period_that_is_yet_to_show_is_allowed_for() -> None:
    costs = [1.0, 1.001, 0.999]
    assert after(costs, 50, period=1).high < 53.0
    assert after(costs, 50, period=5).high > 55.0  # 50 epochs, and ten validations at half of one
    assert after(costs, 50).high > 54.0
    assert after(costs, 50, period=60) == pytest.approx(after(costs, 50, period=1), rel=1e-6)  # longer than the run


# What it is made of -------------------------------------------------------------------------------------------------


def reference(cost: np.ndarray, epochs: int, period: int) -> list[tuple[float, float, float]]:
    """The same models by their covariances: the logarithm of a weight, a mean and a variance for each.

    As in kriging: the epochs since the change and the sum of those to come are jointly normal, the level is unknown.
    """
    done, found = cost.size, []
    number = np.arange(1, epochs + 1)
    noise_prior = module.NOISE_PRIOR / module.NOISE_PRIOR.sum()
    lengths = module._lengths(done, done).tolist()
    models = itertools.product(range(3), lengths, range(8), range(2))
    changes = {
        length: module.CHANGE_PRIOR * (length - last) / epochs for last, length in itertools.pairwise([0, *lengths])
    }
    changes |= {length: module.WARM_UP_PRIOR for length in lengths if done - length <= module.WARM_UP} | {done: 1.0}
    for r, length, s, d in models:
        past, ahead = np.arange(done - length, done), np.arange(done, epochs)
        level = cost[past].mean()
        sigma, drift, guess = module.NOISE[s] * level, module.DRIFT[d] * level, module.VALIDATION * level
        slope = (number - done) / epochs
        checked = (number % period == 0).astype(float) if period > 1 else np.zeros(epochs)
        rho = module.CORRELATION[r]
        noise = sigma**2 / (1 - rho**2) * rho ** np.abs(number[:, None] - number)
        cov = noise + drift**2 * np.outer(slope, slope) + guess**2 * np.outer(checked, checked)
        y = cost[past] - guess * checked[past]
        inverse = np.linalg.inv(cov[np.ix_(past, past)])
        precision = inverse.sum()
        a = inverse.sum(axis=0) @ y / precision
        residual = inverse @ (y - a)
        cross = cov[np.ix_(ahead, past)].sum(axis=0)
        mean = (a + guess * checked[ahead]).sum() + cross @ residual
        unsaid = len(ahead) - cross @ inverse.sum(axis=0)
        variance = cov[np.ix_(ahead, ahead)].sum() - cross @ inverse @ cross + unsaid**2 / precision
        seen = drift**2 * slope[past] @ residual
        variance += (module.DRIFT_CHANGE * seen * slope[ahead].sum()) ** 2
        evidence = 0.5 * (np.linalg.slogdet(inverse)[1] - math.log(precision) - (y - a) @ residual)
        if length < done:
            before = cost[: done - length]
            spread = module.NOISE * before.mean()
            count, squares = before.size, ((before - before.mean()) ** 2).sum()
            each = spread ** (1.0 - count) / math.sqrt(count) * np.exp(-squares / (2 * spread**2))
            evidence += math.log(noise_prior @ each * math.sqrt(2 * math.pi) / 2)
        prior = module.CORRELATION_PRIOR[r] * noise_prior[s] * module.DRIFT_PRIOR[d]
        found.append((evidence + math.log(prior * changes[length]), mean, variance))
    return found


@pytest.mark.parametrize("period", [1, 3, None])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_mixture_is_that_of_the_models_covariances(seed: int, period: int | None) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.lognormal(0.0, 0.1, 7) * np.where(np.arange(7) < seed, 1.5, 1.0)
    cost /= cost.mean()
    weight, mean, deviation = (each[0] for each in module._mix(cost[None], 20, period, 7))
    periods = module.PERIOD_PRIOR if period is None else {period: 1.0}
    found = [(log + math.log(prior), *rest) for n, prior in periods.items() for log, *rest in reference(cost, 20, n)]
    logs, means, variances = np.array(found).T
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    for power in (1, 2):
        assert weight @ mean**power == pytest.approx(weights @ means**power, rel=1e-4)
    assert weight @ deviation == pytest.approx(weights @ np.sqrt(variances), rel=1e-4)
    assert weight.max() == pytest.approx(weights.max(), rel=1e-3)


def test_the_change_that_is_found_is_the_one_there_was() -> None:
    cost = np.array([1.0, 1.01, 0.99, 1.0, 1.01, 0.99, 2.0, 2.01, 1.99, 2.0])
    weight, mean, _ = (each[0] for each in module._mix(cost[None] / cost.mean(), 50, 1, 10))
    assert weight @ mean * cost.mean() == pytest.approx(40 * 2.0, rel=0.02)


@given(
    st.lists(
        st.tuples(st.floats(0.01, 1.0), st.floats(-100.0, 100.0), st.floats(0.001, 100.0)), min_size=1, max_size=9
    ),
    st.floats(0.001, 0.999),
)
def test_quantiles(parts: list[tuple[float, float, float]], probability: float) -> None:
    weight, mean, deviation = np.array(parts).T
    weight /= weight.sum()
    ((found,),) = module._quantiles(weight[None], mean[None], deviation[None], [probability])
    at = [NormalDist(m, s).cdf(found) for m, s in zip(mean, deviation, strict=True)]
    density = [NormalDist(m, s).pdf(found) for m, s in zip(mean, deviation, strict=True)]
    assume(weight @ density < 1e3)  # there a rounding of the quantile is more than one of its probability
    assert weight @ at == pytest.approx(probability, abs=1e-5)


@given(st.floats(-30.0, 30.0))
def test_the_normal_distribution_function(z: float) -> None:
    at = np.array([z])
    assert module._normal_cdf(at, np.exp(-0.5 * at**2))[0] == pytest.approx(NormalDist().cdf(z), abs=1.5e-7)


# What it refuses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spent", "more", "message"),
    [
        ([1.0, 0.5], {}, r"spent falls from 1\.0 to 0\.5 at index 1; .*use numpy\.cumsum"),
        ([1.0, math.nan], {}, r"cost is nan at index 1; expected a finite number"),
        ([1.0, math.inf], {}, r"cost is inf at index 1"),
        ([-1.0, 1.0], {}, r"cost is -1\.0 at index 0"),
        ([[1.0, 2.0]], {}, r"spent has shape \(1, 2\); expected one number for each epoch"),
        ([1.0, 2.0, 3.0], {"epochs": 2}, r"epochs is 2, and spent has 3 of them; expected those of the whole run"),
        ([], {"epochs": 0}, r"epochs is 0; expected a whole number of epochs, at least 1"),
        ([1.0, 2.0], {"epochs": -1}, r"epochs is -1; expected a whole number"),
        ([1.0, 2.0], {"epochs": 9.5}, r"epochs is 9\.5; expected a whole number"),
        ([1.0, 2.0], {"level": 0.0}, r"level is 0\.0; expected a probability in \(0, 1\), such as 0\.9"),
        ([1.0, 2.0], {"level": 1.0}, r"level is 1\.0; expected"),
        ([1.0, 2.0], {"level": 90}, r"level is 90; expected"),
        ([1.0, 2.0], {"level": math.nan}, r"level is nan; expected"),
        ([1.0, 2.0], {"period": 0}, r"period is 0; expected a whole number of epochs, at least 1"),
        ([1.0, 2.0], {"period": 2.5}, r"period is 2\.5; expected a whole number"),
    ],
)
def test_bad_input_is_named(spent: list[float], more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        forecast(spent, **{"epochs": 50, **more})


# The benchmark ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_benchmark_has_every_family_and_look() -> None:
    found = tables("forecast")
    assert list(found["Forecasts at 90 %"])[2:] == [f"{name}, after {look}" for name, look in CASES]
    assert all(len(row) == 6 or "---" in row for row in found["Forecasts at 90 %"].values())
    assert found["Outside of what it allows for"].keys() >= OUTSIDE.keys()
    assert "9,999 of 10,000" in found["What a forecast takes"]
