"""A training that may not cost more than its budget: ended when it is spent, or when the plan will not fit.

    python examples/budget.py

Needs scikit-learn, which is in `[study]` and `[all]`.
"""

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from lightning_pepr import CostBudget, PePRCallback


class Digits(LightningModule):
    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        images, labels = batch
        return nn.functional.cross_entropy(self.layers(images), labels)

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        images, labels = batch
        self.log("val_acc", (self.layers(images).argmax(1) == labels).float().mean(), prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


torch.set_num_threads(1)  # so small a model is faster on one core
seed_everything(0)
images, labels = load_digits(return_X_y=True)
digits = TensorDataset(torch.tensor(images / 16).float(), torch.tensor(labels))
train, val = random_split(digits, [1497, 300])
joules = 1 / 3.6e6  # of a kWh

for budget in (
    CostBudget(energy_kwh=10 * joules),  # ends when 10 J are spent
    CostBudget(energy_kwh=10 * joules, every_n_steps=10),  # the same, but within an epoch
    CostBudget(energy_kwh=10 * joules, on="predicted"),  # ends when it is clear that 200 epochs take more than 10 J
):
    pepr = PePRCallback("val_acc")
    trainer = Trainer(
        max_epochs=200,
        accelerator="cpu",
        log_every_n_steps=10,
        enable_model_summary=False,
        callbacks=[pepr, budget, ModelCheckpoint(monitor="val_acc", mode="max")],
    )
    trainer.fit(Digits(), DataLoader(train, 32, shuffle=True), DataLoader(val, 300))

    run = pepr.run
    print(f"\n{run.stopped}")
    print(f"{len(run.epochs)} epochs, {run.cost.energy_kwh / joules:.1f} J, val_acc {run.performance:.3f}")
    forecast = run.epochs[1].forecasts["energy_kwh"]
    low, high = forecast["low"] / joules, forecast["high"] / joules
    print(f"after epoch 1 all {trainer.max_epochs} epochs were forecast to take {low:.0f} to {high:.0f} J")
