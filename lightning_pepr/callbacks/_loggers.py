"""What loggers get beside the metrics: axes and summaries, tags to filter by, the record, and a picture.

All of it when a fit begins or ends: the epochs cost nothing more. Loggers are known by the names of their classes, so
that those of `lightning` and of `pytorch_lightning` are, and no tracker is imported that is not in use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lightning.fabric.utilities import rank_zero_warn
from lightning.pytorch import Trainer

from lightning_pepr.callbacks import _mlflow, _tensorboard, _wandb
from lightning_pepr.callbacks._lightning import metric_name
from lightning_pepr.record import RunRecord


def begin(trainer: Trainer, run: RunRecord, costs: Sequence[str], scores: Sequence[str]) -> None:
    """Announce the costs and scores that will be logged. Like the others, it does nothing on ranks other than 0."""

    def facts(logger: Any) -> dict[str, str]:
        """What `load_runs` makes a row of, beside the metrics."""
        given = {"run_id": run.run_id, "model": run.model, "monitor": run.monitor, "test_monitor": run.test_monitor}
        return {**given, "prefix": metric_name(logger, "")}

    columns = (run.monitor, *scores, *costs, "hp_metric")
    _notify(
        trainer,
        TensorBoardLogger=lambda logger: _tensorboard.list_columns(logger, trainer, columns),
        WandbLogger=lambda logger: _wandb.define_metrics(logger, facts(logger), costs, scores),
        MLFlowLogger=lambda logger: _mlflow.tag(logger, facts(logger)),
    )


def end(trainer: Trainer, run: RunRecord, keep: bool) -> None:
    """Leave what the run is found by, in TensorBoard the curve, and with `keep` the record itself."""
    _notify(trainer, TensorBoardLogger=lambda logger: _tensorboard.draw(logger, run))
    update(trainer, run, keep)


def update(trainer: Trainer, run: RunRecord, keep: bool) -> None:
    """Leave the record anew: it has changed after the end, by a test."""
    energy = run.costs.get("energy_kwh")
    findings = {
        "status": run.status,
        "performance": run.performance,
        "quality": energy.quality if energy else None,
        "device": ", ".join(dict.fromkeys(device.name for device in run.devices.values() if device.name)),
    }
    step = run.epochs[-1].step if run.epochs else 0
    _notify(
        trainer,
        WandbLogger=lambda logger: _wandb.write_summary(logger, findings),
        MLFlowLogger=lambda logger: _mlflow.tag_end(logger, findings, step),
    )
    if keep:
        _notify(
            trainer,
            WandbLogger=lambda logger: _wandb.save_record(logger, run),
            MLFlowLogger=lambda logger: _mlflow.save_record(logger, run),
        )


def _notify(trainer: Trainer, **kinds: Callable[[Any], None]) -> None:
    """Call the function for each logger's kind. A tracker's trouble is a warning: no training ends by it."""
    for logger in trainer.loggers if trainer.is_global_zero else ():
        notify = next((kinds[kind.__name__] for kind in type(logger).__mro__ if kind.__name__ in kinds), None)
        try:
            if notify is not None:
                notify(logger)
        except Exception as error:  # whatever a server, a store or an installation can raise
            rank_zero_warn(
                f"PePRCallback: {type(logger).__name__} did not take what a run leaves beside its metrics: "
                f"{type(error).__name__}: {error}."
            )
