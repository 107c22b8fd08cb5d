"""Everything from a configuration file: LightningCLI, with the callback in YAML beside it.

    python examples/lightning_cli.py                                         # as lightning_cli.yaml says
    python examples/lightning_cli.py fit --config … --trainer.max_epochs=5   # or as any other LightningCLI

Needs scikit-learn and jsonargparse[signatures].
"""

import sys
from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class Digits(LightningModule):
    def __init__(self, width: int = 64, lr: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.layers(batch[0]), batch[1])

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self.log("val_acc", (self.layers(batch[0]).argmax(1) == batch[1]).float().mean(), prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)


class DigitsData(LightningDataModule):
    def __init__(self, batch_size: int = 32) -> None:
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage: str) -> None:
        images, labels = load_digits(return_X_y=True)
        digits = TensorDataset(torch.tensor(images / 16).float(), torch.tensor(labels))
        self.train, self.val = random_split(digits, [1497, 300], generator=torch.Generator().manual_seed(0))

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, 300)


if __name__ == "__main__":
    torch.set_num_threads(1)  # so small a model is faster on one core
    as_configured = ["fit", "--config", str(Path(__file__).with_suffix(".yaml"))]
    cli = LightningCLI(Digits, DigitsData, args=sys.argv[1:] or as_configured)
    print(f"\nthe record and the whole configuration are in {cli.trainer.log_dir}")
