"""Rankings in notebooks, as tables of HTML: nothing in them can run, and no style sheet is needed."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightning_pepr.errors import PePRError
from lightning_pepr.utilities import html
from lightning_pepr.utilities.text import open_console

if TYPE_CHECKING:
    from lightning_pepr.runs import Runs


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
    from lightning_pepr.report.table import LEFT, build_table, footnotes

    missing = [name for name in ("rank", "model", "performance") if name not in ranking.columns]
    if missing:
        raise PePRError(f"the table has no column {', '.join(missing)}; expected what lightning_pepr.rank returned.")
    table = build_table(ranking.head(most), performance)
    heads = [str(column.header) for column in table.columns]
    rows = zip(*(map(str, column.cells) for column in table.columns), strict=True)
    first = [f"The first {most} of {len(ranking)} runs."] if len(ranking) > most else []
    left = [index for index, head in enumerate(heads) if head in LEFT]
    text = io.StringIO()
    open_console("showing a table", text).print(table)
    return Shown(text.getvalue(), html.block("", "", html.table(heads, rows, left), [*first, *footnotes(ranking)]))
