"""Pictures of a ranking. Figures are made without pyplot, so that nothing global is touched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lightning_pepr.cost import Resource
from lightning_pepr.functional import check_performance, pepr
from lightning_pepr.space import ModelSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox
    from numpy.typing import NDArray

INSTALL = "pip install 'lightning-pepr[report]'"

# Okabe and Ito's colours, which the colour-blind tell apart; the marked models differ in their label too.
_MODEL, _BEST, _PICK = "#56B4E9", "#E69F00", "#009E73"
_INK, _FAINT, _LINE, _BANDS = "#222222", "#6B7682", "#B4C1CC", ("#FFFFFF", "#DCE6EE")

_MOST_LABELS = 24  # with more models than this, only the marked ones are named


class Table(Protocol):
    """Anything that gives a column by its name: a polars or pandas DataFrame, or a dict of lists."""

    def __getitem__(self, name: str, /) -> Any: ...
    def __contains__(self, name: str, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Models:
    """The models that can be drawn, as arrays of one length."""

    names: list[str]
    performance: NDArray[np.float64]
    r: NDArray[np.float64]
    params: NDArray[np.float64]
    left_out: int

    @property
    def score(self) -> NDArray[np.float64]:
        return pepr(self.performance, self.r)


def score_profile(
    ranking: Table,
    resource: str | Resource = "energy",
    *,
    space: ModelSpace | None = None,
    best: str | None = None,
    pick: str | None = None,
    chosen_on: str | None = None,
    performance_label: str = "Performance P",
    title: str | None = None,
    size: tuple[float, float] = (8.0, 5.0),
) -> Figure:
    """Draw performance against what it cost: a dot for each model, over lines along which PePR is the same.

    The area of a dot grows with the parameters. The best by P and the best by PePR are marked by colour and in
    words. With more than 24 models only these two are named.

    Args:
        ranking: A table with the columns `model`, `performance`, R of the resource (`r_e` for energy) and, for the
            area of the dots, `params`: what `rank` returns, any DataFrame, or a dict of lists.
        resource: The resource on the horizontal axis: its name, letter or field.
        space: The space over which R was normalised; its low and high are then told on the axis.
        best: Which model to mark as the best by P; by default the one with the highest P of those drawn.
        pick: Which model to mark as the best by PePR; by default the one with the highest score of those drawn.
        chosen_on: The data on which `best` and `pick` were chosen, such as "validation", if they are not those with
            the highest P and score of what is drawn.
        performance_label: What P is, for the vertical axis.
        title: A line above the picture.
        size: Width and height in inches.

    Returns:
        A figure that belongs to no window: `figure.savefig("profile.pdf")`, or any format that matplotlib writes.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
        ValueError: If a column is missing, a value is out of its range, or there is nothing to draw.

    >>> table = {"model": ["small", "large"], "performance": [0.86, 0.88], "r_e": [0.0, 1.0]}
    >>> score_profile(table).axes[0].get_ylabel()
    'Performance P'
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"figures need matplotlib. Try: {INSTALL}", name="matplotlib") from error

    resource = Resource.of(resource)
    models = _models(ranking, resource)
    figure = Figure(figsize=size, dpi=160, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    _frame(axes, models, title, performance_label, _axis_label(resource, space))
    _contours(axes, models, resource)
    marked = _marks(models, best, pick, resource, chosen_on)
    area = _dots(axes, models, marked)
    figure.draw_without_rendering()  # lets the layout settle: labels are placed in pixels
    figure.set_layout_engine("none")
    _name_dots(axes, models, marked, np.sqrt(area) / 2)
    return figure


def save_score_profile(ranking: Table, path: str | Path, resource: str | Resource = "energy", **options: Any) -> Path:
    """Draw `score_profile` and write it to a file, whose ending tells the format (".png", ".pdf", ".svg").

    Args:
        ranking: As of `score_profile`.
        path: Where to; folders are made.
        resource: As of `score_profile`.
        **options: As of `score_profile`.
    """
    figure = score_profile(ranking, resource, **options)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _models(ranking: Table, resource: Resource) -> _Models:
    """Take the columns out of the table, without the rows that have no P or no R."""
    missing = [name for name in ("model", "performance", resource.r_key) if name not in ranking]
    if missing:
        raise ValueError(
            f"the table has no column {', '.join(map(repr, missing))}; expected 'model', 'performance' and "
            f"{resource.r_key!r}, as `lightning_pepr.rank` gives them."
        )
    names = [str(name) for name in ranking["model"]]
    performance, r = _column(ranking["performance"]), _column(ranking[resource.r_key])
    params = _column(ranking["params"]) if "params" in ranking else np.full(len(names), np.nan)
    if not len(names) == len(performance) == len(r) == len(params):
        raise ValueError("the columns of the table differ in length; expected one row for each model.")
    known = ~(np.isnan(performance) | np.isnan(r))
    if not known.any():
        raise ValueError(
            f"none of the {len(names)} models has both a performance and a measured {resource.name}; "
            "there is nothing to draw."
        )
    return _Models(
        names=[name for name, keep in zip(names, known, strict=True) if keep],
        performance=check_performance(performance[known]),
        r=r[known],
        params=params[known],
        left_out=int((~known).sum()),
    )


def _column(values: Any) -> NDArray[np.float64]:
    """A column as floats; what is missing is NaN."""
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _marks(
    models: _Models, best: str | None, pick: str | None, resource: Resource, chosen_on: str | None
) -> dict[int, tuple[str, str]]:
    """Which dots to mark, with the colour and the words for each."""
    for name in (best, pick):
        if name is not None and name not in models.names:
            raise ValueError(f"{name!r} is not in the table; it has {', '.join(models.names)}.")
    best_at = int(models.performance.argmax()) if best is None else models.names.index(best)
    pick_at = int(models.score.argmax()) if pick is None else models.names.index(pick)
    where = f" ({chosen_on})" if chosen_on else ""
    if best_at == pick_at:
        return {pick_at: (_PICK, f"best P and PePR-{resource.letter}{where}")}
    return {pick_at: (_PICK, f"best PePR-{resource.letter}{where}"), best_at: (_BEST, f"best P{where}")}


def _axis_label(resource: Resource, space: ModelSpace | None) -> str:
    """What R is, and what 0 and 1 of it are where the space is known."""
    words = f"R, {resource.name} normalised over the model space"
    if space is None or resource not in space:
        return words
    low, high = space.range(resource)
    scale, unit = 1.0, resource.unit
    if unit == "kWh" and 0 < high < 1.0:  # without leading zeros
        scale, unit = (1e3, "Wh") if high >= 1e-4 else (1e6, "mWh")
    elif unit == "parameters":
        scale, unit = 1e-6, "M"
    low_text, high_text = (f"{x:.3g}" if x < 1000 else f"{x:,.0f}" for x in (low * scale, high * scale))
    return f"{words} (0 is {low_text} {unit}, 1 is {high_text} {unit})"


def _count(value: float) -> str:
    return f"{value / 1e6:.2g} M" if value < 1e8 else f"{value / 1e6:.0f} M"


def _frame(axes: Axes, models: _Models, title: str | None, performance_label: str, resource_label: str) -> None:
    """Set limits that leave room around the dots, and the words around the picture."""
    low, high = float(models.performance.min()), float(models.performance.max())
    margin = max(0.14 * (high - low), 0.025)
    right = max(1.0, float(models.r.max()))
    axes.set_xlim(-0.06 * right, 1.08 * right)
    axes.set_ylim(max(0.0, low - margin), high + margin)
    axes.set_xlabel(resource_label, color=_INK, labelpad=8)
    axes.set_ylabel(performance_label, color=_INK, labelpad=8)
    if title:
        axes.set_title(title, loc="left", color=_INK, fontsize=13, fontweight="bold", pad=28)
    axes.tick_params(colors=_INK, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_FAINT)


def _contours(axes: Axes, models: _Models, resource: Resource) -> None:
    """Draw the lines P = score × (1 + R), with their scores outside where they leave the picture."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import MaxNLocator

    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    ticks = MaxNLocator(nbins=13, steps=[1, 2, 2.5, 5, 10]).tick_values(bottom / (1 + right), top)
    levels = [float(level) for level in ticks if bottom / (1 + right) < level < top]
    digits = max((len(f"{level:.6g}".partition(".")[2]) for level in levels), default=2)

    x, y = np.linspace(left, right, 200), np.linspace(bottom, top, 120)
    field = y[:, None] / (1 + np.maximum(x, 0.0)[None, :])
    bands = LinearSegmentedColormap.from_list("bands", _BANDS)
    axes.contourf(x, y, field, levels=[-1, *levels, 2], cmap=bands, vmin=field.min(), vmax=field.max(), zorder=0)
    free_from = -math.inf
    for level in reversed(levels):
        # Left of 0 there is no R (it is floored): there the score is P itself.
        axes.plot([left, 0, right], [level, level, level * (1 + right)], color=_LINE, lw=0.9, zorder=1)
        leaves_at_top = level * (1 + right) > top
        at = (top / level - 1, top) if leaves_at_top else (right, level * (1 + right))
        if leaves_at_top and at[0] < free_from:
            continue  # its number would run into that of the line before
        free_from = at[0] + 0.045 * (right - left)
        axes.annotate(
            f"{level:.{digits}f}",
            at,
            xytext=(0, 3) if leaves_at_top else (4, 0),
            textcoords="offset points",
            ha="center" if leaves_at_top else "left",
            va="bottom" if leaves_at_top else "center",
            color=_FAINT,
            fontsize=8,
        )
    axes.annotate(
        f"PePR-{resource.letter} = P / (1 + R), the same along a line:",
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 16),
        textcoords="offset points",
        color=_FAINT,
        fontsize=8,
    )


def _dots(axes: Axes, models: _Models, marked: dict[int, tuple[str, str]]) -> NDArray[np.float64]:
    """Draw the models, and a key to the areas; gives the areas in points²."""
    largest = float(np.nanmax(models.params)) if np.isfinite(models.params).any() else math.nan
    share = np.nan_to_num(models.params / largest, nan=0.15)
    crowd = min(1.0, _MOST_LABELS / len(models.names))
    area: NDArray[np.float64] = 25.0 + 375.0 * max(crowd, 0.25) * share
    colours = [marked[i][0] if i in marked else _MODEL for i in range(len(models.names))]
    on_top = np.isin(np.arange(len(area)), list(marked))
    order = np.lexsort((-area, on_top))  # a small dot lies on top of a large one, and a marked one on top of all
    axes.scatter(
        models.r[order],
        models.performance[order],
        s=area[order],
        c=[colours[i] for i in order],
        edgecolors=_INK,
        linewidths=0.8,
        alpha=0.9,
        zorder=3,
        clip_on=False,
    )
    notes = [] if math.isnan(largest) else [f"Area of a dot: parameters, up to {_count(largest)}"]
    if models.left_out:
        notes.append(f"{models.left_out} not measured, not drawn")
    if notes:
        axes.annotate(
            "; ".join(notes),
            (1, 1),
            xycoords="axes fraction",
            xytext=(0, 16),
            textcoords="offset points",
            ha="right",
            color=_FAINT,
            fontsize=8,
        )
    return area


def _name_dots(axes: Axes, models: _Models, marked: dict[int, tuple[str, str]], radius: NDArray[np.float64]) -> None:
    """Name the dots, the marked ones first, each where it covers the least."""
    from matplotlib.patheffects import withStroke

    named = [i for i in range(len(models.names)) if len(models.names) <= _MOST_LABELS or i in marked]
    first = list(marked)
    named.sort(key=lambda i: (first.index(i) if i in first else len(first), -models.performance[i]))
    labels = []
    for i in named:
        _, words = marked.get(i, ("", ""))
        label = axes.annotate(
            f"{models.names[i]}\n{words}" if words else models.names[i],
            (models.r[i], models.performance[i]),
            xytext=(0, 0),
            textcoords="offset points",
            va="bottom",
            fontsize=9,
            fontweight="bold" if words else "normal",
            color=_INK,
            linespacing=1.1,
            zorder=5,
            arrowprops={"arrowstyle": "-", "color": _INK, "lw": 0.7, "shrinkA": 0, "shrinkB": 0},
        )
        label.set_path_effects([withStroke(linewidth=2.5, foreground="white", alpha=0.8)])
        labels.append(label)
    _place(axes, labels, [radius[i] for i in named], models, radius)


def _place(
    axes: Axes,
    labels: Sequence[Annotation],
    own_radius: Sequence[float],
    models: _Models,
    radius: NDArray[np.float64],
) -> None:
    """Move each label to the place, of some around its dot, where it covers least of dots and earlier labels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    figure = axes.get_figure(root=True)
    assert figure is not None
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    pixel = figure.dpi / 72
    centres = axes.transData.transform(np.column_stack([models.r, models.performance]))
    dots = [Bbox.from_extents(x - r, y - r, x + r, y + r) for (x, y), r in zip(centres, radius * pixel, strict=True)]
    taken: list[Bbox] = []
    room = axes.get_window_extent(renderer)
    for label, r in zip(labels, own_radius, strict=True):
        x, y = axes.transData.transform(label.xy)
        box = label.get_window_extent(renderer)
        places: list[tuple[float, int, int, Bbox]] = []
        for ring, (dx, dy) in product(range(12), _DIRECTIONS):
            reach = r + 3 + 13 * ring
            here = Bbox.from_bounds(
                x + dx * reach * pixel + (dx - 1) / 2 * box.width,
                y + dy * reach * pixel + (dy - 1) / 2 * box.height,
                box.width,
                box.height,
            )
            covered = sum(_overlap(here, dot) for dot in dots) + 4 * sum(_overlap(here, text) for text in taken)
            whole = box.width * box.height
            outside = whole - _overlap(here, room)
            places.append((covered + 4 * outside + 0.08 * ring * whole, len(places), ring, here))
        _, _, ring, here = min(places)
        label.set_position(((here.x0 - x) / pixel, (here.y0 - y) / pixel))
        if ring == 0 and label.arrow_patch is not None:  # beside its dot it needs no line to it
            label.arrow_patch.set_visible(False)
        taken.append(here.padded(1.5 * pixel))


_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (0.8, 0.8), (0.8, -0.8), (-0.8, 0.8), (-0.8, -0.8))


def _overlap(a: Bbox, b: Bbox) -> float:
    """The area that two boxes share."""
    width: float = min(a.x1, b.x1) - max(a.x0, b.x0)
    height: float = min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(width, 0.0) * max(height, 0.0)
