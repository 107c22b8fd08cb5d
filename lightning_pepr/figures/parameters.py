"""What models reach and cost against how large they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lightning_pepr.cost import PARAMS, RESOURCES
from lightning_pepr.errors import PePRError
from lightning_pepr.figures import style
from lightning_pepr.figures.inputs import Table, categories_of, columns_of
from lightning_pepr.figures.palette import LIGHT
from lightning_pepr.figures.style import PrintFigure, Width

_COSTS = {resource.field: resource for resource in RESOURCES}
_LABELS = {"performance": "Performance P"} | {name: resource.name.capitalize() for name, resource in _COSTS.items()}
_LABELS |= {resource.score_key: f"PePR-{resource.letter}" for resource in RESOURCES}


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

    Performance and scores share one vertical axis; costs have a logarithmic one each. The median of the parameters is
    marked: the models left of it are the small half. Where the table has the interval of a score (`pepr_e_low`,
    `pepr_e_high`), each dot has a bar.

    Args:
        ranking: A table with the columns `params` and `values`: what `rank` returns, any DataFrame, or a dict of
            lists.
        values: Columns: "performance", "pepr_e", "energy_kwh", ….
        color_by: A column of categories, such as the type of model, to be shown by colour and marker.
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
        raise PePRError("values is empty; expected columns to draw, such as ['performance', 'pepr_e'].")
    limits = [f"{name}_{end}" for name in values for end in ("low", "high")]
    found = columns_of(ranking, [PARAMS.field, *values], limits)
    kinds = categories_of(ranking, color_by)
    figure = PrintFigure(width)
    columns = min(len(values), max(1, int(figure.inches / 2.1)))
    rows = -(-len(values) // columns)
    figure.set_figheight(height or rows * max(1.9, 0.75 * figure.inches / (columns + 0.4)) + 0.4)
    if title:
        style.set_suptitle(figure, title)
    shared: Axes | None = None
    for i, name in enumerate(values):
        share = name not in _COSTS
        axes = figure.add_subplot(rows, columns, i + 1, sharey=shared if share else None)
        shared = axes if share and shared is None else shared
        style.dress(axes, x="Parameters", y=(labels or {}).get(name, _LABELS.get(name, name)), grid="y")
        _dots(axes, found, name, kinds)
        if median:
            _median(axes, float(np.nanmedian(found[PARAMS.field])))
    if shared is not None:
        low, high = shared.get_ylim()
        shared.set_ylim(max(0.0, low), min(1.0, high) if high <= 1.05 else high)
        shared.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    if kinds is not None:
        style.legend(figure.axes[0], [*style.category_key(kinds).values()], columns=4)
    return figure


def _dots(axes: Axes, found: Mapping[str, NDArray[np.float64]], name: str, kinds: list[str] | None) -> None:
    """Draw one value against the parameters."""
    resource = _COSTS.get(name)
    params, values = found[PARAMS.field], found[name]
    # On a logarithmic axis there is no 0.
    known = ~np.isnan(values) & (params > 0) & ((values > 0) | (resource is None))
    if not known.any():
        raise PePRError(f"none of the {len(params)} models has both parameters and {name}; there is nothing to draw.")
    size = (8 + 16 * min(1.0, 40 / known.sum())) * min(1.0, style.figure_of(axes).inches / 6.75 + 0.2)
    dot: dict[str, Any] = {"s": size, "edgecolors": LIGHT.ink, "linewidths": 0.4, "alpha": 0.85, "zorder": 3}
    low, high = found.get(f"{name}_low"), found.get(f"{name}_high")
    if low is not None and high is not None and (high[known] > low[known]).any():
        axes.vlines(params[known], low[known], high[known], color=LIGHT.faint, lw=0.5, zorder=2)
    if kinds is None:
        axes.scatter(params[known], values[known], c=LIGHT.model, **dot)
    for kind, mark in style.category_key(kinds or ()).items():
        of_kind = known & (np.array(kinds) == kind)
        axes.scatter(params[of_kind], values[of_kind], c=mark.get_color(), marker=mark.get_marker(), **dot)
    style.log_ticks(axes, "x", _parameters)
    if resource is not None:
        scale, unit = style.unit_of(resource, float(values[known].max()))
        axes.set_ylabel(", ".join(filter(None, (axes.get_ylabel(), unit))))
        style.log_ticks(axes, "y", lambda value: f"{value / scale:g}")
    if left_out := int((~known).sum()):
        style.note(axes, f"{left_out} not measured, not drawn.")


def _median(axes: Axes, at: float) -> None:
    axes.axvline(at, color=LIGHT.ink, lw=0.7, ls="--", zorder=2)
    behind = {"boxstyle": "square,pad=0.1", "fc": LIGHT.background, "ec": "none", "alpha": 0.8}
    place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "ha": "right", "zorder": 4}
    style.write(axes, f"median {_parameters(at)}", (at, 0.0), (-3, 3), color=LIGHT.ink, bbox=behind, **place)


def _parameters(value: float) -> str:
    scale, unit = style.unit_of(PARAMS, value)
    return f"{value / scale:.3g} {unit}".strip()
