"""What is normal for a run: the median of its cohort, and how far from it the others are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

COHORT = ["group", "device", "_gpus"]  # runs whose mean powers compare

FEW, MANY = 3, 8  # runs that a reference takes at least, and runs that make a good one

_NORMAL = 1.2816  # standard deviations within which 8 of 10 are


def spread(amount: pl.Expr) -> list[pl.Expr]:
    """List number, median, and one standard deviation up and down, of the logarithm; one run in ten may be wrong."""
    log = amount.log()
    middle = log.median()
    return [
        log.count().cast(pl.Int64).alias("_n"),
        middle.alias("_mid"),
        ((log.quantile(0.9, "lower") - middle) / _NORMAL).alias("_up"),
        ((middle - log.quantile(0.1, "higher")) / _NORMAL).alias("_down"),
    ]


def normal_power(own: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """Find the `spread` of the powers in `own` that is normal for each run: of its cohort, its device, else of all."""
    frame = runs
    for i, level in enumerate((COHORT, COHORT[1:])):
        known = own.group_by(level).agg(spread(pl.col("_power")))
        known = known.select(*level, pl.struct("_n", "_mid", "_up", "_down").alias(f"_level_{i}"))
        frame = frame.join(known, on=level, how="left", nulls_equal=True, maintain_order="left")
    of_all = own.select(spread(pl.col("_power"))).select(pl.struct(pl.all()).alias("_level_2"))
    frame = frame.join(of_all, how="cross")
    levels = [pl.col(f"_level_{i}") for i in range(3)]
    enough = [pl.when(level.struct.field("_n") >= least).then(level) for least in (MANY, FEW) for level in levels]
    return frame.select("at", pl.coalesce(enough).alias("_known")).unnest("_known")


def far(amount: pl.Expr, within: Sequence[str], up: float, down: float, least: int = MANY) -> tuple[pl.Expr, pl.Expr]:
    """Whether an amount is far from the others of its cohort of at least so many, and their median.

    That is by a factor, and by standard deviations: more of them below, where small models leave a device idle.
    """
    n, middle, above, below = (each.over(within) for each in spread(amount))
    few = pl.when(n < 20).then(math.log(5 / 3)).otherwise(0.0)
    away = amount.log() - middle
    too_high = away > pl.max_horizontal(math.log(up) + few, 8 * above)
    too_low = -away > pl.max_horizontal(math.log(down) + few, 10 * below)
    return ((too_high | too_low) & (n >= least)).fill_null(False), middle.exp()


def positive(amount: pl.Expr) -> pl.Expr:
    """The amount where it is finite and above 0, else null."""
    return pl.when(amount.is_finite() & (amount > 0)).then(amount)
