"""Any architecture of timm as a LightningModule that classifies images."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAUROC

INSTALL = "pip install 'lightning-pepr[study]'"


class TimmClassifier(LightningModule):
    """A timm model, trained with Adam at one learning rate, as the paper trains all of its own.

    Logs `train_loss`, `val_loss`, `val_auroc`, `test_loss` and `test_auroc`, each once an epoch and over all ranks.

    Args:
        model_name: Name of a model of timm, such as "resnet18d".
        num_classes: How many classes; with more than two, AUROC is the mean of one against the rest.
        in_chans: Channels of the images.
        lr: Learning rate of Adam; the default is the paper's.

    Raises:
        ModuleNotFoundError: If timm is not installed.
        RuntimeError: If timm has no model of that name (raised by timm, which names the model).
    """

    def __init__(self, model_name: str, num_classes: int = 2, in_chans: int = 3, lr: float = 5e-4) -> None:
        super().__init__()
        try:
            import timm
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"the architectures come with timm. Try: {INSTALL}", name="timm") from error
        self.save_hyperparameters()
        self.lr = lr
        model = timm.create_model(model_name, num_classes=num_classes, in_chans=in_chans)
        # Depthwise convolutions are two to four times as fast on a CPU in this layout; nothing else changes.
        self.model = model.to(memory_format=torch.channels_last)
        self.val_auroc = MulticlassAUROC(num_classes=num_classes)
        self.test_auroc = MulticlassAUROC(num_classes=num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape (batch, num_classes), of images, shape (batch, in_chans, height, width)."""
        logits: Tensor = self.model(images.contiguous(memory_format=torch.channels_last))
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch."""
        images, classes = batch
        loss = F.cross_entropy(self(images), classes)
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(classes))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Collect loss and AUROC of a batch."""
        self._evaluate(batch, "val", self.val_auroc)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Collect loss and AUROC of a batch."""
        self._evaluate(batch, "test", self.test_auroc)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam without a schedule."""
        # One kernel for all parameters: a training step on a CPU takes a tenth to a fifth less time.
        fused = self.device.type in ("cpu", "cuda") and torch.__version__ >= "2.5"
        return torch.optim.Adam(self.parameters(), lr=self.lr, fused=fused)

    def _evaluate(self, batch: tuple[Tensor, Tensor], stage: str, auroc: MulticlassAUROC) -> None:
        images, classes = batch
        logits = self(images)
        auroc.update(logits.float().softmax(dim=1), classes)
        loss = F.cross_entropy(logits, classes)
        self.log(f"{stage}_loss", loss, sync_dist=True, batch_size=len(classes))
        # Logged as an object: its mean over batches or ranks would be no AUROC.
        self.log(f"{stage}_auroc", auroc, prog_bar=True, batch_size=len(classes))
