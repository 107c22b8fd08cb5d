"""Puts values where callbacks, the progress bar and the loggers find them, as `self.log` would, from any hook."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from lightning.pytorch import Trainer


def publish(
    trainer: Trainer, values: Mapping[str, float], step: int | None, prog_bar: Mapping[str, float] | None = None
) -> None:
    """Publish values for callbacks, for the loggers at a step unless it is None, and some in the progress bar."""
    # On the CPU in double: float32 would round large counts, and a Mac's GPU has no double.
    tensors = {key: torch.tensor(value, dtype=torch.float64) for key, value in values.items()}
    trainer.callback_metrics.update(tensors)
    if prog_bar:
        trainer.progress_bar_metrics.update(prog_bar)
    if step is None:
        return
    trainer.logged_metrics.update(tensors)
    for logger in trainer.loggers:
        logger.log_metrics({**values, "epoch": trainer.current_epoch}, step=step)
        logger.save()
