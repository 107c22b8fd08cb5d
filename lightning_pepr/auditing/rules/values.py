"""Rules about single values: costs that are none, performances out of range, estimates among measurements."""

from __future__ import annotations

import polars as pl

from lightning_pepr.cost import ENERGY, MEMORY, RESOURCES, TIME
from lightning_pepr.functional import PERFORMANCE_TOLERANCE

COSTS = [resource.field for resource in RESOURCES]
PERFORMANCES = ["performance", "val_performance", "last_performance"]

_KINDS = {"counter": "measured", "integrated": "measured", "estimated": "estimated"}


def not_positive(runs: pl.DataFrame) -> pl.DataFrame:
    """Costs that are no cost. Rows with one that `rank` refuses, or that says that nothing was spent, are condemned."""
    told, worst = [], []
    for resource in RESOURCES:
        amount = pl.col(resource.field)
        impossible = ~amount.is_finite() | (amount < 0)
        told.append(pl.when(impossible | (amount == 0)).then(pl.format(f"{resource.field} is {{}}", amount)))
        worst.append(impossible | ((amount == 0) if resource in (ENERGY, TIME, MEMORY) else False))
    return (
        runs.filter(pl.any_horizontal(each.is_not_null() for each in told))
        .with_columns(
            evidence=pl.concat_str(told, separator=", ", ignore_nulls=True)
            + "; expected a finite amount above 0, or an empty cell where it was not measured",
            confidence=sure_if(pl.any_horizontal(each.fill_null(False) for each in worst)),
        )
        .select("at", "evidence", "confidence")
    )


def performance_range(runs: pl.DataFrame) -> pl.DataFrame:
    """Performances that are none: `rank` refuses them."""
    slack = PERFORMANCE_TOLERANCE
    told = []
    for name in PERFORMANCES:
        p = pl.col(name)
        hint = pl.when(p.is_between(1, 100, closed="right")).then(pl.lit(" (a percentage?)")).otherwise(pl.lit(""))
        # A NaN is in no range.
        bad = p.is_not_null() & ~p.is_between(-slack, 1 + slack).fill_null(False)
        told.append(pl.when(bad).then(pl.format(f"{name} is {{}}{{}}", p, hint)))
    return (
        runs.filter(pl.any_horizontal(each.is_not_null() for each in told))
        .with_columns(
            evidence=pl.concat_str(told, separator=", ", ignore_nulls=True)
            + "; expected a number in [0, 1] where higher is better",
            confidence=pl.lit("high"),
        )
        .select("at", "evidence", "confidence")
    )


def mixed_quality(runs: pl.DataFrame) -> pl.DataFrame:
    """Groups in which some energy was measured and some estimated; told at the first run of the rarer kind."""
    kind = pl.col("quality").replace_strict(_KINDS, default=None, return_dtype=pl.String)
    kinds = (
        runs.drop_nulls("energy_kwh")
        .with_columns(_kind=kind)
        .drop_nulls("_kind")
        .group_by("group", "_kind")
        .agg(pl.len().alias("_count"), pl.col("at").min())
        .sort("_count", "_kind")
    )
    mixed = kinds.group_by("group", maintain_order=True).agg("at", "_kind", "_count")
    return mixed.filter(pl.col("_kind").list.len() > 1).select(
        pl.col("at").list.first(),
        evidence=pl.format(
            "energy is {} in {} runs, this the first of them, and {} in {}; an estimate may be off by half, and R "
            "takes the two for alike",
            pl.col("_kind").list.first(),
            pl.col("_count").list.first(),
            pl.col("_kind").list.last(),
            pl.col("_count").list.last(),
        ),
        confidence=pl.lit("medium"),
    )


def rankable() -> pl.Expr:
    """Whether `rank` takes a run."""
    slack = PERFORMANCE_TOLERANCE
    costs = [(pl.col(name).is_finite() & (pl.col(name) >= 0)).fill_null(True) for name in COSTS]
    performances = [pl.col(name).is_between(-slack, 1 + slack).fill_null(True) for name in PERFORMANCES]
    return pl.all_horizontal(*costs, *performances)


def sure_if(impossible: pl.Expr) -> pl.Expr:
    """High confidence of what is impossible, and medium of the rest."""
    return pl.when(impossible.fill_null(False)).then(pl.lit("high")).otherwise(pl.lit("medium"))
