"""Small pieces of HTML for notebooks: nothing in them can run, and no style sheet is needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = "text-align:{};vertical-align:top;white-space:nowrap"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int]) -> str:
    """A table of text; columns are aligned to the right, but for those in `left`, by index.

    >>> table(["n"], [["<b>"]], left=[]).partition("<tbody>")[2]
    '<tr><td style="text-align:right;vertical-align:top;white-space:nowrap">&lt;b&gt;</td></tr></tbody></table>'
    """
    styles = [_STYLE.format("left" if index in left else "right") for index in range(len(heads))]

    def row(tag: str, start: str, cells: Sequence[str]) -> str:
        pairs = zip(cells, styles, strict=True)
        return "<tr>" + "".join(f'<{start} style="{style}">{escape(cell)}</{tag}>' for cell, style in pairs) + "</tr>"

    head = row("th", 'th scope="col"', heads)
    body = "".join(row("td", "td", cells) for cells in rows)
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def block(title: str, facts: str, table: str, below: Iterable[str]) -> str:
    """A table with a line above it, if there is a title, and lines below."""
    above = f"<p><strong>{escape(title)}</strong> · {escape(facts)}</p>" if title else ""
    return f'<div style="overflow-x:auto">{above}{table}{"".join(f"<p>{escape(line)}</p>" for line in below)}</div>'
