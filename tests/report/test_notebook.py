"""What notebooks show of runs and rankings."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from lightning_pepr.ranking import rank
from lightning_pepr.report.notebook import show
from lightning_pepr.runs import load_runs
from tests.helpers.records import make_run, save_runs


class Reader(HTMLParser):
    """The cells of a table, row by row, and the tags that there are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


def test_names_are_text() -> None:
    name = "<script>alert(1)</script>"
    known = {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert Reader(show(rank([make_run(name, 1e6), make_run("other", 4e6)]))._repr_html_()).tags <= known


def test_a_ranking_shows_what_the_command_line_does(tmp_path: Path) -> None:
    ranking = rank(save_runs(tmp_path))
    view = show(ranking, performance="accuracy")
    head, *rows = Reader(view._repr_html_()).rows
    assert [row[head.index("model")] for row in rows] == ranking["model"].to_list()
    assert [row[head.index("PePR-E")] for row in rows] == [f"{score:.3f}" for score in ranking["pepr_e"]]
    assert "accuracy" in head
    assert "small" in repr(view)
    assert "The first 2 of 6 runs." in show(ranking, most=2)._repr_html_()


def test_a_table_that_is_no_ranking(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no column rank; expected what lightning_pepr\.rank returned"):
        show(load_runs(save_runs(tmp_path)))
