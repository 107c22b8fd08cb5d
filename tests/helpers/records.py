"""Runs to make pages of."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from lightning_pepr.cost import Cost
from lightning_pepr.record import CostEntry, DeviceEntry, Epoch, RunRecord, Stage
from lightning_pepr.space import ModelSpace

MODELS = {"small": 1e6, "medium": 4e6, "large": 16e6}


def make_run(model: str = "small", params: float = 1e6, seed: int = 0, epochs: int = 5, **changes: Any) -> RunRecord:
    """A run whose curves and costs follow from its size; the seed moves them a little."""
    unit = 0.001 * math.sqrt(params / 1e6) * (1 + 0.02 * seed)  # kWh an epoch
    top = 0.8 + 0.02 * math.log2(params / 1e6) + 0.001 * seed
    run = RunRecord(
        model,
        params=int(params),
        monitor="val_acc",
        test_monitor="test_acc",
        status="finished",
        run_id=f"{model}-{seed}",
        val_samples=400,
        test_samples=1000,
        space=ModelSpace.budget(energy_kwh=0.05, time_s=3600).to_dict(),
    )
    for epoch in range(epochs):
        spent = Cost(
            energy_kwh=unit * (epoch + 1),
            carbon_g=unit * (epoch + 1) * 151,
            time_s=60.0 * (epoch + 1) * math.sqrt(params / 1e6),
            memory_gb=1 + params / 1e7,
            data_samples=5000.0 * (epoch + 1),
            params=params,
        )
        run.epochs.append(Epoch(epoch, 100 * epoch + 99, top - 0.3 * math.exp(-epoch - 1), spent))
    cost = run.epochs[-1].cost
    assert cost.energy_kwh is not None
    run.costs = {
        "energy_kwh": CostEntry(cost.energy_kwh, cost.energy_kwh * 0.02, "counter"),
        "carbon_g": CostEntry(cost.carbon_g, (cost.carbon_g or 0.0) * 0.02, "counter"),
        "time_s": CostEntry(cost.time_s, 0.0, "counter"),
        "memory_gb": CostEntry(cost.memory_gb, None, "estimated"),
        "data_samples": CostEntry(cost.data_samples, 0.0, "counter"),
        "params": CostEntry(params, 0.0, "counter"),
    }
    whole = round(cost.energy_kwh * 3.6e12)
    run.stages = {
        "train": Stage(whole * 8 // 10, 10**9),
        "validate": Stage(whole // 10, 10**8),
        "other": Stage(whole - whole * 8 // 10 - whole // 10, 10**7),
        "test": Stage(whole // 20, 10**8),
    }
    run.devices = {
        "gpu:GPU-5f": DeviceEntry("NVIDIA A100", "node", whole * 3 // 4, 1.0, "counter", 0.05),
        "cpu:node": DeviceEntry("AMD EPYC", "node", whole - whole * 3 // 4, 1.0, "counter", 0.05),
    }
    run.test_performance = top - 0.01
    run.software = {"lightning-pepr": "0.1.0", "torch": "2.9"}
    run.hardware = {"host": "node", "cpu": "AMD EPYC", "gpus": ["NVIDIA A100"]}
    run.carbon = {"g_per_kwh": 151.0, "pue": 1.0, "source": "given"}
    for name, value in changes.items():
        setattr(run, name, value)
    return run


def save_runs(folder: Path, seeds: int = 2) -> Path:
    """Records of three models, each trained a few times."""
    for model, params in MODELS.items():
        for seed in range(seeds):
            make_run(model, params, seed).save(folder / f"{model}-{seed}" / "pepr.json")
    return folder


def save_three(folder: Path) -> Path:
    """Save three runs: the most expensive performs best, the middle one scores best."""
    for name, validation, test, kwh in (
        ("tiny", 0.5, 0.55, 1e-4),
        ("small", 0.8, 0.75, 2e-4),
        ("large", 0.85, 0.85, 1e-3),
    ):
        RunRecord(
            name,
            params=10**6,
            epochs=[Epoch(0, 1, validation)],
            test_performance=test,
            costs={"energy_kwh": CostEntry(kwh, 0.0, "estimated"), "time_s": CostEntry(kwh * 1e6, 0.0, "counter")},
        ).save(folder / name / "pepr.json")
    return folder
