"""The score profile: performance against what it cost, over lines along which PePR is the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from lightning_pepr.cost import Resource
from lightning_pepr.figures.palette import LIGHT, order_categories
from lightning_pepr.figures.style import (
    PrintFigure,
    Table,
    Width,
    columns_of,
    dress,
    ends_of,
    inches_of,
    legend,
    looks,
    points_of,
    renderer_of,
    save_figure,
    say_above,
    settle,
    short,
    width_of,
)
from lightning_pepr.functional import check_performance, pepr
from lightning_pepr.space import ModelSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_MOST_LABELS = 24  # with more models than this, only the marked ones are named


@dataclass(frozen=True, slots=True)
class _Models:
    """The models that can be drawn, as arrays of one length; a limit that is not known is the value itself."""

    names: list[str]
    performance: Array
    p_low: Array
    p_high: Array
    r: Array
    r_low: Array
    r_high: Array
    params: Array
    kinds: list[str]
    left_out: int
    bars: str

    @property
    def score(self) -> Array:
        return pepr(self.performance, self.r)


def score_profile(
    ranking: Table | None,
    resource: str | Resource = "energy",
    *,
    space: ModelSpace | None = None,
    best: str | None = None,
    pick: str | None = None,
    chosen_on: str | None = None,
    color_by: str | None = None,
    performance_label: str = "Performance P",
    title: str | None = None,
    width: Width = "page",
    height: float | None = None,
) -> PrintFigure:
    """Draw performance against what it cost: a dot for each model, over lines along which PePR is the same.

    The area of a dot grows with the parameters. The best by P and the best by PePR are marked by colour and in
    words. With more than 24 models only these two are named. Where the ranking has them, bars tell what is not
    certain: level ones the error of the cost, upright ones the 95 % limits of P in so many samples. If it has only
    the interval of the score, an upright bar ends on the lines of its limits.

    Args:
        ranking: A table with the columns `model`, `performance`, R of the resource (`r_e` for energy) and, for the
            area of the dots, `params`; for the bars `energy_kwh` and `energy_kwh_error`, `samples`, or `pepr_e_low`
            and `pepr_e_high`: what `rank` returns, any DataFrame, or a dict of lists. None draws the lines alone, for
            P and R from 0 to 1.
        resource: The resource on the horizontal axis: its name, letter or field.
        space: The space over which R was normalised; its low and high are then told on the axis.
        best: Which model to mark as the best by P; by default the one with the highest P of those drawn.
        pick: Which model to mark as the best by PePR; by default the one with the highest score of those drawn.
        chosen_on: The data on which `best` and `pick` were chosen, such as "validation", if they are not those with
            the highest P and score of what is drawn.
        color_by: A column of categories, such as the type of model, to be told by colour and marker.
        performance_label: What P is, for the vertical axis.
        title: A line above the picture.
        width: "column" (3.25 in), "page" (6.75 in) or inches.
        height: In inches; by default it follows from the width.

    Returns:
        A figure that belongs to no window: `figure.savefig("profile.pdf")`, or any format that matplotlib writes.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
        ValueError: If a column is missing, a value is out of its range, or there is nothing to draw.

    >>> table = {"model": ["small", "large"], "performance": [0.86, 0.88], "r_e": [0.0, 1.0]}
    >>> score_profile(table).axes[0].get_ylabel()
    'Performance P'
    """
    resource = Resource.of(resource)
    models = None if ranking is None else _models(ranking, resource, color_by)
    inches = width_of(width)
    figure = PrintFigure(width, height or max(3.0, 0.64 * inches))
    axes = figure.add_subplot()
    dress(
        axes,
        x=f"R, {resource.name} normalised over the model space{ends_of(space, resource)}",
        y=performance_label,
        title=title,
    )
    _limits(axes, models)
    _contours(axes)
    marked = {} if models is None else _marks(models, best, pick, resource, chosen_on)
    area = np.zeros(0) if models is None else _dots(axes, models, marked)
    say_above(axes, _notes(models, resource), up=points_of(axes) + 7)
    settle(figure)
    figure.set_layout_engine("none")  # labels are placed in what the layout has come to
    if models is not None:
        _name_dots(axes, models, marked, np.sqrt(area) / 2)
    return figure


def save_score_profile(
    ranking: Table | None, path: str | Path, resource: str | Resource = "energy", **options: Any
) -> Path:
    """Draw `score_profile` and write it to a file, whose ending tells the format (".png", ".pdf", ".svg").

    Args:
        ranking: As of `score_profile`.
        path: Where to; folders are made.
        resource: As of `score_profile`.
        **options: As of `score_profile`.
    """
    return save_figure(score_profile(ranking, resource, **options), path)


def _models(ranking: Table, resource: Resource, color_by: str | None) -> _Models:
    """Take the columns out of the table, without the rows that have no P or no R."""
    low, high, error = f"{resource.score_key}_low", f"{resource.score_key}_high", f"{resource.field}_error"
    if "model" not in ranking:
        columns_of(ranking, ["model", "performance", resource.r_key])  # raises
    names = [str(name) for name in ranking["model"]]
    optional = ["params", "samples", low, high, resource.field, error]
    found = columns_of(ranking, ["performance", resource.r_key], optional)
    if len(names) != len(found["performance"]):
        raise ValueError("the columns of the table differ in length; expected one row for each model.")
    if color_by is not None and color_by not in ranking:
        raise ValueError(f"the table has no column {color_by!r} to colour by.")
    kinds = [""] * len(names)
    if color_by is not None:
        kinds = ["unknown" if kind is None else str(kind) for kind in ranking[color_by]]
    known = ~(np.isnan(found["performance"]) | np.isnan(found[resource.r_key]))
    if not known.any():
        raise ValueError(
            f"none of the {len(names)} models has both a performance and a measured {resource.name}; "
            "there is nothing to draw."
        )
    found = {name: values[known] for name, values in found.items()}
    p, r = check_performance(found["performance"]), found[resource.r_key]
    unknown = np.full(len(p), np.nan)
    off = np.nan_to_num(_of_r(r, found.get(resource.field, unknown), found.get(error, unknown)))
    p_low, p_high = _of_p(p, found.get("samples", unknown))
    bars = [f"the error of the {resource.name}"] if (off > 0).any() else []
    bars += ["95 % limits of P in its samples"] if (p_high > p_low).any() else []
    if not bars and low in found and high in found and (found[high] > found[low]).any():
        p_low, p_high = (np.clip(found[end] * (1 + r), 0.0, 1.0) for end in (low, high))
        bars = ["the interval of the score, from line to line"]
    return _Models(
        names=[name for name, keep in zip(names, known, strict=True) if keep],
        performance=p,
        p_low=np.fmin(p_low, p),
        p_high=np.fmax(p_high, p),
        r=r,
        r_low=np.maximum(r - off, 0.0),
        r_high=r + off,
        params=found.get("params", unknown),
        kinds=[kind for kind, keep in zip(kinds, known, strict=True) if keep],
        left_out=int((~known).sum()),
        bars=", and ".join(bars),
    )


def _of_r(r: Array, cost: Array, error: Array) -> Array:
    """The error of R: that of the cost, by as much as R grows with the cost in this table."""
    known = np.flatnonzero((r > 0) & ~np.isnan(cost))  # the floor is no part of the line,
    if len(set(cost[known])) < 2:  # but the dearest on it is nearest to where it begins
        floored = np.where((r == 0) & ~np.isnan(cost), cost, -np.inf)
        known = np.union1d(known, np.flatnonzero((floored == floored.max(initial=-np.inf)) & (floored >= 0)))
    if known.size < 2:
        return np.full(len(r), np.nan)
    cheap, dear = known[cost[known].argmin()], known[cost[known].argmax()]
    if cost[cheap] == cost[dear]:
        return np.full(len(r), np.nan)
    slope: float = (r[dear] - r[cheap]) / (cost[dear] - cost[cheap])
    return error * slope


def _of_p(p: Array, samples: Array) -> tuple[Array, Array]:
    """The limits of P, as `rank` has them; P itself where it is not known of how many samples it is."""
    if np.isnan(samples).all():
        return p, p
    import polars as pl

    from lightning_pepr.utilities.statistics import wilson

    table = pl.DataFrame({"p": p, "n": samples}).with_columns(pl.col("n").fill_nan(None))
    low, high = wilson(pl.col("p"), pl.col("n"))
    limits = table.select(low=low, high=high)
    return limits["low"].to_numpy(), limits["high"].to_numpy()


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
        return {pick_at: (LIGHT.pick, f"best P and PePR-{resource.letter}{where}")}
    return {pick_at: (LIGHT.pick, f"best PePR-{resource.letter}{where}"), best_at: (LIGHT.best, f"best P{where}")}


def _count(value: float) -> str:
    return f"{value / 1e6:.2g} M" if value < 1e8 else f"{value / 1e6:.0f} M"


def _limits(axes: Axes, models: _Models | None) -> None:
    """Leave room around the dots, and for their bars unless these would leave none for the dots."""
    if models is None:
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        return
    low, high = float(models.performance.min()), float(models.performance.max())
    margin, most = max(0.14 * (high - low), 0.025), max(0.6 * (high - low), 0.1)
    bottom = min(low - margin, max(float(models.p_low.min()) - 0.01, low - most))
    top = max(high + margin, min(float(models.p_high.max()) + 0.01, high + most))
    right = max(1.0, float(models.r.max()))
    axes.set_xlim(-0.06 * right, max(1.08 * right, min(1.02 * float(models.r_high.max()), 1.35 * right)))
    axes.set_ylim(max(0.0, bottom), top)


def _contours(axes: Axes) -> None:
    """Draw the lines P = score × (1 + R), with their scores outside where they leave the picture."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    small = points_of(axes) - 1
    ticks = MaxNLocator(nbins=13, steps=[1, 2, 2.5, 5, 10]).tick_values(bottom / (1 + right), top)
    levels = [float(level) for level in ticks if bottom / (1 + right) < level < top]
    digits = max((len(f"{level:.6g}".partition(".")[2]) for level in levels), default=2)

    x, y = np.linspace(left, right, 200), np.linspace(bottom, top, 120)
    field = y[:, None] / (1 + np.maximum(x, 0.0)[None, :])
    bands = LinearSegmentedColormap.from_list("bands", LIGHT.bands)
    axes.contourf(x, y, field, levels=[-1, *levels, 2], cmap=bands, vmin=field.min(), vmax=field.max(), zorder=0)
    apart = 3.4 * small / 72 / inches_of(axes) * (right - left)
    free_from = -math.inf
    for level in reversed(levels):
        # Left of 0 there is no R (it is floored): there the score is P itself.
        axes.plot([left, 0, right], [level, level, level * (1 + right)], color=LIGHT.line, lw=0.7, zorder=1)
        leaves_at_top = level * (1 + right) > top
        at = (top / level - 1, top) if leaves_at_top else (right, level * (1 + right))
        if leaves_at_top and at[0] < free_from:
            continue  # its number would run into that of the line before
        free_from = at[0] + apart
        axes.annotate(
            f"{level:.{digits}f}",
            at,
            xytext=(0, 3) if leaves_at_top else (4, 0),
            textcoords="offset points",
            ha="center" if leaves_at_top else "left",
            va="bottom" if leaves_at_top else "center",
            color=LIGHT.faint,
            fontsize=small,
        )


def _notes(models: _Models | None, resource: Resource) -> str:
    """What the picture does not say by itself."""
    notes = [f"PePR-{resource.letter} = P / (1 + R) is the same along a line."]
    if models is None:
        return notes[0]
    if np.isfinite(models.params).any():
        notes.append(f"Area of a dot: parameters, up to {_count(float(np.nanmax(models.params)))}.")
    if models.bars:
        notes.append(f"Bars: {models.bars}.")
    if models.left_out:
        notes.append(f"{models.left_out} not measured, not drawn.")
    return " ".join(notes)


def _dots(axes: Axes, models: _Models, marked: dict[int, tuple[str, str]]) -> Array:
    """Draw the models; gives the areas in points²."""
    largest = float(np.nanmax(models.params)) if np.isfinite(models.params).any() else math.nan
    share = np.nan_to_num(models.params / largest, nan=0.15)
    crowd = min(1.0, _MOST_LABELS / len(models.names))
    figure_size = (inches_of(axes) / 8.0) ** 2  # a column has smaller dots
    area: Array = (25.0 + 375.0 * max(crowd, 0.25) * share) * max(figure_size, 0.3)
    _bars(axes, models)
    order = np.lexsort((-area, np.isin(np.arange(len(area)), list(marked))))  # small ones on large, marked ones on all
    edge: dict[str, Any] = {"edgecolors": LIGHT.ink, "linewidths": 0.6, "alpha": 0.9, "zorder": 3, "clip_on": False}
    if not any(models.kinds):
        colours = [marked[i][0] if i in marked else LIGHT.model for i in order]
        axes.scatter(models.r[order], models.performance[order], s=area[order], c=colours, **edge)
        return area
    kinds = order_categories(models.kinds)
    key = []
    for kind, (colour, marker, _) in zip(kinds, looks(len(kinds)), strict=True):
        of_kind = np.array([i for i in order if models.kinds[i] == kind])
        axes.scatter(models.r[of_kind], models.performance[of_kind], s=area[of_kind], c=colour, marker=marker, **edge)
        dot: dict[str, Any] = {"ls": "", "marker": marker, "color": colour, "mec": LIGHT.ink, "mew": 0.5, "ms": 5}
        key.append(Line2D([], [], label=kind, **dot))
    for i, (colour, _) in marked.items():  # the colour of a dot is that of its kind: a ring marks it
        ring: dict[str, Any] = {
            "facecolors": "none",
            "edgecolors": colour,
            "linewidths": 2.0,
            "zorder": 4,
            "clip_on": False,
        }
        axes.scatter(models.r[i], models.performance[i], s=area[i] + 40, **ring)
    legend(axes, key, columns=min(len(key), 4), below=True)
    return area


def _bars(axes: Axes, models: _Models) -> None:
    """Draw what is not certain of the cost, and of the performance."""
    style: dict[str, Any] = {"color": LIGHT.faint, "lw": 0.7, "alpha": 0.7, "zorder": 2}
    wide, tall = models.r_high > models.r_low, models.p_high > models.p_low
    axes.hlines(models.performance[wide], models.r_low[wide], models.r_high[wide], **style)
    axes.vlines(models.r[tall], models.p_low[tall], models.p_high[tall], **style)


def _name_dots(axes: Axes, models: _Models, marked: dict[int, tuple[str, str]], radius: Array) -> None:
    """Name the dots, the marked ones first, each where it covers the least."""
    few = len(set(models.names)) <= _MOST_LABELS
    first_of = {name: i for i, name in reversed(list(enumerate(models.names)))}  # its other runs have the name, too
    told = {models.names[i] for i in marked}
    named = [i for i in first_of.values() if few and models.names[i] not in told] + list(marked)
    first = list(marked)
    named.sort(key=lambda i: (first.index(i) if i in first else len(first), -models.performance[i]))
    labels = []
    for i in named:
        _, words = marked.get(i, ("", ""))
        label = axes.annotate(
            "\n".join([short(models.names[i], inches_of(axes)), *([words] if words else [])]),
            (models.r[i], models.performance[i]),
            xytext=(0, 0),
            textcoords="offset points",
            va="bottom",
            fontsize=points_of(axes),
            fontweight="bold" if words else "normal",
            color=LIGHT.ink,
            linespacing=1.1,
            zorder=5,
            arrowprops={"arrowstyle": "-", "color": LIGHT.ink, "lw": 0.6, "shrinkA": 0, "shrinkB": 0},
        )
        label.set_path_effects([withStroke(linewidth=2.5, foreground="white", alpha=0.8)])
        labels.append(label)
    _place(axes, labels, [radius[i] for i in named], models, radius, set(marked))


def _place(
    axes: Axes,
    labels: Sequence[Annotation],
    own_radius: Sequence[float],
    models: _Models,
    radius: Array,
    marked: set[int],
) -> None:
    """Move each label to the place, of some around its dot, where it covers least of dots and earlier labels."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    renderer = renderer_of(figure)
    pixel = figure.dpi / 72
    centres = axes.transData.transform(np.column_stack([models.r, models.performance]))
    weights = [6 if i in marked else 1 for i in range(len(radius))]
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
            covered = sum(w * _overlap(here, dot) for w, dot in zip(weights, dots, strict=True)) + 4 * sum(
                _overlap(here, text) for text in taken
            )
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
