"""Handwritten digits, metered: stop when another epoch is not worth its energy. Runs offline, on a CPU, in seconds.

    python examples/quickstart.py

Needs scikit-learn, which is in `[study]` and `[all]`.
"""

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from lightning_pepr import ModelSpace, PePRCallback


class Digits(LightningModule):
    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        images, labels = batch
        return nn.functional.cross_entropy(self.layers(images), labels)

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self.log("val_acc", self.accuracy(batch), prog_bar=True)

    def test_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self.log("test_acc", self.accuracy(batch))

    def accuracy(self, batch: list[torch.Tensor]) -> torch.Tensor:
        images, labels = batch
        return (self.layers(images).argmax(1) == labels).float().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


seed_everything(0)
images, labels = load_digits(return_X_y=True)
digits = TensorDataset(torch.tensor(images / 16).float(), torch.tensor(labels))
train, val, test = random_split(digits, [1197, 300, 300])

pepr = PePRCallback("val_acc", space=ModelSpace.budget(energy_kwh=3e-5))  # 108 J: half a minute of one core
best = ModelCheckpoint(monitor="val_acc", mode="max")
trainer = Trainer(
    max_epochs=100,
    accelerator="cpu",
    log_every_n_steps=10,
    enable_model_summary=False,
    callbacks=[pepr, best, EarlyStopping("pepr_e", mode="max", patience=3)],
)
trainer.fit(Digits(), DataLoader(train, 32, shuffle=True), DataLoader(val, 300))
trainer.test(dataloaders=DataLoader(test, 300), ckpt_path="best", verbose=False)

run = pepr.run
energy = run.costs["energy_kwh"]
print(f"\nstopped after {len(run.epochs)} of 100 epochs; the best on validation data was epoch {run.best.epoch}")
for epoch in run.epochs:
    joules = epoch.cost.energy_kwh * 3.6e6
    print(f"  epoch {epoch.epoch:2}  P {epoch.performance:.3f}  {joules:5.1f} J  PePR-E {epoch.scores['pepr_e']:.3f}")
print(f"test accuracy {run.performance:.3f} for {energy.value:.2g} ± {energy.error:.1g} kWh ({energy.quality})")
print(f"the record is in {trainer.log_dir}/pepr.json")
