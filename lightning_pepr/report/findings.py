"""Findings of the audit for a terminal: how many there are of each rule, and the first of them."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from lightning_pepr.auditing import RULES
from lightning_pepr.cost import Resource
from lightning_pepr.runs import Runs
from lightning_pepr.utilities.text import printable

import polars as pl  # isort: skip, after sources, which says how to install it

if TYPE_CHECKING:
    from rich.console import Console

_SHOWN = 5  # findings of a rule
_LEVELS = ("high", "medium", "low")


def print_findings(findings: pl.DataFrame, runs: Runs, file: IO[str] | None = None) -> None:
    """Print what `audit` found, abbreviated.

    Args:
        findings: What `audit` returned.
        runs: What it looked at, as `load_runs` returned it.
        file: Where to; None is standard output.

    Raises:
        ModuleNotFoundError: If rich is not installed.
    """
    console = _console(file)
    count = f"{len(runs):,} run{'s' * (len(runs) != 1)}"
    if findings.is_empty():
        console.print(f"Nothing found in {count}.")
        return
    where = ["source", "row", "group", "model"]
    of_high = findings.filter(confidence="high").select(where).unique()
    console.print(
        f"{len(findings):,} finding{'s' * (len(findings) != 1)} in {count}; {len(of_high):,} of the runs "
        f"{'is' if len(of_high) == 1 else 'are'} condemned."
    )
    _print_summary(findings, console)
    for rule in RULES:
        found = findings.filter(rule=rule)
        if len(found):
            _print_rule(rule, found, console)


def print_changes(changes: pl.DataFrame, file: IO[str] | None = None) -> None:
    """Print what `ranking_changes` returned.

    Args:
        changes: One row for each group that loses a run.
        file: Where to; None is standard output.

    Raises:
        ModuleNotFoundError: If rich is not installed.
    """
    from rich import box
    from rich.table import Table

    console = _console(file)
    resource = Resource.of(changes["by"][0])
    title = f"What that changes in the ranking by PePR-{resource.letter}"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for header in (
        "group",
        "dropped",
        "left",
        "other rank",
        "first",
        "first then",
        f"high / {resource.unit}",
        "high then",
    ):
        table.add_column(header, justify="left" if header.startswith(("group", "first")) else "right", overflow="fold")
    for change in changes.iter_rows(named=True):
        high, then = (
            f"{amount:.4g}" if amount is not None else "–" for amount in (change["high"], change["high_after"])
        )
        table.add_row(
            change["group"] or "all",
            str(change["dropped"]),
            str(change["models"]),
            str(change["changed"]),
            change["first"] or "–",
            change["first_after"] or "–",
            high,
            then,
        )
    console.print(table)


def _print_summary(findings: pl.DataFrame, console: Console) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("rule", no_wrap=True)
    for level in _LEVELS:
        table.add_column(level, justify="right", no_wrap=True)
    table.add_column("what it finds")
    for rule, what in RULES.items():
        found = findings.filter(rule=rule)
        if len(found):
            counts = [len(found.filter(confidence=level)) for level in _LEVELS]
            table.add_row(rule, *(f"{count:,}" if count else "" for count in counts), what)
    console.print(table)


def _print_rule(rule: str, found: pl.DataFrame, console: Console) -> None:
    """The first findings of a rule, the surest before the others."""
    from rich import box
    from rich.table import Table

    found = found.sort(
        pl.col("confidence").replace_strict(dict(zip(_LEVELS, range(3), strict=True))), maintain_order=True
    )
    table = Table(box=box.SIMPLE_HEAD, title=rule, title_justify="left", title_style="bold")
    grouped = bool(found["group"].count())
    for header in ("", *(["group"] if grouped else []), "row", "model"):
        table.add_column(header, no_wrap=header != "model", overflow="fold")
    table.add_column("evidence")
    # Of each level some, so that the first ones do not hide the others.
    shown = found.filter(pl.int_range(pl.len()).over("confidence") < _SHOWN)
    for finding in shown.iter_rows(named=True):
        place = finding["source"] or "" if finding["row"] is None else str(finding["row"])
        groups = [finding["group"] or ""] if grouped else []
        cells = [finding["confidence"], *groups, place, finding["model"] or "", finding["evidence"]]
        table.add_row(*map(printable, cells))
    console.print(table)
    if len(found) > len(shown):
        console.print(f"  … and {len(found) - len(shown):,} more of {rule}: {_by_group(found)}\n")


def _by_group(found: pl.DataFrame) -> str:
    """How many findings each group has."""
    counts = found.group_by("group", maintain_order=True).len()
    told = [f"{count:,} in {group or 'all'}" for group, count in counts.head(8).rows()]
    return ", ".join([*told, *["…"] * (len(counts) > 8)])


def _console(file: IO[str] | None) -> Console:
    try:
        from rich.console import Console
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("printing findings needs rich: pip install 'lightning-pepr[cli]'") from error
    console = Console(file=file, highlight=False, markup=False)
    if not console.is_terminal:  # nobody reads it at a width: do not break sentences
        console = Console(file=file, highlight=False, markup=False, width=500)
    return console
