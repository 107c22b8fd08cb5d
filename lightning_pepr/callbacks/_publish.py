"""Puts values where callbacks, the progress bar and the loggers find them, as `self.log` would, from any hook."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from lightning.pytorch import Trainer

from lightning_pepr.callbacks._lightning import put


def publish(
    trainer: Trainer, values: Mapping[str, float], step: int | None, prog_bar: Mapping[str, float] | None = None
) -> None:
    """Publish values for callbacks, for the loggers at a step unless it is None, and some in the progress bar."""
    # On the CPU in double: float32 would round large counts, and a Mac's GPU has no double.
    tensors = {key: torch.tensor(value, dtype=torch.float64) for key, value in values.items()}
    put(trainer, tensors, prog_bar or {}, logged=step is not None)
    for logger in () if step is None else trainer.loggers:
        # By keyword, as Lightning calls it: a logger may have them in another order.
        logger.log_metrics(metrics={**values, "epoch": trainer.current_epoch}, step=step)
        logger.save()
