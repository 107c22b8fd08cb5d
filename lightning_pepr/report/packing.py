"""Columns of numbers as few bytes of text, which the page unpacks: rounded on it as Python rounds them."""

from __future__ import annotations

import base64
import gzip
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"

_STEPS = 50  # of a score within the thousandth that is shown: for drawing and sorting
_UNKNOWN = 65535


def compress(text: str) -> str:
    """Text as base64 of its gzip stream, which is the same whenever it is made."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def pack(values: Array) -> tuple[str, str]:
    """A column as numpy's name of its type, without the byte order (little), and base64 of its bytes."""
    return values.dtype.str.lstrip("<|"), base64.b64encode(values.tobytes()).decode()


def pack_integers(values: Array) -> Array:
    """Integers from 0 on in two bytes, or in four where that is too few."""
    return values.astype("<u2" if values.max(initial=0) <= _UNKNOWN else "<u4")


def pack_scores(values: Array) -> Array:
    """Numbers from 0 to 1.3 in two bytes: the thousandths that `:.3f` shows times 50, and the place within one.

    >>> pack_scores(np.array([0.0, 0.5625, 0.8, np.nan])).tolist()
    [25, 28149, 40025, 65535]
    """
    known = np.nan_to_num(values)
    shown = _thousandths(known)
    place = np.clip(np.floor((known * 1000 - shown) * _STEPS) + _STEPS // 2, 0, _STEPS - 1)
    return np.where(np.isnan(values), _UNKNOWN, shown * _STEPS + place).astype("<u2")


def pack_ratios(values: Array) -> Array:
    """Numbers from 0 on that round to the same three decimals: small ones as scores, others in four bytes or eight."""
    largest = values.max(initial=0)
    if largest < 1.3:
        return pack_scores(values)
    if largest >= 1000:
        return values.astype("<f8")
    shown, short = _thousandths(values), trim(values, 16)
    return np.where(_thousandths(short.astype(np.float64)) == shown, short, shown / 1000).astype("<f4")


def trim(values: Array, bits: int) -> Array:
    """Numbers in four bytes, rounded to that many binary digits: the zeros behind them compress."""
    rest = 24 - bits
    whole = values.astype("<f4").view("<u4") + (1 << rest >> 1)
    return (whole >> rest << rest).view("<f4")


def _thousandths(values: Array) -> Array:
    """Numbers in thousandths, rounded as Python rounds: ties, and what multiplying makes one, by its own `round`."""
    scaled = values * 1000
    rounded: Array = np.rint(scaled)
    close = np.flatnonzero(np.abs(np.abs(scaled - rounded) - 0.5) < 1e-6)
    rounded[close] = [np.rint(round(value, 3) * 1000) for value in values[close].tolist()]
    return rounded
