"""Optuna prunes by the score, and finds the Pareto front of performance and cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_pepr import ModelSpace, PePRCallback, RunRecord, load_runs, pareto_front, pepr
from tests.helpers.fits import EPOCH_UJ
from tests.helpers.training import Worker, WorkMeter, trainer

pytestmark = pytest.mark.filterwarnings("ignore")
SPACE = ModelSpace.budget(energy_kwh=1e-5)


def test_optuna_prunes_by_the_score_and_maximises_it(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    integration = pytest.importorskip("optuna_integration")
    optuna.logging.disable_default_handler()

    def objective(trial: Any) -> float:
        quality = trial.suggest_categorical("quality", [0.25, 0.5, 1.0])
        module = Worker((quality / 2, quality, quality))
        callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
        pruning = integration.PyTorchLightningPruningCallback(trial, monitor="pepr_e")
        run = trainer(pruning, callback, root=tmp_path / str(trial.number))
        run.fit(module)
        return run.callback_metrics["pepr_e"].item()

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.GridSampler({"quality": [0.25, 0.5, 1.0]}, seed=1),
        pruner=optuna.pruners.ThresholdPruner(lower=0.2, n_warmup_steps=0),
    )
    study.optimize(objective, n_trials=3)
    states = {trial.params["quality"]: trial.state.name for trial in study.trials}
    assert states == {0.25: "PRUNED", 0.5: "COMPLETE", 1.0: "COMPLETE"}
    assert study.best_params == {"quality": 1.0}
    assert study.best_value == pepr(1.0, SPACE.normalize(3 * EPOCH_UJ / 3.6e12, "energy"))
    for trial in study.trials:
        record = RunRecord.load(tmp_path / str(trial.number))
        assert list(trial.intermediate_values.values()) == [e.scores["pepr_e"] for e in record.epochs]
        pruned = trial.state.name == "PRUNED"
        assert record.costs["energy_kwh"].value == (1 if pruned else 3) * EPOCH_UJ / 3.6e12, "pruned ones have a cost"
        assert record.status == ("interrupted" if pruned else "finished"), "and have not failed"
    assert len(load_runs(tmp_path)) == 3


def test_optuna_with_two_objectives_leaves_the_pareto_front(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.disable_default_handler()

    def objective(trial: Any) -> tuple[float, float]:
        epochs = trial.suggest_int("epochs", 1, 4)
        better = trial.suggest_categorical("better", [0.0, 0.0625])
        module = Worker(tuple(p + better for p in (0.25, 0.5, 0.625, 0.5)))
        callback = PePRCallback("val_acc", meter=WorkMeter(module), record=False)
        run = trainer(callback, root=tmp_path, max_epochs=epochs)
        run.fit(module)
        return run.callback_metrics["val_acc"].item(), callback.cost.energy_kwh or 0.0

    grid = {"epochs": [1, 2, 3, 4], "better": [0.0, 0.0625]}
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=optuna.samplers.GridSampler(grid, seed=1))
    study.optimize(objective, n_trials=8)
    assert {(t.params["epochs"], t.params["better"]) for t in study.best_trials} == {(n, 0.0625) for n in (1, 2, 3)}
    performance, energy = (torch.tensor([t.values[i] for t in study.trials], dtype=torch.float64) for i in (0, 1))
    ours = pareto_front(performance, energy)
    assert [t.number for t, kept in zip(study.trials, ours, strict=True) if kept] == sorted(
        t.number for t in study.best_trials
    )
