"""How runs went: their scores as they spent, what each stage of them cost, and what was forecast when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lightning_pepr.cost import CARBON, ENERGY, TIME, Resource
from lightning_pepr.curve import PePRCurve, pepr_curve
from lightning_pepr.figures.palette import LIGHT, STAGES
from lightning_pepr.figures.style import (
    PrintFigure,
    Width,
    dress,
    ends_of,
    legend,
    looks,
    points_of,
    say_above,
    scaled,
    settle,
    short,
    width_of,
)
from lightning_pepr.forecast import forecast
from lightning_pepr.record import RunRecord
from lightning_pepr.space import ModelSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Runs: TypeAlias = "RunRecord | Sequence[RunRecord] | Mapping[str, RunRecord]"

_HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++")


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

    The maximum of each is marked, and told in the key with the area under the best score so far (over R from 0 to 1),
    whose outline is the thin line.

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
    named = _named(runs)
    space = _space_of(named, resource, space)
    curves = _curves(named, resource, space)
    inches = width_of(width)
    figure = PrintFigure(width, height or max(2.4, 0.5 * inches) + 0.15 * len(curves))
    axes = figure.add_subplot()
    dress(
        axes,
        x=f"R, {resource.name} spent so far, normalised{ends_of(space, resource)}",
        y=f"PePR-{resource.letter}",
        title=title,
    )
    dense = max(len(curve.score) for curve in curves.values()) > 40
    for (name, curve), (colour, marker, line) in zip(curves.items(), looks(len(curves)), strict=True):
        r, score = curve.resource, curve.score
        steps = np.append(r, max(1.0, float(r[-1]))), np.append(np.maximum.accumulate(score), score.max())
        axes.plot(*steps, drawstyle="steps-post", color=colour, lw=0.6, alpha=0.7, zorder=2)
        if len(curves) <= 2:
            inside = steps[0] <= 1
            axes.fill_between(steps[0][inside], steps[1][inside], step="post", color=colour, alpha=0.08, lw=0, zorder=1)
        at = curve.best_index
        axes.plot(
            r,
            score,
            color=colour,
            ls=line,
            lw=1.2,
            marker="" if dense else marker,
            ms=3,
            label=f"{short(name, inches)}: {curve.best:.3f} at R = {r[at]:.2f} ({_nth(at + 1)} of {len(r)}), "
            f"area {curve.area:.3f}",
            zorder=3,
        )
        axes.plot(r[at], curve.best, marker, ms=7.5, mfc="none", mec=colour, mew=1.4, zorder=4)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    say_above(axes, "Ringed: the maximum. Thin: the best so far, under which the area is.")
    legend(axes, below=True)
    return settle(figure)


def cost_by_stage(
    runs: Runs,
    resource: str | Resource = "energy",
    *,
    title: str | None = None,
    width: Width = "page",
    height: float | None = None,
) -> PrintFigure:
    """Draw what each stage of runs cost, as bars: train, validate and other, which make up the run, and test.

    A stage is told by its colour and its hatching. A test comes on top of the run's cost, and is drawn apart from it.

    Args:
        runs: Records, or a record for each name.
        resource: "energy", "time", or "carbon", which is the energy times the run's intensity.
        title: A line above the picture.
        width: "column" (3.25 in), "page" (6.75 in) or inches.
        height: In inches; by default it follows from the number of runs.

    Returns:
        A figure that belongs to no window.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
        ValueError: If the resource is not recorded by stage, there is no run, or none has measured it.

    >>> from lightning_pepr.record import RunRecord, Stage
    >>> run = RunRecord("small", stages={"train": Stage(7_200_000_000), "validate": Stage(1_800_000_000)})
    >>> cost_by_stage(run).axes[0].get_xlabel()
    'Energy, Wh'
    """
    resource = Resource.of(resource)
    if resource not in (ENERGY, TIME, CARBON):
        raise ValueError(f"{resource.name} is not recorded by stage; expected energy, time or carbon.")
    named = _named(runs)
    amounts = {name: _stages(run, resource) for name, run in named.items()}
    if not any(value for stages in amounts.values() for value in stages.values()):
        raise ValueError(f"none of the {len(named)} runs has measured its {resource.name} by stage.")
    gap = 0.012 * max(sum(stages.values()) for stages in amounts.values())
    scale, unit = scaled(resource, max(sum(stages.values()) for stages in amounts.values()))
    figure = PrintFigure(width, height or max(1.7, 1.0 + 0.26 * len(named)))
    axes = figure.add_subplot()
    dress(axes, x=f"{resource.name.capitalize()}, {unit}", title=title)
    for row, stages in enumerate(amounts.values()):
        if not stages:
            axes.text(0, row, " not measured", va="center", color=LIGHT.faint, fontsize=points_of(axes) - 0.5)
        left = 0.0
        for stage, amount in stages.items():
            left += gap * (stage == "test")
            colour, hatch = _stage_look(stage)
            axes.barh(row, amount * scale, left=left * scale, height=0.66, color=colour, ec="white", hatch=hatch, lw=0)
            left += amount
    axes.set_yticks(range(len(named)), [short(name, width_of(width)) for name in named])
    axes.set_ylim(len(named) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=LIGHT.line, lw=0.4, alpha=0.6, zorder=0)
    axes.set_axisbelow(True)
    there = [stage for stage in STAGES if any(stage in stages for stages in amounts.values())]
    there += sorted({stage for stages in amounts.values() for stage in stages} - set(STAGES))
    key = [Patch(fc=_stage_look(s)[0], ec="white", hatch=_stage_look(s)[1], lw=0, label=_stage_word(s)) for s in there]
    legend(axes, key, columns=len(key), below=True)
    return settle(figure)


def forecasts(
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
        period: As of `forecast`.
        title: A line above the picture.
        width: "column" (3.25 in), "page" (6.75 in) or inches.
        height: In inches; by default it follows from the width.

    Returns:
        A figure that belongs to no window.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
        ValueError: If the resource does not add up or was not measured, or there are fewer than two epochs.

    >>> figure = forecasts([1.0, 2.02, 3.01, 4.03, 5.04], epochs=50)
    >>> figure.axes[0].get_ylabel()
    'Energy, kWh'
    """
    resource = Resource.of(resource)
    if resource.letter not in "ECTD":
        raise ValueError(f"{resource.name} does not add up over epochs; expected energy, carbon, time or data.")
    spent = _spent(run, resource) if isinstance(run, RunRecord) else [float(value) for value in run]
    if len(spent) < 2:
        raise ValueError(f"there are {len(spent)} epochs with their {resource.name}; expected two or more to forecast.")
    epochs = len(spent) if epochs is None else epochs
    told = [(n, forecast(spent[:n], epochs, level, period)) for n in range(2, len(spent) + 1)]
    after = np.array([n for n, found in told if found is not None])
    found = np.array([each[:3] for _, each in told if each is not None])  # expected, low, high
    scale, unit = scaled(resource, float(max(found[:, 0].max(), spent[-1])))
    figure = PrintFigure(width, height or max(2.4, 0.62 * width_of(width)))
    axes = figure.add_subplot()
    dress(axes, x="Epochs done", y=f"{resource.name.capitalize()}, {unit}".removesuffix(", "), title=title)
    band, line, done = LIGHT.series[0], LIGHT.series[0], LIGHT.series[1]
    axes.fill_between(
        after, found[:, 1] * scale, found[:, 2] * scale, color=band, alpha=0.2, lw=0, label=f"{level:.0%} interval"
    )
    axes.plot(after, found[:, 0] * scale, color=line, lw=1.2, label="expected for the whole run")
    axes.plot(range(len(spent) + 1), np.array([0.0, *spent]) * scale, color=done, lw=1.2, ls="--", label="spent")
    if len(spent) == epochs:
        axes.axhline(spent[-1] * scale, color=LIGHT.ink, lw=0.7, ls=":", label="what it came to", zorder=1)
    axes.set_xlim(0, epochs)
    # A wide first interval must not press the rest flat.
    axes.set_ylim(0, 1.05 * scale * max(spent[-1], float(found[:, 0].max()), float(np.quantile(found[:, 2], 0.8))))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="y", color=LIGHT.line, lw=0.4, alpha=0.6, zorder=0)
    legend(axes, columns=2, below=True)
    return settle(figure)


def _named(runs: Any) -> dict[str, Any]:
    """Runs by what they are called; of several of one name each has its number."""
    if isinstance(runs, Mapping):
        named = dict(runs)
    else:
        runs = [runs] if isinstance(runs, RunRecord) else list(runs)
        names = [run.model for run in runs]
        so_far: dict[str, int] = {}
        named = {}
        for name, run in zip(names, runs, strict=True):
            so_far[name] = so_far.get(name, 0) + 1
            named[f"{name} ({so_far[name]})" if names.count(name) > 1 else name] = run
    if not named:
        raise ValueError("there is no run to draw; expected at least one record.")
    return named


def _space_of(named: Mapping[str, Any], resource: Resource, space: ModelSpace | None) -> ModelSpace | None:
    """The space of all the records; None if there is no record, since curves have been normalised already."""
    records = [run for run in named.values() if isinstance(run, RunRecord)]
    if space is not None or not records:
        return space
    recorded = [ModelSpace.from_dict(run.space) for run in records if run.space]
    spaces = {each.range(resource) for each in recorded if resource in each}
    if len(spaces) != 1:
        found = "several" if spaces else "none"
        raise ValueError(
            f"of the spaces in which these runs were scored, {found} have {resource.name}, so their scores do not "
            "compare; give one with space=…, such as ModelSpace.from_runs(…)."
        )
    return ModelSpace({resource.field: spaces.pop()})


def _curves(named: Mapping[str, Any], resource: Resource, space: ModelSpace | None) -> dict[str, PePRCurve]:
    """The curve of each run, all in one space."""
    curves: dict[str, PePRCurve] = {}
    for name, run in named.items():
        if not isinstance(run, RunRecord):
            curves[name] = run
            continue
        assert space is not None
        told = [e for e in run.evaluations if e.cost.amount(resource) is not None]
        if not told:
            raise ValueError(f"{name} has no evaluation whose {resource.name} was measured.")
        performance = [e.performance for e in told if e.performance is not None]
        curves[name] = pepr_curve(performance, [e.cost for e in told], space, resource)
    return curves


def _stages(run: RunRecord, resource: Resource) -> dict[str, float]:
    """What each stage cost, in the resource's unit, in the order in which they are drawn; empty if unmeasured."""
    if resource == TIME:
        found = {name: stage.time_ns / 1e9 for name, stage in run.stages.items()}
    else:
        per_uj = 1 / 3.6e12
        if resource == CARBON:
            intensity = run.carbon.get("g_per_kwh")
            if intensity is None:
                return {}
            per_uj *= intensity * run.carbon.get("pue", 1.0)
        found = {name: s.energy_uj * per_uj for name, s in run.stages.items() if s.energy_uj is not None}
    order = [name for name in STAGES if name in found] + sorted(set(found) - set(STAGES))
    order.sort(key=lambda name: name == "test")
    return {name: found[name] for name in order if found[name] > 0}


def _stage_look(stage: str) -> tuple[str, str]:
    at = STAGES.index(stage) if stage in STAGES else len(STAGES)
    return LIGHT.series[at % len(LIGHT.series)], _HATCHES[at % len(_HATCHES)]


def _stage_word(stage: str) -> str:
    return "test, on top" if stage == "test" else stage


def _spent(run: RunRecord, resource: Resource) -> list[float]:
    """All that was spent up to the end of each epoch; of evaluations within one epoch, up to the last."""
    by_epoch = {e.epoch: amount for e in run.epochs if (amount := e.cost.amount(resource)) is not None}
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def _nth(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
