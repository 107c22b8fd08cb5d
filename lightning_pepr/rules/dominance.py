"""The rule about one model that sets the high of a space alone."""

from __future__ import annotations

import warnings

import polars as pl

from lightning_pepr.cost import CARBON, ENERGY, MEMORY, TIME, Resource
from lightning_pepr.rules.cohorts import FEW, positive, rounded
from lightning_pepr.rules.values import rankable

_DOMINANT = 3.0  # times the second
_MEASURED = (ENERGY, CARBON, TIME, MEMORY)


def dominant_high(runs: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """The one model that sets the high of its space alone, and the ranking without it.

    Args:
        runs: The prepared runs.
        table: The same as `load_runs` returned them, to rank.
    """
    dominant = (
        pl.concat([_largest(runs, resource) for resource in _MEASURED])
        .group_by("at", maintain_order=True)
        .agg(pl.col("group", "_told", "_field"))
    )
    without = [
        _without(runs, table, groups[0], Resource.of(fields[0]))
        for groups, fields in dominant.select("group", "_field").iter_rows()
    ]
    # A model that takes as long as it is dear may well be what it says.
    agrees = pl.col("_field").list.contains(TIME.field) & (pl.col("_field").list.len() > 1)
    return dominant.select(
        "at",
        evidence=pl.format(
            "it alone sets the high of {}{}",
            pl.col("_told").list.join(", "),
            pl.Series("_without", without, dtype=pl.String),
        ),
        confidence=pl.when(agrees).then(pl.lit("low")).otherwise(pl.lit("medium")),
    )


def _largest(runs: pl.DataFrame, resource: Resource) -> pl.DataFrame:
    """Of each group in which one model's largest cost is three times the next model's, the run that has it."""
    models = (
        runs.with_columns(_amount=positive(pl.col(resource.field)))
        .drop_nulls("_amount")
        .group_by("group", "_model")
        .agg(pl.col("_amount").max(), pl.col("at").sort_by("_amount").last(), pl.col("model").first())
    )
    largest = models.group_by("group").agg(
        pl.col("at").sort_by("_amount").last(),
        _first=pl.col("_amount").max(),
        _second=pl.col("_amount").top_k(2).min(),
        _next=pl.col("model").sort_by("_amount", descending=True).get(1, null_on_oob=True),
        _models=pl.len(),
    )
    times = pl.col("_first") / pl.col("_second")
    return largest.filter((pl.col("_models") >= FEW) & (times >= _DOMINANT)).select(
        "at",
        "group",
        _field=pl.lit(resource.field),
        _told=pl.format(
            f"{resource.name} ({{}} {resource.unit}, {{}} times the {{}} of {{}})",
            rounded(pl.col("_first")),
            rounded(times),
            rounded(pl.col("_second")),
            pl.col("_next").fill_null("the next"),
        ),
    )


def _without(runs: pl.DataFrame, table: pl.DataFrame, group: str | None, resource: Resource) -> str:
    """What the ranking of a group would be without the model that sets its high; empty if it cannot be ranked."""
    from lightning_pepr.ranking import leverage

    at = runs.filter(pl.col("group").eq_missing(pl.lit(group, dtype=pl.String)), rankable())["at"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ends = leverage(table[at].with_columns(group=pl.lit(group, dtype=pl.String)), by=resource)
    except ValueError:  # there is no performance to rank by
        return ""
    high = ends.filter(end="high")
    if high.is_empty():
        return ""
    end = high.row(0, named=True)
    changed, models, key = end["changed"], end["models"], f"PePR-{resource.letter}"
    if end["first"] == end["first_without"]:
        first = f"{end['first']} would be first as before"
    else:
        first = f"{end['first_without']} would be first of the others, not {end['first']}"
    return f"; without it {first} by {key}, and {changed} of the {models} others would change places"
