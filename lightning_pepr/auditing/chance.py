"""Whether equal numbers in a column are repeats, or as many as its digits and its density bring about by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

JOULES = (1.0, 3.6e6)
"""How many of each unit in which energy is written a kWh is."""

_DIGITS = 12  # what arithmetic leaves of a number that was written with fewer
_WINDOWS = [10.0**-k for k in range(2, 12)]
_LIKELY = 1e-4  # that a column without repeats passes for one that has some
_SHARE = 0.05  # of the equal numbers may be so by chance
_CROWDED = 0.1  # of the numbers have the next one step away: so many are equal by chance, too
_COARSE = 1e5  # a number whose own step is so many times the column's was written with fewer digits


def repeated(values: pl.Series, within: pl.Series | None = None, units: Sequence[float] = (1.0,)) -> pl.Series:
    """Mark the numbers that stand more than once in a column, if these are too many to be so by chance.

    Neighbours that are almost equal tell how dense the numbers are, and their digits in what steps they come: 0.05 has
    steps of 0.01. Both together tell how many would be equal by chance. A number such as 0.05 kWh that was computed
    from 180,000 J has many digits, and a coarse step all the same, so steps are looked for in several units.
    """
    frame = pl.select(value=values, within=0 if within is None else within).with_row_index("at").sort("within", "value")
    x = frame["value"].to_numpy()
    same = (frame["within"].shift(1) == frame["within"]).fill_null(False).to_numpy()[1:]
    with np.errstate(over="ignore"):  # between the last of one and the first of the next
        gaps = np.where(same, 1.0 - x[:-1] / x[1:], np.inf)
    repeats = np.zeros(len(x), dtype=bool)
    equal = np.flatnonzero(gaps == 0)
    if len(equal):
        step = float(np.median(_steps(x[:: max(1, len(x) // 10_000)], units)))
        equal = equal[_steps(x[equal], units) <= _COARSE * step]
        if _are_more(len(equal), gaps[gaps > 0], step):
            repeats[frame["at"].to_numpy()[np.concatenate([equal, equal + 1])]] = True
    return pl.Series(repeats)


def _are_more(equal: int, near: NDArray[np.float64], step: float) -> bool:
    """Whether so many numbers that equal their neighbour are too many, the others being so near to theirs."""
    if not equal or step > _WINDOWS[0] / 10:  # the steps are too coarse to tell
        return False
    if (near <= 2 * step).sum() > _CROWDED * np.isfinite(near).sum():
        return False
    expected = step / _WINDOWS[0]  # of one more near neighbour than was seen, since there may have been none
    for window in (2 * step, 5 * step, *_WINDOWS):
        if window >= 2 * step:
            # Less the nearest of all, which is nearer than the others lead one to expect.
            expected = max(expected, (int((near <= window).sum()) - 1) * step / window)
    if expected > _SHARE * equal:
        return False
    return equal * (1.0 + math.log(expected / equal)) <= math.log(_LIKELY)  # Chernoff's bound on a Poisson variable


def _steps(values: NDArray[np.float64], units: Sequence[float]) -> NDArray[np.float64]:
    """Of each number one unit in the last decimal place that is not 0, relative to it; the largest over the units."""
    largest = np.zeros(len(values))
    for unit in units:
        scaled = np.clip(values * unit, 1e-200, 1e200)
        exponent = np.floor(np.log10(scaled))
        mantissa = np.rint(scaled / 10.0**exponent * 10.0 ** (_DIGITS - 1)).astype(np.int64)
        zeros = np.sum([mantissa % 10**k == 0 for k in range(1, _DIGITS)], axis=0)
        largest = np.maximum(largest, 10.0**zeros / mantissa)
    return largest
