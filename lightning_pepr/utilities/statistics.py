"""Limits of what was found in samples."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

CONFIDENCE = 0.95
"""The level of every interval."""

_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def wilson(performance: pl.Expr, samples: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """The limits of a share that was found in so many samples: Wilson's, at 95 %.

    They are not 0 and 1 where all or none were right. For what is no share of samples, such as AUROC or Dice, they
    are an approximation. Where the number of samples is null, they are the share itself.

    Source:
        E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209–212.
    """
    import polars as pl

    inverse = (1.0 / samples).fill_null(0.0)
    middle = (performance + _Z**2 / 2 * inverse) / (1 + _Z**2 * inverse)
    spread = performance * (1 - performance) * inverse + _Z**2 / 4 * inverse**2
    half = _Z * spread.sqrt() / (1 + _Z**2 * inverse)
    # Rounding must not put a share outside of its own limits.
    return (
        pl.min_horizontal(performance, middle - half).clip(0.0),
        pl.max_horizontal(performance, middle + half).clip(upper_bound=1.0),
    )
