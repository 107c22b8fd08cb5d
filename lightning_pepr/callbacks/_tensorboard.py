"""TensorBoard: the table of hyperparameters, and the picture of the scores."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Trainer

from lightning_pepr.callbacks import _lightning
from lightning_pepr.cost import Resource
from lightning_pepr.figures.palette import LIGHT
from lightning_pepr.record import RunRecord
from lightning_pepr.utilities.imports import is_installed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVE = "pepr_curve"
"""The tag of the picture."""


def list_columns(logger: Any, trainer: Trainer, columns: Sequence[str]) -> None:
    """List the metrics that the table of hyperparameters has columns for.

    Lightning is about to write a list with nothing but a placeholder in it, and TensorBoard keeps the first list.
    """
    params = _lightning.hyperparameters_of(trainer)
    if params and _lightning.lists_placeholder(logger):
        _lightning.write_hyperparameters(logger, params, [_lightning.metric_name(logger, name) for name in columns])


def draw(logger: Any, run: RunRecord) -> None:
    """Draw the scores, and add the run to the table of hyperparameters where Lightning does not."""
    if run.evaluations and run.evaluations[-1].scores and is_installed("matplotlib"):
        logger.experiment.add_figure(CURVE, score_curve(run), run.epochs[-1].step, close=False)
    if logger.hparams and not _lightning.lists_placeholder(logger):
        _lightning.write_hyperparameters(logger, logger.hparams)


def score_curve(run: RunRecord) -> Figure:
    """Draw P and the scores of a run over its epochs, with the maximum of the first score marked.

    The run has at least one score; the figure belongs to no window.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    evaluations = run.evaluations
    keys = list(dict.fromkeys(key for epoch in evaluations for key in epoch.scores))
    x = _epochs_done(run)
    figure = Figure(figsize=(6.4, 4.0), dpi=110, layout="constrained", facecolor=LIGHT.background)
    axes = figure.add_subplot()
    performances = [epoch.performance or 0.0 for epoch in evaluations]
    axes.plot(x, performances, color=LIGHT.ink, lw=1.5, marker=".", label=f"P ({run.monitor})")
    for key, colour in zip(keys, LIGHT.series, strict=False):
        values = [epoch.scores.get(key, math.nan) for epoch in evaluations]
        axes.plot(x, values, color=colour, lw=1.5, marker=".", label=_score_name(key))
    first = {at: epoch.scores[keys[0]] for at, epoch in zip(x, evaluations, strict=True) if keys[0] in epoch.scores}
    best = max(first, key=lambda at: first[at])
    axes.plot(best, first[best], "o", ms=10, mfc="none", mec=LIGHT.series[0], mew=1.5)
    title = f"{run.model}: {_score_name(keys[0])} is highest, {first[best]:.3f}, after {best:g} epochs"
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("epochs done")
    axes.set_ylim(0.0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _epochs_done(run: RunRecord) -> list[float]:
    """How many epochs each evaluation comes after: those within an epoch lie between its beginning and its end."""
    in_epoch = Counter(epoch.epoch for epoch in run.evaluations)
    so_far = Counter[int]()
    done = []
    for epoch in run.evaluations:
        so_far[epoch.epoch] += 1
        done.append(epoch.epoch + so_far[epoch.epoch] / in_epoch[epoch.epoch])
    return done


def _score_name(key: str) -> str:
    return f"PePR-{Resource.of(key).letter}"
