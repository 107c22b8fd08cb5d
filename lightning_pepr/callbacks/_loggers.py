"""What loggers are told beside the metrics: axes and summaries, tags to filter by, the record, and a picture.

All of it when a fit begins or ends: the epochs cost nothing more. Loggers are known by the names of their classes, so
that those of `lightning` and of `pytorch_lightning` are, and no tracker is imported that is not in use.
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.fabric.utilities import rank_zero_warn
from lightning.pytorch import Trainer

from lightning_pepr.cost import Resource
from lightning_pepr.record import RunRecord
from lightning_pepr.utilities.files import FILE_NAME

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

NAMESPACE = "pepr"
"""Under which name trackers have what is no metric: tags `pepr.model` …, the config and the summary `pepr`."""

CURVE = "pepr_curve"
"""The tag of the picture."""


def begin(trainer: Trainer, run: RunRecord, costs: Sequence[str], scores: Sequence[str]) -> None:
    """Say what will be logged, before it is. For rank 0; elsewhere it does nothing.

    Args:
        trainer: Whose loggers are told.
        run: The run that begins.
        costs: The keys of the costs that will be logged.
        scores: The keys of the scores that will be logged.
    """
    fit = _Fit(trainer, run, tuple(costs), tuple(scores))
    _tell(fit, TensorBoardLogger=_list_columns, WandbLogger=_define, MLFlowLogger=_tag)


def end(trainer: Trainer, run: RunRecord, keep: bool = True) -> None:
    """Leave the record and what to find the run by, and in TensorBoard the curve. For rank 0.

    Args:
        trainer: Whose loggers are told.
        run: The run that has ended, as it is now.
        keep: Whether to leave the record itself.
    """
    _tell(_Fit(trainer, run), TensorBoardLogger=_draw)
    update(trainer, run, keep)


def update(trainer: Trainer, run: RunRecord, keep: bool = True) -> None:
    """Leave the record anew: it has changed after the end, by a test. For rank 0; arguments as of `end`."""
    _tell(_Fit(trainer, run), WandbLogger=_summarise, MLFlowLogger=_tag_end)
    if keep:
        _tell(_Fit(trainer, run), WandbLogger=_save_file, MLFlowLogger=_save_artifact)


def score_curve(run: RunRecord) -> Figure:
    """Draw P and the scores of a run over its epochs, with the maximum of the first score marked.

    Args:
        run: A run with at least one score.

    Returns:
        A figure that belongs to no window.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from lightning_pepr.figures.palette import LIGHT

    told = run.evaluations
    keys = list(dict.fromkeys(key for epoch in told for key in epoch.scores))
    # Evaluations within an epoch lie between its beginning and its end.
    of, so_far = Counter(epoch.epoch for epoch in told), Counter[int]()
    x = []
    for epoch in told:
        so_far[epoch.epoch] += 1
        x.append(epoch.epoch + so_far[epoch.epoch] / of[epoch.epoch])
    figure = Figure(figsize=(6.4, 4.0), dpi=110, layout="constrained", facecolor=LIGHT.background)
    axes = figure.add_subplot()
    axes.plot(x, [e.performance or 0.0 for e in told], color=LIGHT.ink, lw=1.5, marker=".", label=f"P ({run.monitor})")
    for key, colour in zip(keys, LIGHT.series, strict=False):
        values = [e.scores.get(key, math.nan) for e in told]
        axes.plot(x, values, color=colour, lw=1.5, marker=".", label=_name(key))
    first = {at: e.scores[keys[0]] for at, e in zip(x, told, strict=True) if keys[0] in e.scores}
    best = max(first, key=lambda at: first[at])
    axes.plot(best, first[best], "o", ms=10, mfc="none", mec=LIGHT.series[0], mew=1.5)
    title = f"{run.model}: {_name(keys[0])} is highest, {first[best]:.3f}, after {best:g} epochs"
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("epochs done")
    axes.set_ylim(0.0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _name(key: str) -> str:
    return f"PePR-{Resource.of(key).letter}"


@dataclass(frozen=True, slots=True)
class _Fit:
    """Of what the loggers are told."""

    trainer: Trainer
    run: RunRecord
    costs: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()


def _tell(fit: _Fit, **kinds: Callable[[Any, _Fit], None]) -> None:
    """Call what there is for each kind of logger. A tracker's trouble is a warning: no training ends by it."""
    if not fit.trainer.is_global_zero:
        return
    for logger in fit.trainer.loggers:
        tell = next((kinds[kind.__name__] for kind in type(logger).__mro__ if kind.__name__ in kinds), None)
        if tell is None:
            continue
        try:
            tell(logger, fit)
        except Exception as error:  # whatever a server, a store or an installation can raise
            rank_zero_warn(
                f"PePRCallback: {type(logger).__name__} did not take what a run leaves beside its metrics: "
                f"{type(error).__name__}: {error}."
            )


def _key(logger: Any, name: str) -> str:
    """The name under which a logger has a metric."""
    prefix = getattr(logger, "_prefix", "")
    return f"{prefix}{logger.LOGGER_JOIN_CHAR}{name}" if prefix else name


def _facts(run: RunRecord, logger: Any) -> dict[str, str]:
    """What is known of a run when it begins. From these and its metrics `trackers` can tell its row."""
    return {
        "run_id": run.run_id,
        "model": run.model,
        "monitor": run.monitor,
        "test_monitor": run.test_monitor,
        "prefix": _key(logger, ""),
    }


def _findings(run: RunRecord) -> dict[str, Any]:
    """What is known of a run when it has ended, beside its metrics."""
    energy = run.costs.get("energy_kwh")
    return {
        "status": run.status,
        "performance": run.performance,
        "quality": energy.quality if energy else None,
        "device": ", ".join(dict.fromkeys(device.name for device in run.devices.values() if device.name)),
    }


# TensorBoard ----------------------------------------------------------------------------------------------------------


def _list_columns(logger: Any, fit: _Fit) -> None:
    """The columns of its table of hyperparameters."""
    params = _hyperparameters(fit.trainer)
    if not params or not getattr(logger, "_default_hp_metric", False):
        return
    # Lightning is about to write a list with nothing but a placeholder in it, and TensorBoard keeps the first list.
    names = [_key(logger, name) for name in (fit.run.monitor, *fit.scores, *fit.costs, "hp_metric")]
    columns, _, _ = _hparams(logger, params, names)
    logger.experiment._get_file_writer().add_summary(columns, 0)


def _draw(logger: Any, fit: _Fit) -> None:
    """The picture of its scores, and its hyperparameters."""
    if fit.run.evaluations and fit.run.evaluations[-1].scores and importlib.util.find_spec("matplotlib") is not None:
        logger.experiment.add_image(CURVE, _pixels(score_curve(fit.run)), fit.run.epochs[-1].step, dataformats="HWC")
    if logger.hparams and not getattr(logger, "_default_hp_metric", False):
        # Nobody else writes them then. TensorBoard lists the runs that have them, with the last of all their metrics.
        _, start, finish = _hparams(logger, _flat(logger.hparams), [])
        writer = logger.experiment._get_file_writer()
        writer.add_summary(start, 0)
        writer.add_summary(finish, 0)


def _hyperparameters(trainer: Trainer) -> dict[str, Any]:
    """Those that Lightning is about to log."""
    params: dict[str, Any] = {}
    for owner in (trainer.lightning_module, getattr(trainer, "datamodule", None)):
        if getattr(owner, "_log_hyperparams", False):
            params |= dict(owner.hparams_initial)  # type: ignore[union-attr]
    params.pop("_class_path", None)  # LightningCLI's own
    return _flat(params)


def _flat(params: Any) -> dict[str, Any]:
    """Hyperparameters as Lightning writes them for TensorBoard."""
    from lightning.fabric.utilities.logger import _convert_params, _flatten_dict, _sanitize_params

    return _sanitize_params(_flatten_dict(_convert_params(params)))


def _hparams(logger: Any, params: dict[str, Any], metrics: Sequence[str]) -> tuple[Any, Any, Any]:
    """The list of columns, the beginning and the end of a run, as TensorBoard's table of hyperparameters has them."""
    # Beside the writer: torch's, or tensorboardX's where there is no TensorBoard.
    package = type(logger.experiment).__module__.removesuffix(".writer")
    columns, start, finish = importlib.import_module(f"{package}.summary").hparams(params, dict.fromkeys(metrics, 0.0))
    return columns, start, finish


def _pixels(figure: Figure) -> NDArray[Any]:
    """A figure as height × width × RGB."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


# Weights & Biases -----------------------------------------------------------------------------------------------------


def _define(logger: Any, fit: _Fit) -> None:
    """Axes and summaries."""
    by_tensorboard = getattr(logger, "_wandb_init", {}).get("sync_tensorboard")
    axis = "global_step" if by_tensorboard else "trainer/global_step"  # that of all that Lightning logs
    for names, summary in ((fit.scores, "max"), (fit.costs, "last")):
        for name in names:
            logger.experiment.define_metric(_key(logger, name), step_metric=axis, step_sync=True, summary=summary)
    logger.experiment.config.update({NAMESPACE: _facts(fit.run, logger)}, allow_val_change=True)


def _summarise(logger: Any, fit: _Fit) -> None:
    """Status and quality."""
    logger.experiment.summary[NAMESPACE] = _findings(fit.run)


def _save_file(logger: Any, fit: _Fit) -> None:
    """The record, as a file."""
    if getattr(logger.experiment, "disabled", False):  # its folder is one that nobody looks into
        return
    target = Path(logger.experiment.dir) / FILE_NAME
    fit.run.save(target)
    logger.experiment.save(str(target), base_path=str(target.parent), policy="now")


# MLflow ---------------------------------------------------------------------------------------------------------------


def _tag(logger: Any, fit: _Fit) -> None:
    """Tags to filter by."""
    _log(logger, _facts(fit.run, logger))


def _tag_end(logger: Any, fit: _Fit) -> None:
    """Status and quality, and P as a metric."""
    findings = _findings(fit.run)
    _log(logger, findings, findings.pop("performance"), fit.run.epochs[-1].step if fit.run.epochs else 0)


def _save_artifact(logger: Any, fit: _Fit) -> None:
    """The record, as an artifact."""
    logger.experiment.log_dict(logger.run_id, fit.run.to_dict(), FILE_NAME)
    _log(logger, {"record": FILE_NAME})  # so that nobody looks for one in vain


def _log(logger: Any, tags: dict[str, Any], performance: float | None = None, step: int = 0) -> None:
    # Tags, not parameters: those cannot change, and a run that is resumed or tested does.
    from mlflow.entities import Metric, RunTag

    logger.experiment.log_batch(
        logger.run_id,
        tags=[RunTag(f"{NAMESPACE}.{name}", str(value)) for name, value in tags.items() if value],
        metrics=[]
        if performance is None
        else [Metric(f"{NAMESPACE}.performance", performance, int(time.time() * 1000), step)],
    )
