"""Whether equal numbers in a column are repeats, or as many as its digits and its density bring about by chance."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

_DIGITS = 12  # what a sum of floats leaves of a number that was written with fewer
_WINDOWS = [10.0**-k for k in range(2, 12)]
_LIKELY = 1e-4  # that a table without repeats passes for one that has some
_SHARE = 0.05  # of the equal numbers may be so by chance


def resolution(values: NDArray[np.float64], units: tuple[float, ...] = (1.0,)) -> float:
    """The step in which a column is written, relative to its values: 0.01 for two digits; the median over the values.

    A number such as 0.05 kWh that was computed from 180,000 J has many digits, and a coarse step all the same. So the
    step is looked for in several units.

    Args:
        values: Positive finite numbers.
        units: How many of each unit one of the column's is.

    >>> resolution(np.array([0.11, 0.52, 0.97])) < 0.1
    True
    >>> resolution(np.array([0.11234567, 0.52345678, 0.97456789])) < 1e-6
    True
    """
    if not len(values):
        return 1.0
    sample = values[:: max(1, len(values) // 10_000)]
    return float(np.median(np.max([_steps(sample * unit) for unit in units], axis=0)))


def _steps(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each value one unit in the last decimal place that is not 0, relative to the value."""
    exponent = np.floor(np.log10(values))
    mantissa = np.rint(values / 10.0**exponent * 10.0 ** (_DIGITS - 1)).astype(np.int64)
    zeros = np.zeros(len(values))
    for k in range(1, _DIGITS):
        zeros += mantissa % 10**k == 0
    return 10.0**zeros / mantissa


def are_repeats(values: pl.Series, within: pl.Series | None = None, units: tuple[float, ...] = (1.0,)) -> bool:
    """Whether the equal values of a column are too many to be so by chance.

    Neighbours that are almost equal tell how dense the values are, and their digits in what steps they come. Both
    together tell how many would be equal by chance.

    Args:
        values: Positive finite numbers.
        within: Only values that are alike in this are compared, such as those of one model.
        units: As of `resolution`.

    Returns:
        Whether there are equal ones, fewer than 1 in 20 of them are expected by chance, and as many as there are would
        be found by chance in fewer than 1 of 10,000 such columns.

    >>> are_repeats(pl.Series([0.123456789012, 0.123456789012, 0.345678901234]))
    True
    >>> are_repeats(pl.Series([0.1, 0.1, 0.3]))
    False
    """
    frame = pl.DataFrame({"value": values}).with_columns(pl.lit(0).alias("within") if within is None else within)
    frame = frame.drop_nulls().sort(frame.columns[1], "value")
    same = frame.to_series(1)
    x = frame["value"].to_numpy()
    if len(x) < 2:
        return False
    gaps = ((x[1:] - x[:-1]) / x[1:])[(same[1:] == same[:-1]).to_numpy()]
    equal = int((gaps == 0).sum())
    if not equal:
        return False
    step = resolution(x, units)
    near = gaps[gaps > 0]
    expected = 0.0
    for window in _WINDOWS:
        if window < 10 * step:
            break
        count = int((near <= window).sum()) + (window == _WINDOWS[0])  # one more: nobody has seen them all
        expected = max(expected, count * step / window)
    if expected == 0.0:  # the steps are too coarse to tell
        return False
    # Chernoff's bound on a Poisson variable.
    bound = equal * (1.0 + math.log(expected / equal))
    return expected <= _SHARE * equal and bound <= math.log(_LIKELY)
