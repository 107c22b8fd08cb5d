"""What every figure shares: widths and letters of print, files that print well, and words that are not cut off."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lightning_pepr.cost import OF_WHAT, PARAMS, RESOURCES, Resource, unit_for
from lightning_pepr.figures.palette import LIGHT, MARKERS
from lightning_pepr.space import ModelSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

Width: TypeAlias = "Literal['column', 'page'] | float"
"""Of a figure: one column of a page of two, the whole page, or so many inches."""

WIDTHS = {"column": 3.25, "page": 6.75}
"""In inches. They fit the usual templates of two columns (ICML's and NLDL's as they are, IEEE's with a margin)."""

_FILE: dict[Any, Any] = {
    "pdf.fonttype": 42,  # TrueType, whole letters: many publishers refuse matplotlib's usual Type 3
    "ps.fonttype": 42,
    "svg.hashsalt": "lightning-pepr",  # the same picture is the same file
    "savefig.bbox": "standard",  # "tight" would change the width
    "savefig.facecolor": "auto",
}
_NO_DATE: dict[str, dict[str, Any]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


class Table(Protocol):
    """Anything that gives a column by its name: a polars or pandas DataFrame, or a dict of lists."""

    def __getitem__(self, name: str, /) -> Any: ...
    def __contains__(self, name: str, /) -> bool: ...


class PrintFigure(Figure):
    """A figure of a fixed width that belongs to no window, and whose files are fit for print.

    A PDF is drawn in lines and letters, its fonts embedded as TrueType (Type 42). The same figure is the same file.
    """

    def __init__(self, width: Width, height: float) -> None:
        inches = width_of(width)
        super().__init__(figsize=(inches, height), dpi=200, layout="constrained", facecolor=LIGHT.background)
        self.points = 7.0 if inches < 4.5 else 8.0 if inches < 7.5 else 9.0
        """The size of a letter; what is said aside is one point smaller."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """Write the figure; see `matplotlib.figure.Figure.savefig`."""
        path = fname if isinstance(fname, (str, Path)) else ""
        undated = _NO_DATE.get(f".{options['format']}" if "format" in options else Path(path).suffix.lower(), {})
        options["metadata"] = {**undated, **(options.get("metadata") or {})}
        with matplotlib.rc_context(_FILE):
            super().savefig(fname, **options)


def width_of(width: Width) -> float:
    """Inches of a width, or a `ValueError` that says what is expected."""
    inches = WIDTHS.get(width) if isinstance(width, str) else width
    if not isinstance(inches, (int, float)) or not 1.5 <= inches <= 40:
        raise ValueError(
            f"width is {width!r}; expected 'column' (3.25 in), 'page' (6.75 in) or inches, from 1.5 to 40."
        )
    return float(inches)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure to a file, whose ending tells the format (".pdf", ".svg", ".png"); folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def dress(axes: Axes, *, x: str = "", y: str = "", title: str | None = None) -> None:
    """Give axes the letters and lines that all figures have, and their words."""
    points = points_of(axes)
    axes.tick_params(which="both", colors=LIGHT.ink, labelsize=points - 0.5, width=0.6)
    axes.tick_params(which="major", length=3)
    axes.tick_params(which="minor", length=1.8)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(LIGHT.faint)
        spine.set_linewidth(0.6)
    axes.set_xlabel(x, color=LIGHT.ink, fontsize=points)
    axes.set_ylabel(y, color=LIGHT.ink, fontsize=points)
    if title:
        head(axes, title)


def head_all(figure: PrintFigure, title: str) -> None:
    """Give a figure of several axes a title."""
    style: dict[str, Any] = {"color": LIGHT.ink, "fontsize": figure.points + 1, "fontweight": "bold"}
    figure.suptitle(title, x=0.01, ha="left", **style)


def head(axes: Axes, title: str, pad: float = 6.0) -> None:
    """Give axes a title, so many points above them."""
    axes.set_title(title, loc="left", color=LIGHT.ink, fontsize=points_of(axes) + 1, fontweight="bold", pad=pad)


def say_above(axes: Axes, words: str, up: float = 4.0) -> None:
    """Put words between axes and their title, so many points above the axes."""
    small = points_of(axes) - 1
    said = axes.annotate(
        words,
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, up),
        textcoords="offset points",
        color=LIGHT.faint,
        fontsize=small,
        linespacing=1.15,
    )
    _break_lines(said, _room(said, axes))
    if axes.get_title(loc="left"):
        head(axes, axes.get_title(loc="left"), up + 6 + 1.25 * small * (said.get_text().count("\n") + 1))


def points_of(axes: Axes) -> float:
    """The size of a letter in the figure of these axes."""
    figure = axes.get_figure(root=True)
    return figure.points if isinstance(figure, PrintFigure) else 8.0


def inches_of(axes: Axes) -> float:
    """The width of the figure of these axes."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return float(figure.get_figwidth())


def settle(figure: PrintFigure) -> PrintFigure:
    """Break titles and labels that are too long for the figure into lines, and give it its final layout."""
    for axes in figure.axes:
        for text in (axes.xaxis.label, axes.yaxis.label, axes.title, *_titles(axes)):
            if text.get_text():
                _break_lines(text, _room(text, axes))
    if figure.get_suptitle():
        _break_lines(figure._suptitle, 0.96 * figure.bbox.width)  # type: ignore[attr-defined]
    figure.draw_without_rendering()
    for key in figure.legends:
        wide = key.get_window_extent(renderer_of(figure)).width
        if wide > figure.bbox.width:  # marks and gaps stay as they are
            longest = max(text.get_window_extent(renderer_of(figure)).width for text in key.get_texts())
            for text in key.get_texts():
                _break_lines(text, max(longest - (wide - 0.98 * figure.bbox.width) / columns_in(key), 1.0))
    figure.draw_without_rendering()
    return figure


def legend(axes: Axes, handles: Sequence[Any] | None = None, *, columns: int = 1, below: bool = False) -> None:
    """Explain the marks of axes, inside where there is room, or below."""
    points = points_of(axes)
    options: dict[str, Any] = {
        "fontsize": points - 0.5,
        "labelcolor": LIGHT.ink,
        "frameon": not below,
        "framealpha": 0.85,
        "edgecolor": "none",
        "handlelength": 1.6,
        "borderaxespad": 0.4,
        "ncols": columns,
    }
    if handles is not None:
        options["handles"] = handles
    if not below:
        axes.legend(**options)
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    handles = axes.get_legend_handles_labels()[0] if handles is None else handles
    figure.legend(**{**options, "handles": handles}, loc="outside lower center")


def looks(count: int) -> list[tuple[str, str, str]]:
    """A colour, a marker and a line for each of so many categories or runs; no two are the same in all three."""
    colours, markers = LIGHT.series, MARKERS
    lines = ("-", "--", ":", "-.")
    return [(colours[i % len(colours)], markers[i % len(markers)], lines[i // len(colours) % 4]) for i in range(count)]


def columns_in(key: Legend) -> int:
    """In how many columns a legend is, of which matplotlib keeps no public count."""
    left = {round(text.get_window_extent().x0) for text in key.get_texts()}
    return max(1, len(left))


def short(name: str, inches: float) -> str:
    """A name that leaves room for the picture in a figure of this width: of a very long one the middle is left out."""
    most = max(12, round(6.5 * inches))
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most - most // 2 - 1) :]}"


def column(values: Iterable[Any]) -> NDArray[np.float64]:
    """A column as floats; what is missing is NaN."""
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def columns_of(table: Table, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, NDArray[np.float64]]:
    """Columns of a table as floats, the optional ones only where they are there.

    Raises:
        ValueError: If one is missing, or they differ in length.
    """
    missing = [name for name in names if name not in table]
    if missing:
        raise ValueError(
            f"the table has no column {', '.join(map(repr, missing))}; expected {', '.join(map(repr, names))}, as "
            "`lightning_pepr.rank` gives them."
        )
    found = {name: column(table[name]) for name in [*names, *(name for name in optional if name in table)]}
    if len({len(values) for values in found.values()}) > 1:
        raise ValueError("the columns of the table differ in length; expected one row for each model.")
    return found


def scaled(resource: Resource, largest: float) -> tuple[float, str]:
    """The unit in which amounts up to `largest` are shown without leading zeros: by what to multiply, and its name."""
    scale, unit = unit_for(resource, largest)
    return 1 / scale, f"{unit} {'' if resource is PARAMS else OF_WHAT.get(resource, '')}".strip()


def ends_of(space: ModelSpace | None, resource: Resource) -> str:
    """What 0 and 1 of R are, in brackets, where the space is known."""
    if space is None or resource not in space:
        return ""
    low, high = space.range(resource)
    # Hours are for those who wait; the rest of the page has seconds.
    scale, unit = (1.0, "s") if resource.unit == "s" else scaled(resource, high)
    told = [f"{x:.3g}" if x < 1000 else f"{x:,.0f}" for x in (low * scale, high * scale)]
    return f" (0 is {told[0]} {unit}, 1 is {told[1]} {unit})"


def resource_of(field: str) -> Resource | None:
    """The resource whose amounts a column holds; None if it holds something else."""
    return next((resource for resource in RESOURCES if resource.field == field), None)


def log_ticks(axes: Axes, which: Literal["x", "y"], tell: Callable[[float], str]) -> None:
    """A logarithmic axis whose ticks are told as amounts, at 1, 2 and 5 of each power where there is room."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    figure, spec = axes.get_figure(root=True), axes.get_subplotspec()
    assert figure is not None
    rows, columns = spec.get_gridspec().get_geometry() if spec is not None else (1, 1)
    inches = figure.get_figwidth() / columns if which == "x" else figure.get_figheight() / rows
    roomy = 0.75 * inches / math.log10(high / low) > (1.0 if which == "x" else 0.4)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if roomy else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: tell(value)))
    axis.set_minor_formatter(NullFormatter())


def renderer_of(figure: Figure) -> Any:
    """What measures text: the figure needs no window for it."""
    return FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]


def _titles(axes: Axes) -> list[Text]:
    """The titles at the left and the right, which matplotlib keeps apart."""
    return [text for text in (getattr(axes, "_left_title", None), getattr(axes, "_right_title", None)) if text]


def _room(text: Text, axes: Axes) -> float:
    """How long a line of a text may be, in pixels: as the figure, shared with the axes beside or above it."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    spec = axes.get_subplotspec()
    rows, columns = spec.get_gridspec().get_geometry() if spec is not None else (1, 1)
    upright = text.get_rotation() in (90, 270)
    whole = figure.bbox.height / rows if upright else figure.bbox.width / columns
    # A label is centred on its axes, which leave room for ticks at one side.
    return whole * (0.8 if upright or columns > 1 else 0.84)


def _break_lines(text: Text, room: float) -> None:
    """Put a text into as few lines as fit, all of about the same length."""
    figure = text.get_figure(root=True)
    assert figure is not None
    renderer = renderer_of(figure)
    upright = text.get_rotation() in (90, 270)
    words = text.get_text().split(" ")

    def length(line: Sequence[str]) -> float:
        text.set_text(" ".join(line))
        extent = text.get_window_extent(renderer)
        return extent.height if upright else extent.width

    whole = length(words)
    # Of lines that may be no longer than this, as few as there are for the room.
    limits = np.linspace(whole / math.ceil(whole / room), room, 8) if whole > room else [whole]
    fewest: list[list[str]] = []
    for limit in limits:
        lines: list[list[str]] = [[]]
        for word in words:
            if lines[-1] and length([*lines[-1], word]) > limit:
                lines.append([])
            lines[-1].append(word)
        if not fewest or len(lines) < len(fewest):
            fewest = lines
    text.set_text("\n".join(" ".join(line) for line in fewest))
