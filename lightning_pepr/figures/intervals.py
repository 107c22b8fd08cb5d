"""What a run was forecast to cost, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lightning_pepr.cost import Resource
from lightning_pepr.errors import PePRError
from lightning_pepr.figures.palette import LIGHT
from lightning_pepr.figures.style import PrintFigure, Width, dress, legend, unit_of
from lightning_pepr.forecast import forecast
from lightning_pepr.record import RunRecord


def forecast_intervals(
    run: RunRecord | Sequence[float],
    epochs: int | None = None,
    *,
    resource: str | Resource = "energy",
    level: float = 0.9,
    period: int | None = None,
    title: str | None = None,
    width: Width = "column",
    height: float | None = None,
) -> PrintFigure:
    """Draw what the whole run was expected to cost after each of its epochs, against what it has spent by then.

    Args:
        run: A record, or all that was spent up to the end of each epoch so far, in the resource's unit.
        epochs: How many epochs the run is to have in all; by default as many as there are.
        resource: Which resource: energy, carbon, time or data. Others do not add up.
        level: How likely the interval is to hold the cost.
        period: Same as for `forecast`.
        title: A line above the picture.
        width: "column" (3.25 in), "page" (6.75 in) or inches.
        height: In inches; by default it follows from the width.

    Returns:
        A figure that belongs to no window.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
        ValueError: If the resource does not add up or was not measured, or there are fewer than two epochs.

    >>> figure = forecast_intervals([1.0, 2.02, 3.01, 4.03, 5.04], epochs=50)
    >>> figure.axes[0].get_ylabel()
    'Energy, kWh'
    """
    resource = Resource.of(resource)
    if resource.letter not in "ECTD":
        raise PePRError(f"{resource.name} does not add up over epochs; expected energy, carbon, time or data.")
    if isinstance(run, RunRecord):  # of evaluations within one epoch the last counts
        by_epoch = {e.epoch: amount for e in run.epochs if (amount := e.cost.amount(resource)) is not None}
        run = [by_epoch[epoch] for epoch in sorted(by_epoch)]
    spent = [float(value) for value in run]
    if len(spent) < 2:
        raise PePRError(f"there are {len(spent)} epochs with their {resource.name}; expected two or more to forecast.")
    epochs = len(spent) if epochs is None else epochs
    made = {n: forecast(spent[:n], epochs, level, period) for n in range(2, len(spent) + 1)}
    after = [n for n, each in made.items() if each is not None]
    expected, low, high = np.array([each[:3] for each in made.values() if each is not None]).T
    largest = max(spent[-1], float(expected.max()))
    scale, unit = unit_of(resource, largest)
    figure = PrintFigure(width)
    figure.set_figheight(height or max(2.4, 0.62 * figure.inches))
    y = f"{resource.name.capitalize()}, {unit}"
    axes = dress(figure.add_subplot(), x="Epochs done", y=y, title=title, grid="y")
    forecast_colour, spent_colour = LIGHT.series[:2]
    interval = f"{level:.0%} interval"
    axes.fill_between(after, low / scale, high / scale, color=forecast_colour, alpha=0.2, lw=0, label=interval)
    axes.plot(after, expected / scale, color=forecast_colour, lw=1.2, label="expected for the whole run")
    axes.plot(np.array([0.0, *spent]) / scale, color=spent_colour, lw=1.2, ls="--", label="spent")
    if len(spent) == epochs:
        axes.axhline(spent[-1] / scale, color=LIGHT.ink, lw=0.7, ls=":", label="what it came to", zorder=1)
    axes.set_xlim(0, epochs)
    # A wide first interval must not press the rest flat.
    axes.set_ylim(0, 1.05 / scale * max(largest, float(np.quantile(high, 0.8))))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    legend(axes, columns=2)
    return figure
