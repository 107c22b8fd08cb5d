"""Weights & Biases: axes and summaries of the metrics, the run in its config and summary, and the record as a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_pepr.callbacks._lightning import metric_name, syncs_tensorboard
from lightning_pepr.record import RunRecord
from lightning_pepr.utilities.files import FILE_NAME


def define_metrics(logger: Any, facts: Mapping[str, str], costs: Sequence[str], scores: Sequence[str]) -> None:
    """Define the axis and the summary of each metric, and put the run into the config."""
    axis = "global_step" if syncs_tensorboard(logger) else "trainer/global_step"  # that of all that Lightning logs
    for names, summary in ((scores, "max"), (costs, "last")):
        for name in names:
            metric = metric_name(logger, name)
            logger.experiment.define_metric(metric, step_metric=axis, step_sync=True, summary=summary)
    logger.experiment.config.update({"pepr": facts}, allow_val_change=True)


def write_summary(logger: Any, findings: Mapping[str, Any]) -> None:
    """Put status, performance and quality into the summary."""
    logger.experiment.summary["pepr"] = findings


def save_record(logger: Any, run: RunRecord) -> None:
    """Save the record as a file."""
    if getattr(logger.experiment, "disabled", False):  # its folder is one that nobody looks into
        return
    target = Path(logger.experiment.dir) / FILE_NAME
    run.save(target)
    logger.experiment.save(str(target), base_path=str(target.parent), policy="now")
