"""What a fit has reached and cost, in one line, when it ends."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from lightning_pepr.cost import CARBON, ENERGY, MEMORY, TIME, Resource, in_words
from lightning_pepr.record import RunRecord
from lightning_pepr.utilities.imports import is_installed
from lightning_pepr.utilities.text import printable

log = logging.getLogger("lightning_pepr.callbacks")


def one_line_summary(run: RunRecord, record: Path | None = None) -> str:
    """What a run reached, what that cost, how well it is known, its scores, and where its record is."""
    parts = []
    for resource in (ENERGY, CARBON, TIME, MEMORY):
        entry = run.costs.get(resource.field)
        if entry is not None and entry.value is not None:
            words = in_words(resource, entry.value, entry.error if resource is ENERGY else None)
            known = " estimated" if resource is ENERGY and entry.quality == "estimated" else ""
            parts.append(f"{'at least ' if entry.lower_bound else ''}{words}{known}")
        elif entry is not None and resource is ENERGY:
            parts.append("energy not measured")
    best, last = run.best, run.last
    reached = "no performance" if best is None else f"{run.monitor} {best.performance:.3f} at epoch {best.epoch}"
    if run.exceeded is not None:
        reached = f"no performance ({run.monitor} was {run.exceeded.performance:.4g} at epoch {run.exceeded.epoch})"
    line = [f"{run.model}: {reached} for {', '.join(parts) or 'nothing measured'}"]
    if last is not None:
        when = f" at epoch {last.epoch}" if last is not best else ""
        line += [f"PePR-{Resource.of(key).letter} {score:.3f}{when}" for key, score in last.known_scores.items()]
    if record is not None:
        line.append(str(record))
    return printable(" · ".join(line))


def show_line(line: str, quiet: bool = False) -> None:
    """Show a line in a terminal, by rich if it is installed; elsewhere, and if `quiet`, only log it."""
    if quiet or not sys.stderr.isatty():
        log.info(line)
    elif hasattr(sys.stderr, "rich_proxied_file") or not is_installed("rich"):
        print(line, file=sys.stderr)  # a bar of rich that is alive lets lines through above it in this way
    else:
        from rich.console import Console
        from rich.text import Text

        name, colon, rest = line.partition(":")  # names are text, whatever marks are in them
        text = Text.assemble((name, "bold"), colon, rest)
        Console(stderr=True, highlight=False).print(text, soft_wrap=True)
