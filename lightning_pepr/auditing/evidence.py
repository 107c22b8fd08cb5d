"""How the rules put into words what they found."""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl


def rounded(amount: pl.Expr) -> pl.Expr:
    """Write an amount with four digits."""
    return amount.round_sig_figs(4).cast(pl.String).str.strip_suffix(".0")


def sentence(template: str) -> pl.Expr:
    """Fill columns into a template: `{name}` as it is, and `{~name}` with four digits."""
    fields = re.findall(r"\{(~?)(\w+)\}", template)
    values = [rounded(pl.col(name)) if short else pl.col(name) for short, name in fields]
    return pl.format(re.sub(r"\{~?\w+\}", "{}", template), *values)


def sure_if(impossible: pl.Expr) -> pl.Expr:
    """Rate what is impossible as of high confidence, and the rest as of medium."""
    return pl.when(impossible.fill_null(False)).then(pl.lit("high")).otherwise(pl.lit("medium"))


def tell(
    runs: pl.DataFrame,
    checks: Sequence[tuple[pl.Expr, str]],
    impossible: pl.Expr,
    *,
    separator: str = "; ",
    ending: str = "",
) -> pl.DataFrame:
    """Make a finding of each run that fails any of some checks, each of which has a template for a `sentence`."""
    wrong = {f"_wrong_{i}": check for i, (check, _) in enumerate(checks)}
    texts = [pl.when(name).then(sentence(text)) for name, (_, text) in zip(wrong, checks, strict=True)]
    # What is found is few runs of many: only these are written.
    found = runs.with_columns(_impossible=impossible, **wrong).filter(pl.any_horizontal(*wrong))
    evidence = pl.concat_str(texts, separator=separator, ignore_nulls=True) + ending
    return found.select("at", evidence=evidence, confidence=sure_if(pl.col("_impossible")))
