"""What each stage of a run cost."""

from __future__ import annotations

from matplotlib.patches import Patch

from lightning_pepr.cost import CARBON, ENERGY, TIME, UJ_PER_KWH, Resource
from lightning_pepr.errors import PePRError
from lightning_pepr.figures.inputs import Runs, named_runs
from lightning_pepr.figures.palette import LIGHT, STAGES, order_categories
from lightning_pepr.figures.style import PrintFigure, Width, dress, legend, short, unit_of
from lightning_pepr.record import RunRecord

_LOOKS = dict(zip(STAGES, zip(LIGHT.series, ("", "////", "....", "++++", "xxxx"), strict=False), strict=True))
_OTHER_LOOK = (LIGHT.series[len(STAGES)], "\\\\\\\\")


def cost_by_stage(
    runs: Runs,
    resource: str | Resource = "energy",
    *,
    title: str | None = None,
    width: Width = "page",
    height: float | None = None,
) -> PrintFigure:
    """Draw what each stage of runs cost, as bars: train, validate, other and metering, which make up the run, and test.

    Each stage has its colour and its hatching. A test comes on top of the run's cost, and is drawn apart from it.

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
        raise PePRError(f"{resource.name} is not recorded by stage; expected energy, time or carbon.")
    named: dict[str, RunRecord] = named_runs(runs)
    amounts = {name: _stages(run, resource) for name, run in named.items()}
    largest = max(sum(stages.values()) for stages in amounts.values())
    if not largest:
        raise PePRError(f"none of the {len(amounts)} runs has measured its {resource.name} by stage.")
    scale, unit = unit_of(resource, largest)
    figure = PrintFigure(width, height or max(1.7, 1.0 + 0.26 * len(amounts)))
    axes = dress(figure.add_subplot(), x=f"{resource.name.capitalize()}, {unit}", title=title, grid="x")
    for row, stages in enumerate(amounts.values()):
        if not stages:
            axes.text(0, row, " not measured", va="center", color=LIGHT.faint, fontsize=figure.points - 0.5)
        left = 0.0
        for stage, amount in stages.items():
            left += 0.012 * largest * (stage == "test")
            colour, hatch = _LOOKS.get(stage, _OTHER_LOOK)
            axes.barh(row, amount / scale, left=left / scale, height=0.66, color=colour, ec="white", hatch=hatch, lw=0)
            left += amount
    axes.set_yticks(range(len(amounts)), [short(name, figure.inches) for name in amounts])
    axes.set_ylim(len(amounts) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)
    key = [
        Patch(fc=colour, ec="white", hatch=hatch, lw=0, label="test, on top" if stage == "test" else stage)
        for stage in order_categories((stage for stages in amounts.values() for stage in stages), STAGES)
        for colour, hatch in [_LOOKS.get(stage, _OTHER_LOOK)]
    ]
    legend(axes, key, columns=len(key))
    return figure


def _stages(run: RunRecord, resource: Resource) -> dict[str, float]:
    """What each stage cost, in the resource's unit, in the order in which they are drawn; empty if unmeasured."""
    if resource == TIME:
        found = {name: stage.time_ns / 1e9 for name, stage in run.stages.items()}
    elif resource == CARBON and run.carbon.get("g_per_kwh") is None:
        return {}
    else:
        of_kwh = run.carbon["g_per_kwh"] * run.carbon.get("pue", 1.0) if resource == CARBON else 1.0
        known = {name: stage.energy_uj for name, stage in run.stages.items() if stage.energy_uj is not None}
        found = {name: energy / UJ_PER_KWH * of_kwh for name, energy in known.items()}
    order = sorted(order_categories(found, STAGES), key=lambda name: name == "test")
    return {name: found[name] for name in order if found[name] > 0}
