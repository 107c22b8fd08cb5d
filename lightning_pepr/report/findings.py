"""Findings of the audit for a terminal: how many there are of each rule, and the first of them."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import polars as pl

from lightning_pepr.auditing import RULES
from lightning_pepr.cost import Resource
from lightning_pepr.runs import Runs
from lightning_pepr.utilities.text import open_console, printable, text_table

if TYPE_CHECKING:
    from rich.console import Console

_SHOWN = 5  # findings of a rule and a level
_LEVELS = ("high", "medium", "low")
_PURPOSE = "printing findings"
_WIDE = 500  # where nobody reads it at a width: do not break sentences


def print_findings(findings: pl.DataFrame, runs: Runs, file: IO[str] | None = None) -> None:
    """Print what `audit` found in the runs, abbreviated."""
    console = open_console(_PURPOSE, file, _WIDE)
    count = f"{len(runs):,} run{'s' * (len(runs) != 1)}"
    if findings.is_empty():
        console.print(f"Nothing found in {count}.")
        return
    of_high = findings.filter(confidence="high").select("source", "row", "group", "model").unique()
    console.print(
        f"{len(findings):,} finding{'s' * (len(findings) != 1)} in {count}; {len(of_high):,} of the runs "
        f"{'is' if len(of_high) == 1 else 'are'} rejected."
    )
    found = {rule: findings.filter(rule=rule) for rule in RULES}
    found = {rule: of_rule for rule, of_rule in found.items() if len(of_rule)}
    counts = {
        level: [f"{n:,}" if (n := len(of_rule.filter(confidence=level))) else "" for of_rule in found.values()]
        for level in _LEVELS
    }
    what = "what it finds"
    columns = {"rule": list(found), **counts, what: [RULES[rule] for rule in found]}
    console.print(text_table(columns, left=("rule", what), wrapped=(what,)))
    for rule, of_rule in found.items():
        _print_rule(rule, of_rule, console)


def print_changes(changes: pl.DataFrame, file: IO[str] | None = None) -> None:
    """Print what `ranking_changes` returned."""
    resource = Resource.of(changes["by"][0])
    amounts = {name: [f"{v:.4g}" if v is not None else "–" for v in changes[name]] for name in ("high", "high_after")}
    columns = {
        "group": [group or "all" for group in changes["group"]],
        "dropped": map(str, changes["dropped"]),
        "left": map(str, changes["models"]),
        "other rank": map(str, changes["changed"]),
        "first": [model or "–" for model in changes["first"]],
        "first then": [model or "–" for model in changes["first_after"]],
        f"high / {resource.unit}": amounts["high"],
        "high then": amounts["high_after"],
    }
    title = f"What that changes in the ranking by PePR-{resource.letter}"
    table = text_table(columns, left=("group", "first", "first then"), wrapped=columns, title=title)
    open_console(_PURPOSE, file, _WIDE).print(table)


def _print_rule(rule: str, found: pl.DataFrame, console: Console) -> None:
    """The first findings of a rule and of each level, the surest before the others."""
    place = pl.coalesce(pl.col("row").cast(pl.String), "source").fill_null("")
    shown = (
        found.with_columns(place.alias("row"), pl.col("group", "model").fill_null(""))
        .sort(pl.col("confidence").cast(pl.Enum(_LEVELS)), maintain_order=True)
        .filter(pl.int_range(pl.len()).over("confidence") < _SHOWN)
    )
    names = {"": "confidence", "group": "group", "row": "row", "model": "model", "evidence": "evidence"}
    if not found["group"].count():
        del names["group"]
    columns = {header: shown[name].cast(pl.String).to_list() for header, name in names.items()}
    console.print(text_table(columns, left=columns, wrapped=("model", "evidence"), title=rule))
    if len(found) > len(shown):
        counts = found.group_by("group", maintain_order=True).len()
        where = [f"{count:,} in {group or 'all'}" for group, count in counts.head(8).rows()] + ["…"] * (len(counts) > 8)
        console.print(printable(f"  … and {len(found) - len(shown):,} more of {rule}: {', '.join(where)}\n"))
