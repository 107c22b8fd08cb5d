"""What loggers get beside the metrics: axes and summaries, tags to filter by, the record, and a picture.

All of it when a fit begins or ends: the epochs cost nothing more. Loggers are known by the names of their classes, so
that those of `lightning` and of `pytorch_lightning` are, and no tracker is imported that is not in use.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.fabric.utilities import rank_zero_warn
from lightning.pytorch import Trainer

from lightning_pepr.callbacks import _lightning
from lightning_pepr.cost import ENERGY, Resource
from lightning_pepr.figures.palette import LIGHT
from lightning_pepr.record import RunRecord
from lightning_pepr.utilities.files import FILE_NAME
from lightning_pepr.utilities.imports import is_installed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVE = "pepr_curve"  # the tag of the picture
_LONGEST = 5000  # of a tag that MLflow takes


def begin(trainer: Trainer, run: RunRecord, costs: Sequence[str], scores: Sequence[str]) -> None:
    """Announce the costs and scores that will be logged. Like the others, it does nothing on ranks other than 0."""
    # What `load_runs` makes a row of, beside the metrics.
    facts = {"run_id": run.run_id, "model": run.model, "monitor": run.monitor, "test_monitor": run.test_monitor}
    settings = json.dumps(run.settings, default=str) if run.settings else ""
    extra = {"group": run.group, "named": str(run.named) if run.named else "", "settings": settings}
    facts |= {name: text for name, text in extra.items() if 0 < len(text) <= _LONGEST}
    _notify(trainer, trainer, (run.monitor, *scores, *costs, "hp_metric"), TensorBoardLogger=_list_columns)
    _notify(trainer, facts, costs, scores, WandbLogger=_define_metrics)
    _notify(trainer, facts, MLFlowLogger=_tag_begin)


def end(trainer: Trainer, run: RunRecord, keep: bool) -> None:
    """Leave what the run is found by, in TensorBoard the curve, and with `keep` the record itself."""
    _notify(trainer, run, TensorBoardLogger=_draw)
    update(trainer, run, keep)


def update(trainer: Trainer, run: RunRecord, keep: bool) -> None:
    """Leave the record anew: it has changed after the end, by a test."""
    energy = run.costs.get(ENERGY.field)
    findings = {
        "status": run.status,
        "quality": energy.quality if energy else None,
        "device": ", ".join(dict.fromkeys(device.name for device in run.devices.values() if device.name)),
    }
    _notify(trainer, run, findings, WandbLogger=_write_summary, MLFlowLogger=_tag_end)
    if keep:
        _notify(trainer, run, WandbLogger=_save_file, MLFlowLogger=_save_artifact)


def _notify(trainer: Trainer, *args: Any, **kinds: Callable[..., None]) -> None:
    """Call the function for each logger's kind with it. A tracker's trouble is a warning: no training ends by it."""
    for logger in trainer.loggers if trainer.is_global_zero else ():
        notify = next((kinds[kind.__name__] for kind in type(logger).__mro__ if kind.__name__ in kinds), None)
        try:
            if notify is not None:
                notify(logger, *args)
        except Exception as error:  # whatever a server, a store or an installation can raise
            rank_zero_warn(
                f"PePRCallback: {type(logger).__name__} did not take what a run leaves beside its metrics: "
                f"{type(error).__name__}: {error}."
            )


def _list_columns(logger: Any, trainer: Trainer, columns: Sequence[str]) -> None:
    """List the metrics that TensorBoard's table of hyperparameters has columns for.

    Lightning is about to write a list with nothing but a placeholder in it, and TensorBoard keeps the first list.
    """
    params = _lightning.hyperparameters_of(trainer)
    if params and _lightning.lists_placeholder(logger):
        _lightning.write_hyperparameters(logger, params, [_lightning.metric_name(logger, name) for name in columns])


def _draw(logger: Any, run: RunRecord) -> None:
    """Draw the scores for TensorBoard, and add the run to the table of hyperparameters where Lightning does not."""
    if run.evaluations and run.evaluations[-1].known_scores and is_installed("matplotlib"):
        logger.experiment.add_figure(CURVE, score_curve(run), run.epochs[-1].step, close=False)
    if logger.hparams and not _lightning.lists_placeholder(logger):
        _lightning.write_hyperparameters(logger, logger.hparams)


def score_curve(run: RunRecord) -> Figure:
    """Draw P and the scores of a run, which has at least one, over its epochs, and mark the first score's maximum."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    evaluations = run.evaluations
    x: list[float] = []  # how many epochs are done; within an epoch, between its beginning and its end
    for epoch, group in itertools.groupby(each.epoch for each in evaluations):
        count = len(list(group))
        x += [epoch + (index + 1) / count for index in range(count)]
    names = {key: f"PePR-{Resource.of(key).letter}" for each in evaluations for key in each.known_scores}
    lines = {f"P ({run.monitor})": [each.performance or 0.0 for each in evaluations]}
    lines |= {name: [each.known_scores.get(key, math.nan) for each in evaluations] for key, name in names.items()}
    figure = Figure(figsize=(6.4, 4.0), dpi=110, layout="constrained", facecolor=LIGHT.background)
    axes = figure.add_subplot()
    for (label, values), colour in zip(lines.items(), (LIGHT.ink, *LIGHT.series), strict=False):
        axes.plot(x, values, color=colour, lw=1.5, marker=".", label=label)
    key, name = next(iter(names.items()))
    scores = {at: own[key] for at, each in zip(x, evaluations, strict=True) if key in (own := each.known_scores)}
    best = max(scores, key=lambda at: scores[at])
    axes.plot(best, scores[best], "o", ms=10, mfc="none", mec=LIGHT.series[0], mew=1.5)
    title = f"{run.model}: {name} is highest, {scores[best]:.3f}, after {best:g} epochs"
    axes.set_title(title, loc="left", fontsize=10)
    axes.set(xlabel="epochs done", ylim=(min(0.0, *lines[f"P ({run.monitor})"]), 1.02))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _define_metrics(logger: Any, facts: Mapping[str, str], costs: Sequence[str], scores: Sequence[str]) -> None:
    """Define the axis and the summary of each metric in Weights & Biases, and put the run into the config."""
    # The axis of all that Lightning logs.
    axis = "global_step" if _lightning.syncs_tensorboard(logger) else "trainer/global_step"
    for name, summary in (dict.fromkeys(scores, "max") | dict.fromkeys(costs, "last")).items():
        metric = _lightning.metric_name(logger, name)
        logger.experiment.define_metric(metric, step_metric=axis, step_sync=True, summary=summary)
    config = {**facts, "prefix": _lightning.metric_name(logger, "")}
    logger.experiment.config.update({"pepr": config}, allow_val_change=True)


def _write_summary(logger: Any, run: RunRecord, findings: Mapping[str, Any]) -> None:
    logger.experiment.summary["pepr"] = {**findings, "performance": run.performance}


def _save_file(logger: Any, run: RunRecord) -> None:
    """Save the record as a file in Weights & Biases."""
    if getattr(logger.experiment, "disabled", False):  # its folder is one that nobody looks into
        return
    target = Path(logger.experiment.dir) / FILE_NAME
    run.save(target)
    logger.experiment.save(str(target), base_path=str(target.parent), policy="now")


def _tag(logger: Any, facts: Mapping[str, Any], metrics: Sequence[Any] = ()) -> None:
    """Tag MLflow's run with what it is found by. Parameters cannot change, as a resumed or tested run does."""
    from mlflow.entities import RunTag

    tags = [RunTag(f"pepr.{name}", str(value)) for name, value in facts.items() if value]
    logger.experiment.log_batch(logger.run_id, metrics=metrics, tags=tags)


def _tag_begin(logger: Any, facts: Mapping[str, str]) -> None:
    _tag(logger, {**facts, "prefix": _lightning.metric_name(logger, "")})


def _tag_end(logger: Any, run: RunRecord, findings: Mapping[str, Any]) -> None:
    """Tag the run with what was found, and log P as a metric."""
    from mlflow.entities import Metric

    step = run.epochs[-1].step if run.epochs else 0
    values = [] if run.performance is None else [run.performance]
    _tag(logger, findings, [Metric("pepr.performance", value, int(time.time() * 1000), step) for value in values])


def _save_artifact(logger: Any, run: RunRecord) -> None:
    """Save the record as an artifact in MLflow."""
    logger.experiment.log_dict(logger.run_id, run.to_dict(), FILE_NAME)
    _tag(logger, {"record": FILE_NAME})  # so that nobody looks for one in vain
