"""What every figure shares: widths and fonts of print, files that print well, and text that is not cut off."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lightning_pepr.cost import OF_WHAT, PARAMS, TIME, Resource, unit_for
from lightning_pepr.errors import PePRError
from lightning_pepr.figures.palette import LIGHT, MARKERS, order_categories
from lightning_pepr.space import ModelSpace
from lightning_pepr.utilities.files import write_whole

Width: TypeAlias = "Literal['column', 'page'] | float"
"""Of a figure: one column of a page of two, the whole page, or so many inches."""

# In inches: they fit the usual templates of two columns (ICML's and NLDL's as they are, IEEE's with a margin).
WIDTHS = {"column": 3.25, "page": 6.75}

_FILE: dict[Any, Any] = {
    "pdf.fonttype": 42,  # TrueType, whole letters: many publishers refuse matplotlib's usual Type 3
    "ps.fonttype": 42,
    "svg.hashsalt": "lightning-pepr",  # the same picture is the same file
    "savefig.bbox": "standard",  # "tight" would change the width
    "savefig.facecolor": "auto",
}
_NO_DATE: dict[str, dict[str, Any]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


class PrintFigure(Figure):
    """A figure of a fixed width that belongs to no window, and whose files are fit for print.

    A PDF is drawn in lines and letters, its fonts embedded as TrueType (Type 42). The same figure is the same file.
    """

    def __init__(self, width: Width, height: float | None = None) -> None:
        inches = WIDTHS.get(width) if isinstance(width, str) else width
        if not isinstance(inches, (int, float)) or not 1.5 <= inches <= 40:
            raise PePRError(
                f"width is {width!r}; expected 'column' (3.25 in), 'page' (6.75 in) or inches, from 1.5 to 40."
            )
        super().__init__(figsize=(inches, height or inches), dpi=200, layout="constrained", facecolor=LIGHT.background)
        FigureCanvasAgg(self)
        self.inches = float(inches)
        self.points = 7.0 if inches < 4.5 else 8.0 if inches < 7.5 else 9.0  # of text; notes are one point smaller

    def savefig(self, fname: Any, **options: Any) -> None:
        """Write the figure; see `matplotlib.figure.Figure.savefig`."""
        path = fname if isinstance(fname, (str, Path)) else ""
        undated = _NO_DATE.get(f".{options['format']}" if "format" in options else Path(path).suffix.lower(), {})
        options["metadata"] = {**undated, **(options.get("metadata") or {})}
        with matplotlib.rc_context(_FILE):
            super().savefig(fname, **options)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure to a file in the format of its suffix (".pdf", ".svg", ".png"); folders are made."""
    path = Path(path)
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix.removeprefix("."))
    write_whole(path, drawn.getvalue())
    return path


def figure_of(axes: Axes) -> PrintFigure:
    """The figure of these axes."""
    figure = axes.get_figure(root=True)
    assert isinstance(figure, PrintFigure)
    return figure


def dress(
    axes: Axes, *, x: str = "", y: str = "", title: str | None = None, grid: Literal["x", "y"] | None = None
) -> Axes:
    """Give axes the text, lines and labels that all figures have."""
    points = figure_of(axes).points
    axes.tick_params(which="both", colors=LIGHT.ink, labelsize=points - 0.5, width=0.6)
    axes.tick_params(which="major", length=3)
    axes.tick_params(which="minor", length=1.8)
    for side, spine in axes.spines.items():
        spine.set(visible=side in ("left", "bottom"), color=LIGHT.faint, linewidth=0.6)
    axes.set_xlabel(_wrap(x, _room(axes), points), color=LIGHT.ink, fontsize=points)
    axes.set_ylabel(_wrap(y, 0.8 * _place(axes)[1], points), color=LIGHT.ink, fontsize=points)
    if title:
        _set_title(axes, _wrap(title, _room(axes), points + 1, "bold"))
    if grid:
        axes.grid(axis=grid, color=LIGHT.line, lw=0.4, alpha=0.6, zorder=0)
    return axes


def set_suptitle(figure: PrintFigure, title: str) -> None:
    """Give a figure of several axes a title."""
    points = figure.points + 1
    words = _wrap(title, 0.96 * figure.inches, points, "bold")
    figure.suptitle(words, x=0.01, ha="left", color=LIGHT.ink, fontsize=points, fontweight="bold")


def _set_title(axes: Axes, title: str, pad: float = 6.0) -> None:
    size = figure_of(axes).points + 1
    axes.set_title(title, loc="left", color=LIGHT.ink, fontsize=size, fontweight="bold", pad=pad)


def write(axes: Axes, words: str, at: tuple[float, float], offset: tuple[float, float], **how: Any) -> None:
    """Write small words at a place of the axes, so many points away from it."""
    how = {"color": LIGHT.faint, "fontsize": figure_of(axes).points - 1, **how}
    axes.annotate(words, at, xytext=offset, textcoords="offset points", **how)


def note(axes: Axes, words: str, up: float = 4.0) -> None:
    """Put words between axes and their title, so many points above the axes."""
    small = figure_of(axes).points - 1
    words = _wrap(words, _room(axes), small)
    write(axes, words, (0, 1), (0, up), xycoords="axes fraction", linespacing=1.15)
    if axes.get_title(loc="left"):
        _set_title(axes, axes.get_title(loc="left"), up + 6 + 1.25 * small * (words.count("\n") + 1))


def legend(axes: Axes, handles: Sequence[Any] | None = None, *, columns: int = 1) -> None:
    """Explain the marks of axes below them."""
    figure = figure_of(axes)
    points = figure.points - 0.5
    keys: list[Any] = [*(axes.get_legend_handles_labels()[0] if handles is None else handles)]
    marks = columns * 3.5 * points / 72
    widest = sum(sorted(_inches(each.get_label(), points) for each in keys)[-columns:])
    room = 1e9 if marks + widest <= figure.inches else (figure.inches - marks) / columns
    labels = [_wrap(each.get_label(), room, points) for each in keys]
    how: dict[str, Any] = {"labelcolor": LIGHT.ink, "frameon": False, "handlelength": 1.6, "borderaxespad": 0.4}
    figure.legend(keys, labels, loc="outside lower center", fontsize=points, ncols=columns, **how)


def looks(count: int) -> list[tuple[str, str, str]]:
    """A colour, a marker and a line for each of so many categories or runs; no two are the same in all three."""
    colours, lines = LIGHT.series, ("-", "--", ":", "-.")
    return [(colours[i % len(colours)], MARKERS[i % len(MARKERS)], lines[i // len(colours) % 4]) for i in range(count)]


def category_key(categories: Iterable[str]) -> dict[str, Line2D]:
    """The legend's mark for each category, in order; its colour and marker are those of the category's dots."""
    order = order_categories(categories)
    style: dict[str, Any] = {"ls": "", "mec": LIGHT.ink, "mew": 0.5, "ms": 5}
    return {
        name: Line2D([], [], label=name, marker=marker, color=colour, **style)
        for name, (colour, marker, _) in zip(order, looks(len(order)), strict=True)
    }


def short(name: str, inches: float) -> str:
    """A name that leaves room for the picture in a figure of this width: the middle of a very long one is left out."""
    most = max(12, round(6.5 * inches))
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most - most // 2 - 1) :]}"


def unit_of(resource: Resource, largest: float) -> tuple[float, str]:
    """The unit for amounts up to `largest`: what to divide by, and its name."""
    scale, unit = unit_for(resource, largest)
    return scale, f"{unit} {'' if resource is PARAMS else OF_WHAT.get(resource, '')}".strip()


def ends_of(space: ModelSpace | None, resource: Resource) -> str:
    """What 0 and 1 of R are, in brackets, where the space is known."""
    if space is None or resource not in space:
        return ""
    ends = space.range(resource)
    scale, unit = (1.0, "s") if resource == TIME else unit_of(resource, ends[1])  # spaces of time are stated in seconds
    low, high = (f"{end / scale:.3g}" if end / scale < 1000 else f"{end / scale:,.0f}" for end in ends)
    return f" (0 is {low} {unit}, 1 is {high} {unit})"


def log_ticks(axes: Axes, which: Literal["x", "y"], words: Callable[[float], str]) -> None:
    """A logarithmic axis whose ticks are labelled as amounts, at 1, 2 and 5 of each power where there is room."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}scale": "log"})
    low, high = axis.get_view_interval()
    roomy = 0.75 * _place(axes)[which == "y"] / math.log10(high / low) > (1.0 if which == "x" else 0.4)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if roomy else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))
    axis.set_minor_formatter(NullFormatter())


def _place(axes: Axes) -> tuple[float, float]:
    """The width and the height of the place of axes in their figure, in inches."""
    spec, figure = axes.get_subplotspec(), figure_of(axes)
    rows, columns = spec.get_gridspec().get_geometry() if spec is not None else (1, 1)
    return figure.inches / columns, figure.get_figheight() / rows


def _room(axes: Axes) -> float:
    """How many inches long a line of text may be: ticks at one side of axes move what is centred on them."""
    width, _ = _place(axes)
    return width * (0.8 if width < figure_of(axes).inches else 0.84)


def _inches(words: str, points: float, weight: str = "normal") -> float:
    """How long a line of text is."""
    if not words:
        return 0.0
    return float(TextPath((0, 0), words, points, FontProperties(weight=weight)).get_extents().width / 72)


def _wrap(words: str, inches: float, points: float, weight: str = "normal") -> str:
    """Words in as few lines as fit, all of about the same length."""
    needed = _inches(words, points, weight)
    if needed <= inches:
        return words
    limit = max(1, int(len(words) * inches / needed))
    broken = [textwrap.fill(words, n, break_long_words=False, break_on_hyphens=False) for n in range(1, limit + 1)]
    return next(text for text in broken if text.count("\n") == broken[-1].count("\n"))
