"""Forecast what a whole run will cost from the epochs that are done, with an interval.

A run's epochs need not cost the same: they scatter, drift, stay expensive for a while, warm up, cost more where they
validate, or change at once because another job came to the machine. Three epochs do not show which of these it is. So
none is chosen: every combination of them is fitted, and weighted by how well it explains the epochs so far (Bayesian
model averaging; Hoeting et al., Statistical Science 14 (4), 1999, and for the changes Adams and MacKay, "Bayesian
Online Changepoint Detection", arXiv 0710.3742). Each fit is a linear regression in closed form:

    cost of an epoch = level + drift × its number + validation, in every nth + noise

over the epochs since the last change, with noise that is autocorrelated (AR(1)). What came before the change has a
level and a noise of its own, and does not bear on the future. The prior assumptions are below, relative to the level,
so that they hold in any unit, and to the length of the run, so that they hold for long epochs and short ones.

The fits are to the last `WINDOW` epochs alone, so that a forecast takes no longer the more epochs are done.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lightning_pepr.errors import PePRError
from lightning_pepr.functional import check_cost, check_never_falls

Array: TypeAlias = NDArray[np.float64]

# Standard deviations of an epoch's cost, of the level; finer steps change nothing. An epoch is a sum over many steps:
# more than a tenth is unusual.
NOISE = np.geomspace(0.001, 1.0, 8)
NOISE_PRIOR = 1.0 / (1.0 + (NOISE / 0.1) ** 2)
NOISE_PRIOR /= NOISE_PRIOR.sum()

# Of one epoch's noise with the next one's; the last is all but a random walk.
CORRELATION = np.array([0.0, 0.6, 0.95])
CORRELATION_PRIOR = np.array([0.4, 0.3, 0.3])

# Standard deviations of the drift over the whole run, of the level: next to none, or some.
DRIFT = np.array([0.03, 0.5])
DRIFT_PRIOR = np.array([0.5, 0.5])
DRIFT_CHANGE = 0.5  # by how much of itself the drift to come may differ from that seen, one standard deviation

CHANGE_PRIOR = 1.0  # how many changes at once there are in a whole run, relative to none
WARM_UP = 3  # epochs that a warm-up may have
WARM_UP_PRIOR = 0.15  # that it ends with any one of them, relative to none

PERIOD_PRIOR = {1: 0.6, 2: 0.1, 3: 0.1, 4: 0.1, 5: 0.1}  # how often some epochs cost more, if not given; 1 is never
WINDOW = 256  # epochs that are looked back at
VALIDATION = 0.25  # mean and standard deviation of what validation adds to an epoch before any is seen, of the level

SMALLEST_LEVEL = 1e-3  # what all this is relative to is no less than this share of the mean: epochs may cost nothing


class Forecast(NamedTuple):
    """What a whole run is expected to cost, in the unit of the costs that it was made from.

    Attributes:
        expected: The median of what is predicted: the run will as likely cost more as less.
        low: The lower end of the interval, never less than what is already spent.
        high: Its upper end.
        level: How likely the run's cost is to lie in the interval, in (0, 1): half of the rest is above, half below.
    """

    expected: float
    low: float
    high: float
    level: float

    def at_least(self, spent: float) -> Forecast:
        """The same once so much is spent.

        >>> Forecast(1.0, 0.8, 1.2, 0.9).at_least(1.1)
        Forecast(expected=1.1, low=1.1, high=1.2, level=0.9)
        """
        return Forecast(max(self.expected, spent), max(self.low, spent), max(self.high, spent), self.level)


def forecast(spent: Sequence[float], epochs: int, level: float = 0.9, period: int | None = None) -> Forecast | None:
    """Forecast what the whole run will cost from what its first epochs did.

    Only costs that add up can be forecast: energy, carbon, time and data, not peak memory or parameters. The interval
    allows for all that the module's docstring names. It does not allow for a change at once that is yet to come.

    Args:
        spent: All that was spent up to the end of each epoch so far, shape (n,), in any unit, never falling.
        epochs: How many epochs the run is to have in all, at least n.
        level: How likely the interval is to hold the run's cost, in (0, 1).
        period: Validation runs in every `period`-th epoch, counted from the run's first; 1 if no epoch is unlike the
            others. None if that is not known: periods of 1 to 5 are tried, and until enough is seen the interval
            allows for them.

    Returns:
        The forecast; after the last epoch it is what was spent. None after the first epoch alone, or before it, since
        one epoch does not show how much epochs differ.

    Raises:
        PePRError: If a cost is negative, NaN, infinite or less than the one before, there are more of them than
            `epochs`, or `level` or `period` is out of its range.

    >>> forecast([1.0], epochs=50) is None
    True
    >>> found = forecast([1.0, 2.02, 3.01, 4.03, 5.04], epochs=50)
    >>> f"{found.expected:.0f}, between {found.low:.0f} and {found.high:.0f}"
    '51, between 44 and 59'
    """
    return forecasts([spent], epochs, level, period)[0]


def forecasts(
    spent: Sequence[Sequence[float]], epochs: int, level: float = 0.9, period: int | None = None, first: int = 1
) -> list[Forecast | None]:
    """Forecast what the whole run will cost in several resources, as `forecast` does in one, and in about its time.

    Args:
        spent: Of each resource what `forecast` takes, shape (resources, n).
        epochs: Same as for `forecast`.
        level: Same as for `forecast`.
        period: Same as for `forecast`.
        first: The number of the epoch, from 1, at whose end the first amounts had been spent. The last `WINDOW` + 1 of
            a run give what all of them give.

    Returns:
        The forecast of each, within 1e-5 of what `forecast` gives.

    Raises:
        PePRError: As `forecast` raises it, and if the resources are not of as many epochs.
    """
    checked = [_check(each, epochs, level, period, first) for each in spent]
    if len({costs.size for costs in checked}) > 1:
        raise PePRError(f"spent is of {[costs.size for costs in checked]} epochs; expected as many of each resource.")
    total = np.array(checked)
    count = total.shape[-1]
    done, seen = first - 1 + count, min(WINDOW, count - (first > 1))  # the first amounts are of one epoch in the first
    if count == 0 or (seen < 2 and done < epochs):
        return [None] * len(checked)
    found: list[Forecast | None] = [Forecast(last, last, last, level) for last in total[:, -1].tolist()]
    if done == epochs:
        return found
    known = np.flatnonzero(total[:, -1] > 0.0)
    # Of all that was spent: without a unit.
    share = np.diff(total[known] / total[known, -1:], prepend=0.0)[:, -seen:]
    mean = share.mean(axis=1)
    known, share, mean = (each[mean > 0.0] for each in (known, share, mean))
    if known.size:
        tail = (1.0 - level) / 2.0
        rest = _quantiles(*_mix(share / mean[:, None], epochs, period, done), (tail, 0.5, 1.0 - tail))
        for index, unit, values in zip(known, mean, rest, strict=True):
            low, expected, high = (float(total[index, -1] * (1.0 + max(0.0, value) * unit)) for value in values)
            found[index] = Forecast(expected, low, high, level)
    return found


def _check(spent: Sequence[float], epochs: int, level: float, period: int | None, first: int) -> Array:
    """Return the costs as an array, or raise an error that names what `forecast` cannot take."""
    costs = np.asarray(check_cost(spent), dtype=np.float64)
    if costs.ndim != 1:
        raise PePRError(f"spent has shape {costs.shape}; expected one number for each epoch so far.")
    check_never_falls(costs, "spent", "index", "the end of each epoch")
    for name, value in (("epochs", epochs), ("period", 1 if period is None else period), ("first", first)):
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise PePRError(f"{name} is {value!r}; expected a whole number of epochs, at least 1.")
    if epochs < (done := first - 1 + costs.size):
        raise PePRError(f"epochs is {epochs!r}, and spent has {done} of them; expected those of the whole run.")
    if not 0.0 < level < 1.0:
        raise PePRError(f"level is {level!r}; expected a probability in (0, 1), such as 0.9.")
    return costs


def _mix(cost: Array, epochs: int, period: int | None, done: int) -> tuple[Array, Array, Array]:
    """Mix the predictions of all m models: weight, mean and standard deviation of a normal distribution of each.

    They are of shape (s, m); the cost of each of the last n of the `done` epochs is of shape (s, n), in units of their
    mean.
    """
    prior = PERIOD_PRIOR if period is None else {period: 1.0}
    parts = [_predict(cost, epochs, each, done) for each in prior]
    posterior = np.hstack([part[0] + math.log(share) for part, share in zip(parts, prior.values(), strict=True)])
    weight = np.exp(posterior - posterior.max(axis=1, keepdims=True))
    kept = (weight > 1e-7).any(axis=0)
    mean, variance = (np.hstack(each)[:, kept] for each in list(zip(*parts, strict=True))[1:])
    weight = weight[:, kept]
    return weight / weight.sum(axis=1, keepdims=True), mean, np.sqrt(variance)


def _predict(cost: Array, epochs: int, period: int, done: int) -> tuple[Array, Array, Array]:
    """The logarithm of how likely each model is, and mean and variance of its prediction of the rest; shapes (s, m)."""
    series, seen = cost.shape
    left = epochs - done
    # The regression's columns at the epochs that are seen, and their sums over the epochs to come. Drift is 0 now, and
    # 1 after as many epochs as the run has: then its size needs no unit.
    columns, to_come = [np.ones(seen), np.arange(1.0 - seen, 1.0) / epochs], [left, left * (left + 1) / 2 / epochs]
    if period > 1:
        columns.insert(1, np.arange(done - seen + 1, done + 1) % period == 0)
        to_come.insert(1, epochs // period - done // period)
    wide = len(columns)
    rows = np.empty((series, seen, wide + 1))
    rows[:, :, :wide] = np.column_stack(columns)
    rows[:, :, wide] = cost - 1.0

    lengths = _lengths(seen, done)  # how many epochs there are since the last change, in each model
    first = seen - lengths
    level = np.maximum(np.cumsum(cost[:, ::-1], axis=1)[:, lengths - 1] / lengths, SMALLEST_LEVEL)

    # From here on, axes are: series, correlation, change, noise, drift. Least squares on x(t) - r x(t - 1), and on the
    # first epoch × √(1 - r²), is what autocorrelated noise asks for; `_moments` are its sums of products.
    noise = (NOISE * level[..., None])[:, None, :, :, None]
    drift = DRIFT * level[:, None, :, None, None]
    # What is left of the last epoch's noise, summed, and the variance of what the epochs to come add to it: relative to
    # that noise, and to the variance of one step of it.
    r = CORRELATION
    ahead = r * (1 - r**left) / (1 - r)
    spread = (left - 2 * ahead + r**2 * (1 - r ** (2 * left)) / (1 - r**2)) / (1 - r) ** 2
    sums = np.array(to_come) - ahead[:, None] * rows[0, -1, :wide]  # the columns are those of all series

    # Bordered by the sums to come, so that elimination leaves the fit's error and the prediction in the corner. The
    # level is eliminated first, and the drift last: each brings an axis in, and the system is large only when few
    # columns are left of it.
    system = np.zeros((series, len(CORRELATION), len(lengths), 1, 1, wide + 2, wide + 2))
    system[..., : wide + 1, : wide + 1] = _moments(rows, first)[:, :, :, None, None]
    system[..., wide + 1, :wide] = system[..., :wide, wide + 1] = sums[:, None, None, None]
    likelihood = 0.5 * np.log(1.0 - r**2)[:, None, None, None] - (lengths[:, None, None] - 1) * np.log(noise)
    system, pivot, _ = _eliminate(system)
    likelihood = likelihood - 0.5 * np.log(pivot)
    if wide == 3:  # validation adds something; drift may go either way
        known, guess = (NOISE[:, None] / VALIDATION) ** 2, VALIDATION * level[:, None, :, None, None]
        system = np.repeat(system, len(NOISE), axis=3)
        system[..., 0, 0] += known
        system[..., 0, 2] += known * guess
        system[..., 2, 0] += known * guess
        system[..., 2, 2] += known * guess**2
        system, pivot, _ = _eliminate(system)
        likelihood = likelihood + 0.5 * np.log(known / pivot)
    else:
        system = np.repeat(system, len(NOISE), axis=3)
    system = np.repeat(system, len(DRIFT), axis=4)
    system[..., 0, 0] += (noise / drift) ** 2
    system, pivot, across = _eliminate(system)
    likelihood = likelihood + np.log(noise / drift) - 0.5 * np.log(pivot) - system[..., 0, 0] / (2.0 * noise**2)
    mean = left + (ahead * rows[:, -1:, wide])[..., None, None, None] - system[..., 1, 0]
    variance = noise**2 * (spread[:, None, None, None] - system[..., 1, 1])
    variance += (
        DRIFT_CHANGE * across[..., 1] / pivot * to_come[-1]
    ) ** 2  # the first of these is the drift that is seen

    # How likely the last change is to be that long ago; one length stands for those that are skipped, too.
    change = np.where(done - lengths <= WARM_UP, WARM_UP_PRIOR, np.diff(lengths, prepend=0) * (CHANGE_PRIOR / epochs))
    change[-1] = 1.0  # none
    prior = (
        np.log(CORRELATION_PRIOR)[:, None, None, None]
        + (_before(cost, first) + np.log(change))[:, None, :, None, None]
        + np.log(NOISE_PRIOR)[:, None]
        + np.log(DRIFT_PRIOR)
    )
    return (likelihood + prior).reshape(series, -1), mean.reshape(series, -1), variance.reshape(series, -1)


def _eliminate(system: Array) -> tuple[Array, Array, Array]:
    """A symmetric system without its first row and column, and that column's first entry and all of it."""
    pivot, across = system[..., 0, 0], system[..., 0]
    rest = across[..., 1:]
    return system[..., 1:, 1:] - rest[..., :, None] * (rest / pivot[..., None])[..., None, :], pivot, across


def _lengths(seen: int, done: int) -> NDArray[np.int64]:
    """How many epochs there may be since the last change: all short ones, ever fewer long ones, and warm-ups."""
    spaced = {round(1.3**power) for power in range(int(math.log(seen) / math.log(1.3)) + 1)}
    lengths = spaced | set(range(1, 9)) | set(range(done - WARM_UP, done + 1)) | {seen}
    return np.array(sorted(length for length in lengths if 1 <= length <= seen), dtype=np.int64)


def _moments(rows: Array, first: NDArray[np.int64]) -> Array:
    """Sums of products of the whitened rows from each of `first` on, for each correlation: shape (s, r, c, w, w)."""
    edges = [*first[::-1].tolist(), rows.shape[1]]
    across = rows.swapaxes(1, 2)

    def from_each(other: Array) -> Array:
        between = [across[:, :, begin:end] @ other[:, begin:end] for begin, end in itertools.pairwise(edges)]
        return np.cumsum(np.stack(between[::-1], axis=1), axis=1)

    previous = np.zeros_like(rows)
    previous[:, 1:] = rows[:, :-1]
    begin, end = rows[:, first], rows[:, -1:]
    cross = from_each(previous) - begin[..., :, None] * previous[:, first, None]
    ends = begin[..., :, None] * begin[..., None, :] + end[..., :, None] * end[..., None, :]
    r = CORRELATION[:, None, None, None]
    both = cross + cross.swapaxes(2, 3)
    return np.asarray((1 + r**2) * from_each(rows)[:, None] - r**2 * ends[:, None] - r * both[:, None])


def _before(cost: Array, first: NDArray[np.int64]) -> Array:
    """The logarithm of how likely the costs before each change are, by a level and noise of their own: shape (s, c)."""
    count = first[:-1]  # the last is 0: no change
    mean = np.cumsum(cost, axis=1)[:, count - 1] / count
    squares = np.maximum(np.cumsum((cost - 1.0) ** 2, axis=1)[:, count - 1] - count * (mean - 1.0) ** 2, 0.0)
    noise = np.maximum(mean, SMALLEST_LEVEL)[..., None] * NOISE
    each = (1 - count[:, None]) * np.log(noise) - squares[..., None] / (2 * noise**2)
    top = each.max(axis=2)
    evidence = np.log(np.exp(each - top[..., None]) @ NOISE_PRIOR)
    # A level may be anything up to twice the mean, which is what one more parameter costs in likelihood.
    return np.pad(top + evidence - 0.5 * np.log(count) + math.log(math.sqrt(2 * math.pi) / 2), ((0, 0), (0, 1)))


def _quantiles(weight: Array, mean: Array, deviation: Array, probability: Sequence[float]) -> list[list[float]]:
    """Quantiles of mixtures of normal distributions, by Newton's method, and by bisection where that leaps away."""
    wanted = np.array(probability)
    normal = np.array([NormalDist().inv_cdf(value) for value in probability])
    weight, mean, deviation = weight[:, None], mean[:, None], deviation[:, None]  # axes: series, quantile, component
    each = mean + deviation * normal[:, None]
    below, above = each.min(axis=2), each.max(axis=2)  # the mixture's quantile is among those of its components
    middle = (weight * mean).sum(axis=2)
    spread = np.sqrt((weight * (deviation**2 + (mean - middle[..., None]) ** 2)).sum(axis=2))
    at = np.clip(middle + normal * spread, below, above)
    height = weight / deviation / math.sqrt(2.0 * math.pi)
    for _ in range(100):
        z = (at[..., None] - mean) / deviation
        bell = np.exp(-0.5 * z**2)
        excess = (_normal_cdf(z, bell) * weight).sum(axis=2) - wanted
        below, above = np.where(excess < 0, at, below), np.where(excess < 0, above, at)
        newton = at - excess / np.maximum((bell * height).sum(axis=2), 1e-300)
        near = np.abs(newton - at) <= 1e-7 * np.abs(at)  # and to stay: a step of nothing is on the bracket's end
        at = np.where(near | ((below < newton) & (newton < above)), newton, (below + above) / 2)
        if near.all():
            break
    return [sorted(each) for each in at.tolist()]


def _normal_cdf(z: Array, bell: Array) -> Array:
    """The normal distribution function to 1e-7: Abramowitz and Stegun, 7.1.26. NumPy has none; `bell` is exp(-z²/2)."""
    t = 1.0 / (1.0 + 0.3275911 * np.abs(z) / math.sqrt(2.0))
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    tail = poly * bell / 2
    return np.where(z > 0, 1.0 - tail, tail)
