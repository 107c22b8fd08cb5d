"""PePR curves: the score of runs against what they have spent so far."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lightning_pepr.cost import Resource
from lightning_pepr.curve import PePRCurve, pepr_curve
from lightning_pepr.errors import PePRError
from lightning_pepr.figures.inputs import Runs, named_runs
from lightning_pepr.figures.style import PrintFigure, Width, dress, ends_of, legend, looks, note, short
from lightning_pepr.record import RunRecord
from lightning_pepr.space import ModelSpace


def pepr_curves(
    runs: Runs | Mapping[str, PePRCurve],
    resource: str | Resource = "energy",
    *,
    space: ModelSpace | None = None,
    title: str | None = None,
    width: Width = "page",
    height: float | None = None,
) -> PrintFigure:
    """Draw the score of runs against R, evaluation by evaluation.

    The maximum of each is ringed, and listed in the legend with the area under the best score so far (over R from 0
    to 1), whose outline is the thin line.

    Args:
        runs: Records, or a record for each name, or a `PePRCurve` (of `pepr_curve`) for each.
        resource: Which resource: its name, letter or field.
        space: The space over which costs are normalised; by default the one in which the runs were scored, which must
            be the same.
        title: A line above the picture.
        width: "column" (3.25 in), "page" (6.75 in) or inches.
        height: In inches; by default it follows from the width.

    Returns:
        A figure that belongs to no window.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
        ValueError: If there is no run, a run has no evaluation with the cost, or there is no one space.

    >>> from lightning_pepr import ModelSpace, pepr_curve
    >>> curve = pepr_curve([0.6, 0.9, 0.91], [0.1, 0.2, 0.4], ModelSpace.budget(energy_kwh=0.4))
    >>> pepr_curves({"small": curve}).axes[0].get_legend_handles_labels()[1]
    ['small: 0.600 at R = 0.50 (2nd of 3), area 0.420']
    """
    resource = Resource.of(resource)
    named: dict[str, RunRecord | PePRCurve] = named_runs(runs)
    if space is None and (records := [run for run in named.values() if isinstance(run, RunRecord)]):
        space = _common_space(records, resource)
    curves = {name: _curve(name, run, space, resource) for name, run in named.items()}
    figure = PrintFigure(width)
    figure.set_figheight(height or max(2.4, 0.5 * figure.inches) + 0.15 * len(curves))
    x = f"R, {resource.name} spent so far, normalised{ends_of(space, resource)}"
    axes = dress(figure.add_subplot(), x=x, y=f"PePR-{resource.letter}", title=title)
    dense = max(len(curve.score) for curve in curves.values()) > 40
    for (name, curve), (colour, marker, line) in zip(curves.items(), looks(len(curves)), strict=True):
        r, score, at = curve.resource, curve.score, curve.best_index
        best_r, best = np.append(r, max(1.0, float(r[-1]))), np.append(np.maximum.accumulate(score), score.max())
        axes.plot(best_r, best, drawstyle="steps-post", color=colour, lw=0.6, alpha=0.7, zorder=2)
        if len(curves) <= 2:
            inside = best_r <= 1
            axes.fill_between(best_r[inside], best[inside], step="post", color=colour, alpha=0.08, lw=0, zorder=1)
        label = f"{short(name, figure.inches)}: {curve.best:.3f} at R = {r[at]:.2f} ({_nth(at + 1)} of {len(r)})"
        label += f", area {curve.area:.3f}"
        axes.plot(r, score, "" if dense else marker, color=colour, ls=line, lw=1.2, ms=3, label=label, zorder=3)
        axes.plot(r[at], curve.best, marker, ms=7.5, mfc="none", mec=colour, mew=1.4, zorder=4)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    note(axes, "Ringed: the maximum. Thin: the best so far, under which the area is.")
    legend(axes)
    return figure


def _common_space(records: list[RunRecord], resource: Resource) -> ModelSpace:
    """The range of the resource in the one space in which the records were scored."""
    recorded = [ModelSpace.from_dict(run.space) for run in records if run.space]
    ranges = {each.range(resource) for each in recorded if resource in each}
    if len(ranges) != 1:
        found = "several" if ranges else "none"
        raise PePRError(
            f"of the spaces in which these runs were scored, {found} have {resource.name}, so their scores do not "
            "compare; give one with space=…, such as ModelSpace.from_runs(…)."
        )
    return ModelSpace({resource.field: ranges.pop()})


def _curve(name: str, run: RunRecord | PePRCurve, space: ModelSpace | None, resource: Resource) -> PePRCurve:
    if isinstance(run, PePRCurve):
        return run
    assert space is not None
    if (above := run.exceeded) is not None:
        raise PePRError(
            f"{name} has no performance: {run.monitor} was {above.performance!r} at epoch {above.epoch}; expected a "
            "number in [0, 1]. Leave the run out."
        )
    measured = [e for e in run.evaluations if e.cost.amount(resource) is not None]
    if not measured:
        raise PePRError(f"{name} has no evaluation whose {resource.name} was measured.")
    performance = [e.performance for e in measured if e.performance is not None]
    return pepr_curve(performance, [e.cost for e in measured], space, resource)


def _nth(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
