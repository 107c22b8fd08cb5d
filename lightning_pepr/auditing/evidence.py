"""How the rules put into words what they found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import polars as pl

Check: TypeAlias = "tuple[pl.Expr, str, Sequence[pl.Expr | str]]"
"""What is wrong, a text, and what it tells: amounts, which are rounded, and columns, which are written as they are."""


def rounded(amount: pl.Expr) -> pl.Expr:
    """Write an amount with four digits."""
    return amount.round_sig_figs(4).cast(pl.String).str.strip_suffix(".0")


def sure_if(impossible: pl.Expr) -> pl.Expr:
    """Rate what is impossible as of high confidence, and the rest as of medium."""
    return pl.when(impossible.fill_null(False)).then(pl.lit("high")).otherwise(pl.lit("medium"))


def tell(
    runs: pl.DataFrame, checks: Sequence[Check], impossible: pl.Expr, *, separator: str = "; ", ending: str = ""
) -> pl.DataFrame:
    """Make a finding of each run that fails any of several checks, of high confidence if it is impossible."""
    columns, texts = {"_impossible": impossible}, []
    for i, (wrong, text, parts) in enumerate(checks):
        amounts = {f"_amount_{i}_{j}": part for j, part in enumerate(parts) if isinstance(part, pl.Expr)}
        columns |= {f"_wrong_{i}": wrong, **amounts}
        words = [part if isinstance(part, str) else rounded(pl.col(f"_amount_{i}_{j}")) for j, part in enumerate(parts)]
        texts.append(pl.when(f"_wrong_{i}").then(pl.format(text, *words)))
    # What is found is few runs of many: only these are written.
    return (
        runs.with_columns(**columns)
        .filter(pl.any_horizontal(f"_wrong_{i}" for i in range(len(checks))))
        .select(
            "at",
            evidence=pl.concat_str(texts, separator=separator, ignore_nulls=True) + ending,
            confidence=sure_if(pl.col("_impossible")),
        )
    )
