"""The picture of a run's scores that TensorBoard shows."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from lightning_pepr.cost import Resource
from lightning_pepr.figures.palette import LIGHT
from lightning_pepr.record import RunRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def score_curve(run: RunRecord) -> Figure:
    """Draw P and the scores of a run, which has at least one, over its epochs, and mark the first score's maximum."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    evaluations = run.evaluations
    x: list[float] = []  # how many epochs are done; within an epoch, between its beginning and its end
    for epoch, group in itertools.groupby(each.epoch for each in evaluations):
        count = len(list(group))
        x += [epoch + (index + 1) / count for index in range(count)]
    lines = {f"P ({run.monitor})": [each.performance or 0.0 for each in evaluations]}
    keys = list(dict.fromkeys(key for each in evaluations for key in each.scores))
    for key in keys:
        lines[f"PePR-{Resource.of(key).letter}"] = [each.scores.get(key, math.nan) for each in evaluations]
    figure = Figure(figsize=(6.4, 4.0), dpi=110, layout="constrained", facecolor=LIGHT.background)
    axes = figure.add_subplot()
    for (label, values), colour in zip(lines.items(), (LIGHT.ink, *LIGHT.series), strict=False):
        axes.plot(x, values, color=colour, lw=1.5, marker=".", label=label)
    scores = {at: each.scores[keys[0]] for at, each in zip(x, evaluations, strict=True) if keys[0] in each.scores}
    best = max(scores, key=lambda at: scores[at])
    axes.plot(best, scores[best], "o", ms=10, mfc="none", mec=LIGHT.series[0], mew=1.5)
    name = f"PePR-{Resource.of(keys[0]).letter}"
    title = f"{run.model}: {name} is highest, {scores[best]:.3f}, after {best:g} epochs"
    axes.set_title(title, loc="left", fontsize=10)
    axes.set(xlabel="epochs done", ylim=(0.0, 1.02))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
