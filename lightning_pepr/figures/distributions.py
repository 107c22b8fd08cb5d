"""Many models in one picture: what they reach against how large they are, and groups of them against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lightning_pepr.cost import PARAMS, Resource
from lightning_pepr.figures.palette import LIGHT, order_categories
from lightning_pepr.figures.style import (
    PrintFigure,
    Table,
    Width,
    column,
    columns_of,
    dress,
    head_all,
    inches_of,
    legend,
    log_ticks,
    looks,
    points_of,
    resource_of,
    say_above,
    scaled,
    settle,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def against_parameters(
    ranking: Table,
    values: Sequence[str] = ("performance", "pepr_e"),
    *,
    color_by: str | None = None,
    labels: Mapping[str, str] | None = None,
    median: bool = True,
    title: str | None = None,
    width: Width = "page",
    height: float | None = None,
) -> PrintFigure:
    """Draw performance, scores or costs against the logarithm of the number of parameters, one picture for each.

    Performance and scores share one vertical axis; costs have a logarithmic one each. The
    median of the parameters is marked: the models left of it are the small half. Where the table has the interval of a
    score (`pepr_e_low`, `pepr_e_high`), each dot has a bar.

    Args:
        ranking: A table with the columns `params` and `values`: what `rank` returns, any DataFrame, or a dict of
            lists.
        values: Columns: "performance", "pepr_e", "energy_kwh", ….
        color_by: A column of categories, such as the type of model, to be told by colour and marker.
        labels: Words for the vertical axes, by column; by default those of the score or the resource.
        median: Whether to mark the median.
        title: A line above the pictures.
        width: "column" (3.25 in), "page" (6.75 in) or inches.
        height: In inches; by default it follows from the width.

    Returns:
        A figure that belongs to no window.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
        ValueError: If a column is missing, or no model has both parameters and a value.

    >>> table = {"params": [1e6, 2e7, 9e7], "performance": [0.8, 0.85, 0.86], "pepr_e": [0.8, 0.7, 0.43]}
    >>> [axes.get_ylabel() for axes in against_parameters(table).axes]
    ['Performance P', 'PePR-E']
    """
    values = [values] if isinstance(values, str) else list(values)
    if not values:
        raise ValueError("values is empty; expected columns to draw, such as ['performance', 'pepr_e'].")
    limits = [f"{name}_{end}" for name in values for end in ("low", "high")]
    found = columns_of(ranking, [PARAMS.field, *values], limits)
    if color_by is not None and color_by not in ranking:
        raise ValueError(f"the table has no column {color_by!r} to colour by.")
    kinds = None if color_by is None else ["unknown" if k is None else str(k) for k in ranking[color_by]]
    inches = width_of(width)
    columns = min(len(values), max(1, int(inches / 2.1)))
    rows = -(-len(values) // columns)
    figure = PrintFigure(width, height or rows * max(1.9, 0.75 * inches / (columns + 0.4)) + 0.4)
    if title:
        head_all(figure, title)
    shares = [name for name in values if resource_of(name) is None]
    first: Axes | None = None
    for i, name in enumerate(values):
        with_scale = name in shares and first is not None
        axes = figure.add_subplot(rows, columns, i + 1, sharey=first if with_scale else None)
        first = axes if name in shares and first is None else first
        dress(axes, x="Parameters", y=(labels or {}).get(name, _words(name)))
        _dots(axes, found, name, kinds, median)
    for axes, name in zip(figure.axes, values, strict=True):
        axes.grid(axis="y", color=LIGHT.line, lw=0.4, alpha=0.6, zorder=0)
        if name in shares:
            low, high = axes.get_ylim()
            axes.set_ylim(max(0.0, low), min(1.0, high) if high <= 1.05 else high)
            axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    if kinds is not None:
        legend(figure.axes[0], _key(kinds), columns=4, below=True)
    return settle(figure)


def violins(
    groups: Mapping[str, Sequence[float]],
    *,
    ylabel: str = "Performance P",
    between: Mapping[tuple[str, str], str] | None = None,
    title: str | None = None,
    width: Width = "column",
    height: float | None = None,
) -> PrintFigure:
    """Draw how the values of groups are spread: a violin, every value as a dot, the quartiles and the median.

    Args:
        groups: The values of each group, by what it is called. None and NaN are left out, which is said.
        ylabel: What the values are.
        between: For pairs of groups the words of a comparison, such as "t(260) = 9.1, p = 3e-17".
        title: A line above the picture.
        width: "column" (3.25 in), "page" (6.75 in) or inches.
        height: In inches; by default it follows from the width.

    Returns:
        A figure that belongs to no window.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
        ValueError: If there is no group, one of them has no value, or a comparison names a group that is not there.

    >>> figure = violins({"with": [0.8, 0.82, 0.85], "without": [0.6, 0.7, 0.72]})
    >>> [label.get_text().split() for label in figure.axes[0].get_xticklabels()]
    [['with', 'n', '=', '3'], ['without', 'n', '=', '3']]
    """
    if not groups:
        raise ValueError("groups is empty; expected the values of at least one group.")
    known = {name: values[~np.isnan(values)] for name, values in ((n, column(v)) for n, v in groups.items())}
    for name, left in known.items():
        if not left.size:
            raise ValueError(f"the group {name!r} has no value; expected at least one number in each.")
    for pair in between or {}:
        for name in pair:
            if name not in known:
                raise ValueError(f"there is no group {name!r} to compare; the groups are {', '.join(known)}.")
    inches = width_of(width)
    figure = PrintFigure(width, height or max(2.4, 0.6 * inches))
    axes = figure.add_subplot()
    dress(axes, y=ylabel, title=title)
    for i, (values, (colour, _, _)) in enumerate(zip(known.values(), looks(len(known)), strict=True)):
        _violin(axes, i, values, colour)
    axes.set_xticks(range(len(known)), [f"{name}\nn = {len(values)}" for name, values in known.items()])
    axes.set_xlim(-0.6, len(known) - 0.4)
    axes.grid(axis="y", color=LIGHT.line, lw=0.4, alpha=0.6, zorder=0)
    _brackets(axes, list(known), between or {}, max(float(values.max()) for values in known.values()))
    missing = sum(len(list(values)) for values in groups.values()) - sum(map(len, known.values()))
    if missing:
        say_above(axes, f"{missing} not known, not drawn.")
    return settle(figure)


def _words(name: str) -> str:
    """What a column holds, for its axis."""
    if name == "performance":
        return "Performance P"
    if (resource := resource_of(name)) is not None:
        return resource.name.capitalize()
    try:
        return f"PePR-{Resource.of(name).letter}"
    except ValueError:
        return name


def _dots(axes: Axes, found: Mapping[str, Array], name: str, kinds: list[str] | None, median: bool) -> None:
    """Draw one value against the parameters."""
    resource = resource_of(name)
    params, values = found[PARAMS.field], found[name]
    known = ~(np.isnan(params) | np.isnan(values)) & (params > 0)
    if resource is not None:
        known &= values > 0  # which has a logarithm
    if not known.any():
        raise ValueError(f"none of the {len(params)} models has both parameters and {name}; there is nothing to draw.")
    if resource is not None:
        _, unit = scaled(resource, float(values[known].max()))
        axes.set_ylabel(f"{axes.get_ylabel()}, {unit}" if unit else axes.get_ylabel())
    few = min(1.0, 40 / known.sum())
    dot: dict[str, Any] = {
        "s": (8 + 16 * few) * min(1.0, inches_of(axes) / 6.75 + 0.2),
        "edgecolors": LIGHT.ink,
        "linewidths": 0.4,
        "alpha": 0.85,
        "zorder": 3,
    }
    low, high = found.get(f"{name}_low"), found.get(f"{name}_high")
    if low is not None and high is not None and (high[known] > low[known]).any():
        axes.vlines(params[known], low[known], high[known], color=LIGHT.faint, lw=0.5, zorder=2)
    if kinds is None:
        axes.scatter(params[known], values[known], c=LIGHT.model, **dot)
    else:
        order = order_categories(kinds)
        for kind, (colour, marker, _) in zip(order, looks(len(order)), strict=True):
            of_kind = known & (np.array(kinds) == kind)
            axes.scatter(params[of_kind], values[of_kind], c=colour, marker=marker, **dot)
    log_ticks(axes, "x", _tell_params)
    if resource is not None:
        largest = float(values[known].max())
        scale, _ = scaled(resource, largest)
        log_ticks(axes, "y", lambda value: f"{value * scale:g}")
    if median:
        _median(axes, float(np.median(params[~np.isnan(params)])))
    if left_out := int((~known).sum()):
        say_above(axes, f"{left_out} not measured, not drawn.")


def _median(axes: Axes, at: float) -> None:
    axes.axvline(at, color=LIGHT.ink, lw=0.7, ls="--", zorder=2)
    axes.annotate(
        f"median {_tell_params(at, 3)}",
        (at, 0.0),
        xycoords=("data", "axes fraction"),
        xytext=(-3, 3),
        textcoords="offset points",
        ha="right",
        color=LIGHT.ink,
        fontsize=points_of(axes) - 1,
        bbox={"boxstyle": "square,pad=0.1", "fc": LIGHT.background, "ec": "none", "alpha": 0.8},
        zorder=4,
    )


def _tell_params(value: float, digits: int = 3) -> str:
    scale, unit = scaled(PARAMS, value)
    return f"{value * scale:.{digits}g} {unit}".strip()


def _key(kinds: Sequence[str]) -> list[Line2D]:
    order = order_categories(kinds)
    style: dict[str, Any] = {"ls": "", "mec": LIGHT.ink, "mew": 0.4, "ms": 4.5}
    return [
        Line2D([], [], marker=marker, color=colour, label=kind, **style)
        for kind, (colour, marker, _) in zip(order, looks(len(order)), strict=True)
    ]


def _violin(axes: Axes, at: float, values: Array, colour: str) -> None:
    """One group; with fewer than three different values there is no density to draw, but the values."""
    if len(np.unique(values)) > 2:
        bodies: Any = axes.violinplot([values], [at], widths=0.75, showextrema=False)["bodies"]
        for body in bodies:
            body.set(facecolor=colour, alpha=0.25, edgecolor=colour, linewidth=0.8)
    # Dots beside each other, always in the same places: by a sequence that fills a stretch evenly.
    beside = (np.arange(len(values)) * 0.6180339887 % 1 - 0.5) * min(0.3, 0.02 * len(values))
    axes.scatter(at + beside, values, s=4, c=colour, linewidths=0, alpha=0.6, zorder=2)
    lower, middle, upper = np.quantile(values, [0.25, 0.5, 0.75])
    axes.vlines(at, lower, upper, color=LIGHT.ink, lw=2.2, zorder=3)
    axes.plot(at, middle, "o", ms=3.6, mfc=LIGHT.background, mec=LIGHT.ink, mew=0.9, zorder=4)


def _brackets(axes: Axes, names: list[str], between: Mapping[tuple[str, str], str], top: float) -> None:
    """Say above the violins what their comparison gave, each in a row of its own."""
    low, high = axes.get_ylim()
    step = 0.13 * (high - low)
    for row, ((one, two), words) in enumerate(between.items()):
        left, right = sorted((names.index(one), names.index(two)))
        y = max(high, top) + step * (row + 0.25)
        tick = 0.18 * step
        axes.plot([left, left, right, right], [y - tick, y, y, y - tick], color=LIGHT.ink, lw=0.7)
        axes.text(
            (left + right) / 2,
            y + tick / 2,
            words,
            ha="center",
            va="bottom",
            color=LIGHT.ink,
            fontsize=points_of(axes) - 1,
        )
        axes.set_ylim(low, y + step)
