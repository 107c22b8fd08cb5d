"""Rankings in notebooks, as tables of HTML: nothing in them can run, and no style sheet is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_pepr.utilities import html

if TYPE_CHECKING:
    from lightning_pepr.runs import Runs


class RankingView:
    """A ranking that a notebook shows as the command line does: the columns that matter, in units to read.

    What `rank` returns is a polars DataFrame, which notebooks show as one: all columns, cut short. This wraps it, and
    changes nothing about it.

    Args:
        ranking: What `rank` returned.
        performance: What to call the performance, such as "test AUROC".
        most: How many rows to show.
    """

    def __init__(self, ranking: Runs, performance: str = "P", most: int = 50) -> None:
        self.ranking, self.performance, self.most = ranking, performance, most

    def _repr_html_(self) -> str:
        from lightning_pepr.report.table import LEFT, build_table, footnotes

        table = build_table(self.ranking.head(self.most), self.performance)
        heads = [str(column.header) for column in table.columns]
        rows = zip(*(map(str, column.cells) for column in table.columns), strict=True)
        left = [index for index, head in enumerate(heads) if head in LEFT]
        below = footnotes(self.ranking)
        if len(self.ranking) > self.most:
            below = [f"The first {self.most} of {len(self.ranking)} runs.", *below]
        return html.block("", "", html.table(heads, rows, left), below)

    def __repr__(self) -> str:
        import io

        from lightning_pepr.report.table import print_ranking

        text = io.StringIO()
        print_ranking(self.ranking.head(self.most), self.performance, file=text)
        return text.getvalue()


def show(ranking: Runs, performance: str = "P", most: int = 50) -> RankingView:
    """A ranking to look at in a notebook.

    Args:
        ranking: What `rank` returned.
        performance: What to call the performance, such as "test AUROC".
        most: How many rows to show.

    Returns:
        Something that a notebook shows as a table of HTML, and a terminal as one of text.

    Raises:
        ValueError: If the table is no ranking.

    >>> from lightning_pepr import RunRecord, rank
    >>> from lightning_pepr.record import CostEntry
    >>> runs = [RunRecord(name, test_performance=p, costs={"energy_kwh": CostEntry(e)})
    ...         for name, p, e in (("small", 0.8, 0.1), ("large", 0.9, 0.3))]
    >>> "<td style" in show(rank(runs))._repr_html_()
    True
    """
    missing = [name for name in ("rank", "model", "performance") if name not in ranking.columns]
    if missing:
        raise ValueError(f"the table has no column {', '.join(missing)}; expected what lightning_pepr.rank returned.")
    return RankingView(ranking, performance, most)
