"""Text and tables from anywhere, as a terminal can take them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import IO, TYPE_CHECKING

from lightning_pepr.utilities.imports import require

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def printable(text: str) -> str:
    r"""Text as a terminal can take it: what would steer the terminal is replaced. Records come from anywhere.

    >>> printable("resnet\x1b[2J18")
    'resnet\ufffd[2J18'
    """
    return "".join(sign if sign.isprintable() or sign == "\n" else "\ufffd" for sign in text)


def say(text: object, file: IO[str] | None = None) -> None:
    """Print a line, in which nothing steers the terminal."""
    print(printable(str(text)), file=file, flush=True)


def open_console(purpose: str, file: IO[str] | None = None, width: int = 240) -> Console:
    """A console that prints names as they are, and is so wide that it cuts nothing off where there is no terminal."""
    how = {"file": file, "markup": False, "highlight": False}
    console: Console = require("rich.console", "cli", purpose).Console(**how)
    return console if console.is_terminal else type(console)(width=width, **how)  # type: ignore[arg-type]


def text_table(
    columns: Mapping[str, Iterable[str]],
    left: Container[str] = (),
    wrapped: Container[str] = (),
    title: str | None = None,
    bold: Iterable[bool] | None = None,
) -> Table:
    """A table of rich: the cells below each header, some columns flush left or wrapped, some rows bold."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for header in columns:
        table.add_column(
            header,
            justify="left" if header in left else "right",
            no_wrap=header not in wrapped,
            overflow="fold" if header in wrapped else "ellipsis",
        )
    rows = list(zip(*columns.values(), strict=True))
    for row, first in zip(rows, [False] * len(rows) if bold is None else bold, strict=True):
        table.add_row(*map(printable, row), style="bold" if first else None)
    return table
