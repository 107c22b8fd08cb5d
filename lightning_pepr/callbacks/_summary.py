"""What a fit has reached and cost, in one line, when it ends."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from lightning_pepr.cost import CARBON, ENERGY, MEMORY, TIME, in_words
from lightning_pepr.record import RunRecord
from lightning_pepr.utilities.text import printable

log = logging.getLogger(__name__)


def summarize(run: RunRecord, record: Path | None = None) -> str:
    """One line about a run: what it reached, what that cost, how well it is known, and its scores.

    Args:
        run: The run.
        record: Where its record is, if it was written.

    >>> from lightning_pepr.cost import Cost
    >>> from lightning_pepr.record import CostEntry, Epoch
    >>> cost = Cost(energy_kwh=0.0125, time_s=90.0)
    >>> run = RunRecord("resnet18", monitor="val_acc", epochs=[Epoch(0, 9, 0.5, cost, {"pepr_e": 0.4})])
    >>> run.costs = {"energy_kwh": CostEntry(0.0125, 0.00025, "counter"), "time_s": CostEntry(90.0, 0.0, "counter")}
    >>> summarize(run)
    'resnet18: val_acc 0.500 at epoch 0 for 12.5 Wh ±2.0 %, 1.50 min · PePR-E 0.400'
    """
    parts = []
    for resource in (ENERGY, CARBON, TIME, MEMORY):
        entry = run.costs.get(resource.field)
        if entry is None or entry.value is None:
            if resource is ENERGY and entry is not None:
                parts.append("energy not measured")
            continue
        words = in_words(resource, entry.value, entry.error if resource is ENERGY else None)
        known = " estimated" if resource is ENERGY and entry.quality == "estimated" else ""
        parts.append(f"{'at least ' if entry.lower_bound else ''}{words}{known}")
    best, last = run.best, run.last
    reached = "no performance" if best is None else f"{run.monitor} {best.performance:.3f} at epoch {best.epoch}"
    when = f" at epoch {last.epoch}" if last is not None and last is not best else ""
    scores = [] if last is None else [f"{_letters(key)} {score:.3f}{when}" for key, score in last.scores.items()]
    where = [] if record is None else [str(record)]
    told = f"{run.model}: {reached} for {', '.join(parts) or 'nothing measured'}"
    return printable(" · ".join([told, *scores, *where]))


def tell(line: str, quiet: bool = False) -> None:
    """Say a line: in a terminal by rich, if it is installed; elsewhere to the log, so that it is no litter.

    Args:
        line: What to say.
        quiet: Whether to say it to the log in a terminal, too.
    """
    if quiet or not sys.stderr.isatty():
        log.info(line)
        return
    if hasattr(sys.stderr, "rich_proxied_file"):  # a bar of rich is alive, and lets lines through above it in this way
        print(line, file=sys.stderr)
        return
    try:
        from rich.console import Console
        from rich.text import Text
    except ModuleNotFoundError:
        print(line, file=sys.stderr)
        return
    name, colon, rest = line.partition(":")  # names are text, whatever marks are in them
    text = Text.assemble((name, "bold"), colon, rest)
    Console(stderr=True, highlight=False).print(text, soft_wrap=True)


def _letters(key: str) -> str:
    return f"PePR-{key.removeprefix('pepr_').upper()}"
