"""The paper's equations, on plain numbers and on arrays of any library.

Selvan et al., "PePR: Performance Per Resource Unit as a Metric to Promote Small-Scale Deep Learning in
Medical Image Analysis", NLDL 2025, https://arxiv.org/abs/2403.12562.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightning_pepr.errors import PePRError

ArrayT = TypeVar("ArrayT")

PERFORMANCE_TOLERANCE = 1e-6
"""How far outside [0, 1] rounding may carry a performance before it is refused."""

PERFORMANCE_RANGE = (-PERFORMANCE_TOLERANCE, 1.0 + PERFORMANCE_TOLERANCE)


def is_performance(value: float) -> bool:
    """Whether a number is a performance: in [0, 1] but for rounding. NaN is not.

    >>> [is_performance(value) for value in (0.0, 1.0 + 1e-7, 87.5, math.nan)]
    [True, True, False, False]
    """
    return PERFORMANCE_RANGE[0] <= value <= PERFORMANCE_RANGE[1]


def normalize(cost: ArrayT, low: float, high: float) -> ArrayT:
    """Min-max normalise a cost over a model space: R = (cost - low) / (high - low), floored at 0.

    A run that has cost less than the cheapest model of the space has R = 0; a run more expensive than the whole
    space has R > 1, without a ceiling. The paper normalises over the space that it scores, where neither
    can happen.

    Args:
        cost: An amount of one resource, in the unit of `low` and `high`: a number, or an array of any
            shape (numpy, torch, pandas, polars; a list or tuple is taken for a numpy array).
        low: The cost of the cheapest model of the space.
        high: The cost of its most expensive model. If it equals `low`, R is 0 and a warning says so.

    Returns:
        R, without a unit, of the type and shape of `cost` (a number gives a float). Half precision is widened
        to single: its largest number is 65,504, and its smallest is more than some costs in kWh.

    Raises:
        PePRError: If a cost is negative, NaN or infinite, or the range is not finite and ascending.

    Source:
        R of section 3 of the paper.

    >>> normalize(3.0, low=1.0, high=5.0)
    0.5
    >>> normalize(np.array([0.5, 1.0, 9.0]), low=1.0, high=5.0)
    array([0., 0., 2.])
    """
    low, high = check_range(low, high)
    cost = check_cost(cost)
    if high == low:
        warnings.warn(
            f"low and high of the space are equal ({low!r}): R is 0 for every cost. "
            "A space needs at least two models that differ.",
            stacklevel=2,
        )
        return _clip(cost * 0.0)  # type: ignore[operator, no-any-return]
    return _clip((cost - low) / (high - low))  # type: ignore[operator, no-any-return]


def pepr(performance: ArrayT, resource: Any) -> ArrayT:
    """Performance per resource unit: PePR(R, P) = P / (1 + R).

    It equals P where R = 0, and P / 2 where R = 1.

    Args:
        performance: P in [0, 1], higher is better (accuracy, AUROC, Dice, …): a number, or an array.
            Up to 1e-6 outside is taken for rounding and clipped.
        resource: R >= 0 from `normalize`: a number, or an array that broadcasts with `performance`.

    Returns:
        The score, in [0, 1], without a unit.

    Raises:
        PePRError: If a performance is outside [0, 1] or NaN, or R is negative, NaN or infinite.

    Source:
        Equation 1 of the paper.

    >>> pepr(0.8, 0.0)
    0.8
    >>> pepr(0.8, 1.0)
    0.4
    """
    performance = check_performance(performance)
    resource = _check(resource, "R", "a finite number that is not negative, as `normalize` gives it", 0.0, math.inf)
    return performance / (1.0 + resource)  # type: ignore[no-any-return]


def above_baseline(performance: ArrayT, baseline: float) -> ArrayT:
    """Rescale a performance so that a trivial predictor scores 0: (P - P0) / (1 - P0), floored at 0.

    Plain PePR lets a predictor that costs nothing, such as one that always names the majority class, win.

    Args:
        performance: P in [0, 1]: a number, or an array.
        baseline: P0 in [0, 1), the performance of a trivial predictor.

    Returns:
        The share of the possible gain that was reached, of the type of `performance`.

    Raises:
        PePRError: If `performance` is outside [0, 1], or `baseline` outside [0, 1).

    >>> above_baseline(0.75, baseline=0.5)
    0.5
    >>> above_baseline(0.4, baseline=0.5)
    0.0
    """
    if not 0.0 <= baseline < 1.0:
        raise PePRError(
            f"baseline is {baseline!r}; expected a performance in [0, 1), such as the share of the majority class."
        )
    gained = check_performance(performance) - baseline  # type: ignore[operator]
    return _clip(gained / (1.0 - baseline))  # type: ignore[no-any-return]


def check_performance(performance: ArrayT) -> ArrayT:
    """Return P clipped to [0, 1], or raise an error that names the first value outside or NaN."""
    expected = "a number in [0, 1] where higher is better (accuracy, AUROC, Dice, …; divide percentages by 100)"
    performance = _check(performance, "performance", expected, *PERFORMANCE_RANGE)
    return _clip(performance, 1.0)  # type: ignore[no-any-return]


def check_cost(cost: ArrayT) -> ArrayT:
    """Return a cost fit for arithmetic, or raise an error that names the first negative or not finite."""
    return _check(cost, "cost", "a finite number that is not negative", 0.0, math.inf)  # type: ignore[no-any-return]


def check_never_falls(spent: NDArray[np.float64], name: str, place: str, each: str) -> None:
    """Raise unless amounts that were spent up to one moment after another never fall, as those of each alone do."""
    falls = np.flatnonzero(np.diff(spent) < 0)
    if falls.size:
        at = int(falls[0])
        raise PePRError(
            f"{name} falls from {float(spent[at])!r} to {float(spent[at + 1])!r} at {place} {at + 1}; expected all "
            f"that was spent up to {each}, not the cost of each epoch alone (use numpy.cumsum)."
        )


def pareto_front(performance: ArrayLike, cost: ArrayLike) -> NDArray[np.bool_]:
    """Find the models that no other beats: at least as good, at most as expensive, and better in one of both.

    Args:
        performance: P of each model, shape (n,), higher is better. NaN is never on the front.
        cost: The cost (or R) of each model, shape (n,), lower is better. NaN is never on the front.

    Returns:
        A mask of shape (n,): True on the front. Models that are equal in both are on it together.

    Raises:
        PePRError: If the shapes differ.

    >>> pareto_front([0.9, 0.8, 0.95, 0.8], [1.0, 2.0, 3.0, 0.5])
    array([ True, False,  True,  True])
    """
    p, c = to_numpy(performance), to_numpy(cost)
    if p.ndim != 1 or p.shape != c.shape:
        raise PePRError(
            f"performance has shape {p.shape} and cost {c.shape}; expected two sequences of the same length."
        )
    known = ~(np.isnan(p) | np.isnan(c))
    costs, at = np.unique(c[known], return_inverse=True)
    best = np.full(costs.shape, -np.inf)  # at each cost
    np.maximum.at(best, at, p[known])
    best_of_cheaper = np.concatenate(([-np.inf], np.maximum.accumulate(best)))
    front = np.zeros(p.shape, dtype=np.bool_)
    front[known] = (p[known] == best[at]) & (p[known] > best_of_cheaper[at])
    return front


def check_range(low: float, high: float) -> tuple[float, float]:
    """Return low and high as floats, or raise an error unless 0 <= low <= high, both finite."""
    low, high = float(low), float(high)
    if not (math.isfinite(low) and math.isfinite(high)) or low < 0.0:
        raise PePRError(f"low is {low!r} and high {high!r}; expected finite costs that are not negative.")
    if low > high:
        raise PePRError(f"low ({low!r}) is larger than high ({high!r}); expected low <= high. Swap the two?")
    return low, high


def _check(values: Any, name: str, expected: str, low: float, high: float) -> Any:
    """Return the values, fit for arithmetic, or raise an error that names the first that is not."""
    if isinstance(values, (list, tuple)):
        values = to_numpy(values)
    if values is None or isinstance(values, (str, bytes)):  # which numpy would read as numbers
        raise PePRError(f"{name} is {values!r}; expected {expected}.")
    try:
        array = to_numpy(values)
    except (TypeError, ValueError) as error:
        raise PePRError(f"{name} is {values!r}; expected {expected}.") from error
    bad = ~((array >= low) & (array <= high) & np.isfinite(array))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        at = f" at index {where[0] if len(where) == 1 else where}" if where else ""
        raise PePRError(f"{name} is {float(array[where])!r}{at}; expected {expected}.")
    return _widen(values)


def to_numpy(values: Any) -> NDArray[np.float64]:
    """Copy an array of any library, on any device, into numpy's double precision."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double()  # numpy has no bfloat16
    return np.asarray(values, dtype=np.float64)


def _widen(values: Any) -> Any:
    """Turn half precision into single, of the same library; anything else is left as it is."""
    if str(getattr(values, "dtype", "")).lower().removeprefix("torch.") not in ("float16", "bfloat16"):
        return values
    if hasattr(values, "detach"):
        return values.float()
    if hasattr(values, "astype"):  # numpy, pandas
        return values.astype(np.float32)
    import polars

    return values.cast(polars.Float32)


def _clip(values: Any, high: float = math.inf) -> Any:
    """Clip a number or an array at 0 and above; numpy, torch, pandas and polars all take the bounds by position."""
    return values.clip(0.0, high) if hasattr(values, "clip") else min(max(values, 0.0), high)
