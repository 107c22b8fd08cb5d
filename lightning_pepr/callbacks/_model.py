"""What a record says of the user's module: its name and its size."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule


def model_name(pl_module: LightningModule) -> str:
    """What to call the model: its `model_name`, a hyperparameter of that kind, or its class."""
    hparams = getattr(pl_module, "hparams", {})
    names = [getattr(pl_module, "model_name", None), *(hparams.get(key) for key in ("model_name", "model", "arch"))]
    return next((name for name in names if isinstance(name, str) and name), type(pl_module).__name__)


def trainable_parameters(pl_module: LightningModule) -> int | None:
    """Count the trainable parameters, each once; None while some are still lazy."""
    parameters = [p for p in pl_module.parameters() if p.requires_grad]
    if any(isinstance(p, torch.nn.parameter.UninitializedParameter) for p in parameters):
        return None
    return sum(p.numel() for p in parameters)
