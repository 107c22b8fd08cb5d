"""Any architecture of timm as a LightningModule that classifies images."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC

from lightning_pepr.paper.architectures import timm_name
from lightning_pepr.study.lookup import require_timm

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


class TimmClassifier(LightningModule):
    """A timm model, trained at one learning rate, by default with Adam, as the paper trains all of its own.

    Logs `train_loss`, and loss, `auroc` (with more than two classes, the mean of one against the rest) and `acc` of
    validation and test, each once an epoch and over all ranks. `weights` is a file that pretraining left, instead of
    timm's; images are then brought to the mean and standard deviation that pretrained weights are used to.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model_name: str,
        num_classes: int = 2,
        in_chans: int = 3,
        lr: float = 5e-4,
        *,
        optimizer: str = "adam",
        weight_decay: float = 0.0,
        pretrained: bool = False,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        timm = require_timm()
        self.save_hyperparameters(ignore=["pretrained", "weights"])  # a checkpoint of ours has its own weights
        self.lr = lr
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        model: Any = timm.create_model(
            timm_name(model_name),
            pretrained=pretrained,
            pretrained_cfg_overlay={"file": weights} if pretrained and weights else None,
            num_classes=num_classes,
            in_chans=in_chans,
        )
        # Depthwise convolutions are two to four times as fast on a CPU in this layout; nothing else changes. Not by
        # `model.to`, which fails for those that have a three-dimensional convolution, too.
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.dim() == 4:
                tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
        self.model = model
        used_to: dict[str, Any] = model.pretrained_cfg if pretrained and in_chans == 3 else {}
        self.register_buffer("mean", torch.tensor(used_to.get("mean", (0.0,) * in_chans)).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(used_to.get("std", (1.0,) * in_chans)).view(1, -1, 1, 1))
        self.val_auroc = MulticlassAUROC(num_classes=num_classes)
        self.test_auroc = MulticlassAUROC(num_classes=num_classes)
        self.val_acc = MulticlassAccuracy(num_classes=num_classes, average="micro")
        self.test_acc = MulticlassAccuracy(num_classes=num_classes, average="micro")

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape (batch, num_classes), of images, shape (batch, in_chans, height, width), in [0, 1]."""
        images = (images - self.mean) / self.std
        logits: Tensor = self.model(images.contiguous(memory_format=torch.channels_last))
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch."""
        images, classes = batch
        loss = F.cross_entropy(self(images), classes)
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(classes))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Collect loss, AUROC and accuracy of a batch."""
        self._evaluate(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Collect loss, AUROC and accuracy of a batch."""
        self._evaluate(batch, "test")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer, without a schedule."""
        # One kernel for all parameters: a training step on a CPU takes a tenth to a fifth less time.
        fused = self.device.type in ("cpu", "cuda") and torch.__version__ >= "2.5"
        options: dict[str, Any] = {"lr": self.lr, "weight_decay": self.weight_decay, "fused": fused}
        if self.optimizer == "sgd":
            options["momentum"] = 0.9
        return OPTIMIZERS[self.optimizer](self.parameters(), **options)

    def _evaluate(self, batch: tuple[Tensor, Tensor], stage: str) -> None:
        images, classes = batch
        logits = self(images)
        probabilities = logits.float().softmax(dim=1)
        self.log(f"{stage}_loss", F.cross_entropy(logits, classes), sync_dist=True, batch_size=len(classes))
        for measure in ("auroc", "acc"):
            metric = getattr(self, f"{stage}_{measure}")
            metric.update(probabilities, classes)
            # Logged as an object: the mean of AUROC over batches or ranks would be no AUROC.
            self.log(f"{stage}_{measure}", metric, prog_bar=measure == "auroc", batch_size=len(classes))
