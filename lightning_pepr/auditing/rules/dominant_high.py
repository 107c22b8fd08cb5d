"""The rule about one model that sets the high of a space alone."""

from __future__ import annotations

import warnings

import polars as pl

from lightning_pepr.auditing.cohorts import FEW, MANY, positive
from lightning_pepr.auditing.evidence import sentence
from lightning_pepr.cost import CARBON, ENERGY, MEMORY, TIME, Resource
from lightning_pepr.errors import PePRError
from lightning_pepr.ranking import leverage
from lightning_pepr.runs.checks import rankable, sets_space

_DOMINANT = 3.0  # times the second
_BEYOND = 2.0  # times the highest intensity of the others
_MEASURED = (ENERGY, CARBON, TIME, MEMORY)


def dominant_high(runs: pl.DataFrame, table: pl.DataFrame, doubted: pl.DataFrame) -> pl.DataFrame:
    """Find the model that sets the high of its space alone, and rank the `table` of the runs without it."""
    dominant = pl.concat([_largest(runs, resource) for resource in _MEASURED])
    dominant = dominant.group_by("group", "_model", maintain_order=True).agg(pl.first("at", "_field"), "_text")
    groups = dominant.select("group", "_field").rows()
    without = pl.Series([_without(runs, table, group, Resource.of(field)) for group, field in groups], dtype=pl.String)
    # A model whose costs fit each other, such as one that takes as long as its cost is high, may well be so.
    fits = pl.col("_power").is_not_null() & ~pl.col("at").is_in(doubted["at"].implode())
    return dominant.join(runs.select("at", "_power"), on="at", maintain_order="left").select(
        "at",
        evidence=pl.format("it alone sets the high of {}{}", pl.col("_text").list.join(", "), without),
        confidence=pl.when(fits).then(pl.lit("low")).otherwise(pl.lit("medium")),
    )


def _largest(runs: pl.DataFrame, resource: Resource) -> pl.DataFrame:
    """Find in each group the run that has the largest cost, if that is three times what any other model costs."""
    amounts = pl.col("_amount", "_energy", "_intensity")
    models = runs.filter(sets_space("group")).with_columns(_amount=positive(pl.col(resource.field)))
    models = models.drop_nulls("_amount")
    models = models.group_by("group", "_model").agg(
        amounts.max(), pl.col("at").sort_by("_amount").last(), pl.first("model")
    )
    models = models.sort("_amount")
    largest = models.group_by("group", maintain_order=True).agg(
        pl.last("at", "_model"),
        _models=pl.len(),
        _first=pl.last("_amount"),
        _second=pl.col("_amount").get(-2, null_on_oob=True),
        _next=pl.col("model").get(-2, null_on_oob=True),
        **{f"{name}_first": pl.last(name) for name in ("_energy", "_intensity")},
        **{f"{name}_others": pl.col(name).slice(0, pl.len() - 1).max() for name in ("_energy", "_intensity")},
    )
    times = pl.col("_first") / pl.col("_second")
    if resource is CARBON:
        # When a run was made, and with it the intensity within what the others have, is no property of its model.
        by_grid = (pl.col("_energy_first") < _DOMINANT * pl.col("_energy_others")) & (
            (pl.col("_intensity_first") < _BEYOND * pl.col("_intensity_others")) | (pl.col("_models") < MANY)
        )
        largest = largest.filter(~by_grid.fill_null(False))
    text = f"{resource.name} ({{~_first}} {resource.unit}, {{~_times}} times the {{~_second}} of {{_next}})"
    largest = largest.with_columns(_times=times, _next=pl.col("_next").fill_null("the next"))
    return largest.filter((pl.col("_models") >= FEW) & (times >= _DOMINANT)).select(
        "at", "group", "_model", _field=pl.lit(resource.field), _text=sentence(text)
    )


def _without(runs: pl.DataFrame, table: pl.DataFrame, group: str | None, resource: Resource) -> str:
    """Describe the ranking of a group without the model that sets its high; empty if it cannot be ranked."""
    at = runs.filter(pl.col("group").eq_missing(pl.lit(group, dtype=pl.String)), rankable())["at"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ends = leverage(table[at].with_columns(group=pl.lit(group, dtype=pl.String)), by=resource)
    except PePRError:  # there is no performance to rank by
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
