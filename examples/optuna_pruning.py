"""Optuna searches for the model that is worth its energy: what it maximises, and what it prunes by, is PePR-E.

    python examples/optuna_pruning.py

Needs scikit-learn, optuna and optuna-integration[pytorch-lightning].
"""

import optuna
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from optuna_integration import PyTorchLightningPruningCallback
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from lightning_pepr import ModelSpace, PePRCallback, RunRecord


class Digits(LightningModule):
    def __init__(self, width: int, depth: int, lr: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        hidden = [layer for _ in range(depth) for layer in (nn.LazyLinear(width), nn.ReLU())]
        self.layers = nn.Sequential(*hidden, nn.LazyLinear(10))
        self.layers(torch.zeros(1, 64))  # now the layers know their sizes

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
space = ModelSpace.budget(energy_kwh=1e-5)  # one for all trials, so that their scores compare: 36 J


def objective(trial: optuna.Trial) -> float:
    seed_everything(0)
    model = Digits(
        width=trial.suggest_int("width", 8, 1024, log=True),
        depth=trial.suggest_int("depth", 1, 3),
        lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True),
    )
    trainer = Trainer(
        max_epochs=6,
        accelerator="cpu",
        default_root_dir=f"optuna_pruning/{trial.number}",  # where its record goes
        callbacks=[PePRCallback("val_acc", space=space), PyTorchLightningPruningCallback(trial, monitor="pepr_e")],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(train, 64, shuffle=True), DataLoader(val, 300))
    return trainer.callback_metrics["pepr_e"].item()  # of the last epoch: for all that the trial has spent


study = optuna.create_study(
    direction="maximize",
    sampler=optuna.samplers.TPESampler(seed=0),
    pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1),
)
study.optimize(objective, n_trials=8)

for trial in study.trials:
    run = RunRecord.load(f"optuna_pruning/{trial.number}")  # pruned trials have cost something, too
    joules = run.cost.energy_kwh * 3.6e6
    print(f"{trial.number:2}  {trial.state.name:8}  {len(run.epochs)} epochs  P {run.performance:.3f}  {joules:5.1f} J")
print(f"best: {study.best_params}, PePR-E {study.best_value:.3f}")
