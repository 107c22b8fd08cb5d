"""Optuna searches with two objectives, performance and energy, and leaves the choice to you.

    python examples/optuna_two_objectives.py

Needs scikit-learn and optuna.
"""

import optuna
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from lightning_pepr import ModelSpace, PePRCallback, pepr


class Digits(LightningModule):
    def __init__(self, width: int, lr: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.layers(batch[0]), batch[1])

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self.log("val_acc", (self.layers(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)


torch.set_num_threads(1)  # so small a model is faster on one core
images, labels = load_digits(return_X_y=True)
digits = TensorDataset(torch.tensor(images / 16).float(), torch.tensor(labels))
train, val = random_split(digits, [1497, 300], generator=torch.Generator().manual_seed(0))


def objective(trial: optuna.Trial) -> tuple[float, float]:
    seed_everything(0)
    model = Digits(
        width=trial.suggest_int("width", 4, 1024, log=True), lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    )
    meter = PePRCallback("val_acc", record=False)  # no space: costs are measured, and no score is logged
    trainer = Trainer(
        max_epochs=trial.suggest_int("epochs", 1, 6),
        accelerator="cpu",
        callbacks=[meter],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(train, 64, shuffle=True), DataLoader(val, 300))
    return trainer.callback_metrics["val_acc"].item(), meter.cost.energy_kwh


study = optuna.create_study(directions=["maximize", "minimize"], sampler=optuna.samplers.NSGAIISampler(seed=0))
study.optimize(objective, n_trials=10)

# The trials that no other one beats in both. PePR orders them, once it is known what there is to spend.
space = ModelSpace.budget(energy_kwh=1e-5)
for trial in sorted(study.best_trials, key=lambda trial: trial.values[1]):
    performance, energy_kwh = trial.values
    score = pepr(performance, space.normalize(energy_kwh, "energy"))
    print(f"P {performance:.3f} for {energy_kwh * 3.6e6:5.1f} J  PePR-E {score:.3f}  {trial.params}")
