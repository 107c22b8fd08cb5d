"""Columns of numbers as few bytes of text, which the page unpacks: rounded on it as Python rounds them."""

from __future__ import annotations

import base64
import gzip
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"

_STEPS = 50  # of a score in a thousandth: what is shown and, finer, what is drawn and sorted by
_UNKNOWN = 65535


def compress(text: str) -> str:
    """Text as base64 of its gzip stream, which is the same whenever it is made."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


class Arrays:
    """The columns of a page, each once: views of other groups or spaces share those that are equal."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], int] = {}

    def add(self, values: NDArray[Any]) -> int:
        """Keep a column, and return its place in `packed`."""
        packed = (values.dtype.str.lstrip("<|"), base64.b64encode(values.tobytes()).decode())
        return self._places.setdefault(packed, len(self._places))

    def packed(self) -> list[tuple[str, str]]:
        """The columns: numpy's name of the type, without its byte order (little), and base64 of the bytes."""
        return list(self._places)


def pack_integers(values: NDArray[Any]) -> NDArray[Any]:
    """Integers from 0 on in two bytes, or in four where that is too few."""
    return values.astype("<u2" if values.max(initial=0) <= _UNKNOWN else "<u4")


def pack_scores(values: Floats) -> NDArray[np.uint16]:
    """Numbers in [0, 1] in two bytes: the thousandths that Python's `:.3f` shows times 50, and the place within one.

    >>> pack_scores(np.array([0.0, 0.5625, 0.8, np.nan])).tolist()
    [25, 28149, 40025, 65535]
    """
    known = np.nan_to_num(values)
    shown = _thousandths(known)
    place = np.clip(np.floor((known * 1000 - shown) * _STEPS) + _STEPS // 2, 0, _STEPS - 1)
    return np.where(np.isnan(values), _UNKNOWN, shown * _STEPS + place).astype("<u2")


def pack_singles(values: Floats) -> NDArray[np.float32]:
    """Numbers from 0 on in four bytes, which round to the same three decimals, or, from 1,000 on, to six digits.

    >>> pack_singles(np.array([0.25, 12345.678])).tolist()
    [0.25, 12345.7001953125]
    """
    with np.errstate(over="ignore"):
        singles = np.minimum(values, np.finfo("<f4").max).astype("<f4")
    large = np.flatnonzero(singles >= 1000)
    singles[large] = [float(f"{value:.6g}") for value in singles[large].tolist()]
    shown = _thousandths(values)
    moved = (singles < 1000) & (_thousandths(singles.astype(np.float64)) != shown)
    return np.where(moved, shown / 1000, singles).astype("<f4")


def pack_halves(values: Floats) -> NDArray[np.float16]:
    """Numbers in two bytes with three digits, for lines and bars that no number is written beside."""
    return np.minimum(values, float(np.finfo("<f2").max)).astype("<f2")


def _thousandths(values: Floats) -> Floats:
    """Numbers in thousandths, rounded as Python rounds: ties, and what multiplying makes one, by its own `round`."""
    scaled = values * 1000
    rounded = np.rint(scaled)
    close = np.flatnonzero(np.abs(np.abs(scaled - rounded) - 0.5) < 1e-6)
    rounded[close] = [np.rint(round(value, 3) * 1000) for value in values[close].tolist()]
    return rounded
