"""Runs and rankings in notebooks, as tables of HTML: nothing in them can run, and no style sheet is needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from lightning_pepr.cost import ENERGY, RESOURCES, in_words
from lightning_pepr.errors import PePRError

if TYPE_CHECKING:
    from lightning_pepr.record import RunRecord
    from lightning_pepr.runs.load import Runs

_LEFT = "text-align:left;vertical-align:top;white-space:nowrap"
_RIGHT = "text-align:right;vertical-align:top;white-space:nowrap"


def record_html(run: RunRecord) -> str:
    """A run as HTML: what it reached, and each cost with how it was had. `RunRecord._repr_html_` gives it."""
    rows = []
    for resource in RESOURCES:
        entry = run.costs.get(resource.field)
        if entry is None:
            continue
        value = "not measured" if entry.value is None else in_words(resource, entry.value, entry.error)
        scores = [epoch.scores[resource.score_key] for epoch in run.epochs if resource.score_key in epoch.scores]
        score = f"{scores[-1]:.3f} (best {max(scores):.3f})" if scores else ""
        about = "; ".join(filter(None, ("a lower bound" if entry.lower_bound else "", entry.reason)))
        rows.append((resource.name, value, entry.quality, score, about))
    stages = [
        f"{name} {in_words(ENERGY, stage.energy_uj / 3.6e12)}"
        for name, stage in run.stages.items()
        if stage.energy_uj is not None
    ]
    reached = []
    if run.best is not None:
        reached.append(f"{run.monitor} {run.best.performance:.4g} at epoch {run.best.epoch}")
    if run.test_performance is not None:
        reached.append(f"{run.test_monitor} {run.test_performance:.4g}")
    facts = [run.status, *reached, f"{len(run.evaluations)} evaluations", *([run.error] if run.error else [])]
    devices = dict.fromkeys(device.name for device in run.devices.values() if device.name)
    below = [
        *([f"Energy: {', '.join(stages)}."] if stages else []),
        *([f"On {', '.join(devices)}."] if devices else []),
    ]
    heads = ("", "cost", "quality", "PePR", "")
    return _block(run.model, " · ".join(facts), _table(heads, rows, left=(0, 2, 4)), below)


@dataclass(frozen=True, repr=False)
class Shown:
    """What a terminal shows as `text`, and a notebook as `html`."""

    text: str
    html: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def show(ranking: Runs, performance: str = "P", most: int = 50) -> Shown:
    """A ranking as the command line shows it, for a notebook: the columns that matter, in units to read.

    What `rank` returns is a polars DataFrame, which notebooks show as one: all columns, cut short.

    Args:
        ranking: What `rank` returned.
        performance: What to call the performance, such as "test AUROC".
        most: How many rows to show.

    Returns:
        Something that a notebook shows as a table of HTML, and a terminal as one of text.

    Raises:
        PePRError: If the table is no ranking.

    >>> from lightning_pepr import RunRecord, rank
    >>> from lightning_pepr.record import CostEntry
    >>> runs = [RunRecord(name, test_performance=p, costs={"energy_kwh": CostEntry(e)})
    ...         for name, p, e in (("small", 0.8, 0.1), ("large", 0.9, 0.3))]
    >>> "<td style" in show(rank(runs))._repr_html_()
    True
    """
    from lightning_pepr.report.table import LEFT, as_text, build_table, footnotes

    missing = [name for name in ("rank", "model", "performance") if name not in ranking.columns]
    if missing:
        raise PePRError(f"the table has no column {', '.join(missing)}; expected what lightning_pepr.rank returned.")
    table = build_table(ranking.head(most), performance)
    heads = [str(column.header) for column in table.columns]
    rows = zip(*(map(str, column.cells) for column in table.columns), strict=True)
    first = [f"The first {most} of {len(ranking)} runs."] if len(ranking) > most else []
    left = [index for index, head in enumerate(heads) if head in LEFT]
    return Shown(as_text(table), _block("", "", _table(heads, rows, left), [*first, *footnotes(ranking)]))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int]) -> str:
    styles = [_LEFT if index in left else _RIGHT for index in range(len(heads))]
    head = "".join(
        f'<th scope="col" style="{style}">{escape(text)}</th>' for text, style in zip(heads, styles, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{style}">{escape(text)}</td>' for text, style in zip(row, styles, strict=True))
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _block(title: str, facts: str, table: str, below: Iterable[str]) -> str:
    first = f"<p><strong>{escape(title)}</strong> · {escape(facts)}</p>" if title else ""
    return f'<div style="overflow-x:auto">{first}{table}{"".join(f"<p>{escape(line)}</p>" for line in below)}</div>'
