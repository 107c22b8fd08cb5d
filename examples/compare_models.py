"""Three widths of one model, trained alike and ranked: which would you keep?

    python examples/compare_models.py

Needs scikit-learn and polars, which are in `[all]`.
"""

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from lightning_pepr import PePRCallback, rank


class Digits(LightningModule):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.model_name = f"mlp-{width}"  # what the record calls it
        self.layers = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.head = nn.Linear(width, 10)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.head(self.layers(batch[0])), batch[1])

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self.log("val_acc", self.accuracy(batch))

    def test_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self.log("test_acc", self.accuracy(batch))

    def accuracy(self, batch: list[torch.Tensor]) -> torch.Tensor:
        return (self.head(self.layers(batch[0])).argmax(1) == batch[1]).float().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


images, labels = load_digits(return_X_y=True)
digits = TensorDataset(torch.tensor(images / 16).float(), torch.tensor(labels))
train, val, test = random_split(digits, [1197, 300, 300], generator=torch.Generator().manual_seed(0))

runs = []
for width in (8, 64, 512):
    seed_everything(0)
    pepr = PePRCallback("val_acc")  # without a space: cost and performance are recorded, and scored below
    trainer = Trainer(
        max_epochs=5,
        accelerator="cpu",
        callbacks=[pepr],
        logger=CSVLogger("compare_models", name=f"mlp-{width}"),
        log_every_n_steps=10,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Digits(width), DataLoader(train, 32, shuffle=True), DataLoader(val, 300))
    trainer.test(dataloaders=DataLoader(test, 300), verbose=False)
    runs.append(pepr.run)  # it is in compare_models/mlp-<width>/version_<n>/pepr.json, too

ranking = rank(runs)  # or, in another process: rank("compare_models")
print(ranking.select("rank", "model", "params", "performance", "energy_kwh", "r_e", "pepr_e", "pareto"))
