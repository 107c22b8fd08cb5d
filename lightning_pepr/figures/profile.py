"""The score profile: performance against what it cost, over lines along which PePR is the same."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from lightning_pepr.cost import Resource
from lightning_pepr.errors import PePRError
from lightning_pepr.figures import style
from lightning_pepr.figures.inputs import Table, categories_of, columns_of
from lightning_pepr.figures.palette import LIGHT
from lightning_pepr.figures.style import PrintFigure, Width
from lightning_pepr.functional import check_performance, pepr
from lightning_pepr.space import ModelSpace
from lightning_pepr.utilities.imports import require

Array = NDArray[np.float64]
_MOST_LABELS = 24  # with more models than this, only the marked ones are named


class _Models(NamedTuple):
    """The models that can be drawn, as arrays of one length; a limit that is not known is the value itself."""

    names: list[str]
    performance: Array
    p_low: Array
    p_high: Array
    r: Array
    r_error: Array
    params: Array
    kinds: list[str] | None
    notes: list[str]


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
    words. With more than 24 models only these two are named. Where the ranking has them, bars show the uncertainty:
    level ones the error of the cost, upright ones the 95 % limits of P in so many samples. If it has only the
    interval of the score, an upright bar ends on the lines of its limits.

    Args:
        ranking: A table with the columns `model`, `performance`, R of the resource (`r_e` for energy) and, for the
            area of the dots, `params`; for the bars `energy_kwh` and `energy_kwh_error`, `samples`, or `pepr_e_low`
            and `pepr_e_high`: what `rank` returns, any DataFrame, or a dict of lists. None draws the lines alone, for
            P and R from 0 to 1.
        resource: The resource on the horizontal axis: its name, letter or field.
        space: The space over which R was normalised; its low and high are then stated on the axis.
        best: Which model to mark as the best by P; by default the one with the highest P of those drawn.
        pick: Which model to mark as the best by PePR; by default the one with the highest score of those drawn.
        chosen_on: The data on which `best` and `pick` were chosen, such as "validation", if they are not those with
            the highest P and score of what is drawn.
        color_by: A column of categories, such as the type of model, to be shown by colour and marker.
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
    marked = {} if models is None else _marks(models, best, pick, resource, chosen_on)
    figure = PrintFigure(width)
    figure.set_figheight(height or max(3.0, 0.64 * figure.inches))
    x = f"R, {resource.name} normalised over the model space{style.ends_of(space, resource)}"
    axes = style.dress(figure.add_subplot(), x=x, y=performance_label, title=title)
    _limits(axes, models)
    _contours(axes)
    area = np.zeros(0) if models is None else _dots(axes, models, marked)
    notes = [f"PePR-{resource.letter} = P / (1 + R) is the same along a line.", *(models.notes if models else [])]
    style.note(axes, " ".join(notes), up=figure.points + 7)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # labels are placed in the layout as it is now
    if models is not None:
        _name_dots(axes, models, marked, area)
    return figure


def save_score_profile(
    ranking: Table | None, path: str | Path, resource: str | Resource = "energy", **options: Any
) -> Path:
    """Draw `score_profile` and write it to a file in the format of its suffix (".png", ".pdf", ".svg").

    Args:
        ranking: Same as for `score_profile`.
        path: Where to; folders are made.
        resource: Same as for `score_profile`.
        **options: Same as for `score_profile`.
    """
    return style.save_figure(score_profile(ranking, resource, **options), path)


def _models(ranking: Table, resource: Resource, color_by: str | None) -> _Models:
    """Take the columns out of the table, without the rows that have no P or no R."""
    low, high, error = f"{resource.score_key}_low", f"{resource.score_key}_high", f"{resource.field}_error"
    optional = ["params", "samples", low, high, resource.field, error]
    found = columns_of(ranking, ["performance", resource.r_key], optional, words=["model"])
    kinds = categories_of(ranking, color_by)
    known = ~(np.isnan(found["performance"]) | np.isnan(found[resource.r_key]))
    if not known.any():
        raise PePRError(
            f"none of the {len(known)} models has both a performance and a measured {resource.name}; "
            "there is nothing to draw."
        )
    found = {name: values[known] for name, values in found.items()}
    p, r = check_performance(found["performance"]), found[resource.r_key]
    unknown = np.full(len(p), np.nan)
    r_error = np.nan_to_num(_r_error(r, found.get(resource.field, unknown), found.get(error, unknown)))
    p_low, p_high = _p_limits(p, found.get("samples", unknown))
    bars = [f"the error of the {resource.name}"] if (r_error > 0).any() else []
    bars += ["95 % limits of P in its samples"] if (p_high > p_low).any() else []
    if not bars and low in found and high in found and (found[high] > found[low]).any():
        p_low, p_high = (np.clip(found[end] * (1 + r), 0.0, 1.0) for end in (low, high))
        bars = ["the interval of the score, from line to line"]
    notes = []
    params = found.get("params", unknown)
    if np.isfinite(params).any():
        millions = float(np.nanmax(params)) / 1e6
        notes.append(f"Area of a dot: parameters, up to {millions:.{2 if millions < 100 else 3}g} M.")
    if bars:
        notes.append(f"Bars: {', and '.join(bars)}.")
    if not known.all():
        notes.append(f"{(~known).sum()} not measured, not drawn.")
    p_low, p_high = np.fmin(p_low, p), np.fmax(p_high, p)
    return _Models(
        found["model"].tolist(), p, p_low, p_high, r, r_error, params, kinds and [*np.array(kinds)[known]], notes
    )


def _marks(
    models: _Models, best: str | None, pick: str | None, resource: Resource, chosen_on: str | None
) -> dict[int, tuple[str, str]]:
    """Which models to mark, with the colour and the words for each."""
    names, p = models.names, models.performance
    for name in (best, pick):
        if name is not None and name not in names:
            raise PePRError(f"{name!r} is not in the table; it has {', '.join(names)}.")
    best_at = int(p.argmax()) if best is None else names.index(best)
    pick_at = int(pepr(p, models.r).argmax()) if pick is None else names.index(pick)
    score, where = f"PePR-{resource.letter}", f" ({chosen_on})" if chosen_on else ""
    if best_at == pick_at:
        return {pick_at: (LIGHT.pick, f"best P and {score}{where}")}
    return {pick_at: (LIGHT.pick, f"best {score}{where}"), best_at: (LIGHT.best, f"best P{where}")}


def _r_error(r: Array, cost: Array, error: Array) -> Array:
    """The error of R: that of the cost, times how much R grows with the cost in this table; NaN if unknown."""
    priced = ~np.isnan(cost)
    on_line = priced & (r > 0)  # where R is floored it does not grow,
    if len(set(cost[on_line])) < 2:  # but the costliest model there is nearest to where growing begins
        floored = priced & (r == 0)
        on_line |= floored & (cost == cost[floored].max(initial=-np.inf))
    if len(set(cost[on_line])) < 2:
        return np.full(len(r), np.nan)
    return error * (np.ptp(r[on_line]) / np.ptp(cost[on_line]))


def _p_limits(p: Array, samples: Array) -> tuple[Array, Array]:
    """The limits of P, as `rank` has them; P itself where its number of samples is not known."""
    if np.isnan(samples).all():
        return p, p
    import polars as pl

    from lightning_pepr.utilities.statistics import wilson

    low, high = wilson(pl.col("p"), pl.col("n"))
    limits = pl.DataFrame({"p": p, "n": samples}).with_columns(pl.col("n").fill_nan(None)).select(low=low, high=high)
    return limits["low"].to_numpy(), limits["high"].to_numpy()


def _limits(axes: Axes, models: _Models | None) -> None:
    """Leave room around the dots, and for their bars unless these would leave none for the dots."""
    if models is None:
        axes.set(xlim=(0, 1), ylim=(0, 1))
        return
    low, high = float(models.performance.min()), float(models.performance.max())
    margin, most = max(0.14 * (high - low), 0.025), max(0.6 * (high - low), 0.1)
    bottom = min(low - margin, max(float(models.p_low.min()) - 0.01, low - most))
    top = max(high + margin, min(float(models.p_high.max()) + 0.01, high + most))
    right = max(1.0, float(models.r.max()))
    axes.set_xlim(-0.06 * right, max(1.08 * right, min(1.02 * float((models.r + models.r_error).max()), 1.35 * right)))
    axes.set_ylim(max(0.0, bottom), top)


def _contours(axes: Axes) -> None:
    """Draw the lines P = score × (1 + R), with their scores outside where they leave the picture."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    small = style.figure_of(axes).points - 1
    ticks = MaxNLocator(nbins=13, steps=[1, 2, 2.5, 5, 10]).tick_values(bottom / (1 + right), top)
    levels = [float(level) for level in ticks if bottom / (1 + right) < level < top]
    digits = max((len(f"{level:.6g}".partition(".")[2]) for level in levels), default=2)

    x, y = np.linspace(left, right, 200), np.linspace(bottom, top, 120)
    field = y[:, None] / (1 + np.maximum(x, 0.0)[None, :])
    bands = LinearSegmentedColormap.from_list("bands", LIGHT.bands)
    axes.contourf(x, y, field, levels=[-1, *levels, 2], cmap=bands, vmin=field.min(), vmax=field.max(), zorder=0)
    apart = 3.4 * small / 72 / style.figure_of(axes).inches * (right - left)
    free_from = left
    for level in reversed(levels):
        # Left of 0 there is no R (it is floored): there the score is P itself.
        axes.plot([left, 0, right], [level, level, level * (1 + right)], color=LIGHT.line, lw=0.7, zorder=1)
        if level * (1 + right) <= top:
            style.write(axes, f"{level:.{digits}f}", (right, level * (1 + right)), (4, 0), va="center")
        elif (at := top / level - 1) >= free_from:  # else its number would run into that of the line before
            style.write(axes, f"{level:.{digits}f}", (at, top), (0, 3), ha="center", va="bottom")
            free_from = at + apart


def _dots(axes: Axes, models: _Models, marked: dict[int, tuple[str, str]]) -> Array:
    """Draw the models; gives the areas in points²."""
    r, p = models.r, models.performance
    wide, tall = models.r_error > 0, models.p_high > models.p_low
    bar: dict[str, Any] = {"color": LIGHT.faint, "lw": 0.7, "alpha": 0.7, "zorder": 2}
    axes.hlines(p[wide], np.maximum(r - models.r_error, 0.0)[wide], (r + models.r_error)[wide], **bar)
    axes.vlines(r[tall], models.p_low[tall], models.p_high[tall], **bar)
    largest = float(np.nanmax(models.params)) if np.isfinite(models.params).any() else math.nan
    share = np.nan_to_num(models.params / largest, nan=0.15)
    crowd = min(1.0, _MOST_LABELS / len(models.names))
    figure_size = (style.figure_of(axes).inches / 8.0) ** 2  # a column has smaller dots
    area: Array = (25.0 + 375.0 * max(crowd, 0.25) * share) * max(figure_size, 0.3)
    order = np.lexsort((-area, np.isin(np.arange(len(area)), list(marked))))  # small ones on large, marked ones on all
    edge: dict[str, Any] = {"edgecolors": LIGHT.ink, "linewidths": 0.6, "alpha": 0.9, "zorder": 3, "clip_on": False}
    if models.kinds is None:
        colours = [marked[i][0] if i in marked else LIGHT.model for i in order]
        axes.scatter(r[order], p[order], s=area[order], c=colours, **edge)
        return area
    key = style.category_key(models.kinds)
    for kind, mark in key.items():
        at = [i for i in order if models.kinds[i] == kind]
        axes.scatter(r[at], p[at], s=area[at], c=mark.get_color(), marker=mark.get_marker(), **edge)
    for i, (colour, _) in marked.items():  # the colour of a dot is that of its kind: a ring marks it
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": colour, "linewidths": 2.0}
        axes.scatter(r[i], p[i], s=area[i] + 40, **{**edge, **ring, "alpha": 1.0, "zorder": 4})
    style.legend(axes, [*key.values()], columns=min(len(key), 4))
    return area


def _name_dots(axes: Axes, models: _Models, marked: dict[int, tuple[str, str]], area: Array) -> None:
    """Name the dots, each once and apart from the others; of a crowd the marked ones alone."""
    figure = style.figure_of(axes)
    first_of = {name: i for i, name in reversed(list(enumerate(models.names)))}  # its other runs have the name, too
    few = len(first_of) <= _MOST_LABELS
    marked_names = {models.names[i] for i in marked}
    others = [i for name, i in first_of.items() if few and name not in marked_names]
    text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": figure.points, "color": LIGHT.ink}
    text |= {"path_effects": [withStroke(linewidth=2.5, foreground="white", alpha=0.8)], "zorder": 5}
    labels = []
    for i in [*marked, *others]:
        name, (_, words) = style.short(models.names[i], figure.inches), marked.get(i, ("", ""))
        text["fontweight"] = "bold" if words else "normal"
        at = models.r[i], models.performance[i]
        labels.append(axes.text(*at, f"{name}\n{words}".rstrip(), linespacing=1.1, **text))
    centres = axes.transData.transform(np.column_stack([models.r, models.performance]))
    reach = (np.sqrt(area)[:, None] / 2 + 2) * figure.dpi / 72
    corners = (axes.transData.inverted().transform(centres + sign * reach) for sign in (-1, 1))
    boxes = [Bbox([low, high]) for low, high in zip(*corners, strict=True)]
    arrows = {"arrowstyle": "-", "color": LIGHT.ink, "lw": 0.6}
    # Without a limit of time, with which the same figure would not be the same file.
    how = {"expand": (1.04, 1.15), "force_static": (0.1, 0.3), "iter_lim": 500}
    adjust = require("adjustText", "report", "naming the dots").adjust_text
    adjust(labels, objects=boxes, ax=axes, arrowprops=arrows, **how)
