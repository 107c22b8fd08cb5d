"""Records and tables to load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lightning_pepr.cost import Cost
from lightning_pepr.record import CostEntry, DeviceEntry, Epoch, RunRecord

PAPER_TABLE = """\
model,num_param,memT,memR,energy,co2,train_time,test_00,test_09,test_10,dataset
a,100,1,2.5,0.5,10,30,0.1,0.2,0.9,x
b,200,1,,1.5,,60,0.1,0.3,,y
"""


def make_record(
    model: str = "resnet18",
    *,
    performances: tuple[float | None, ...] = (0.5, 0.75, 0.625),
    test: float | None = None,
    energy: float | None = 0.25,
    **rest: object,
) -> RunRecord:
    """A record of a short run on two devices, and a third that could not be read."""
    record = RunRecord(
        model,
        params=1000,
        monitor="val_acc",
        epochs=[Epoch(i, i, p, Cost(energy_kwh=0.1 * i)) for i, p in enumerate(performances)],
        costs={
            "energy_kwh": CostEntry(energy, 0.01, "counter" if energy is not None else "unavailable"),
            "time_s": CostEntry(60.0, 0.0, "counter"),
            "carbon_g": CostEntry(reason="the grid's intensity is not known"),
        },
        devices={
            "gpu:GPU-1": DeviceEntry("NVIDIA A100", "host", 800_000_000_000, 1.0, "counter", gain=0.05),
            "cpu:host": DeviceEntry("EPYC", "host", 200_000_000_000, 1.0, "counter"),
            "gpu:GPU-2": DeviceEntry("AMD", "host"),
        },
        test_performance=test,
    )
    for key, value in rest.items():
        setattr(record, key, value)
    return record


def make_metered(model: str, watts: float, seconds: float, seed: int = 0, **rest: Any) -> RunRecord:
    """A record of a run that drew so many watts for so long on an NVIDIA L4."""
    rng = np.random.default_rng(seed)
    joules = watts * seconds * rng.uniform(0.98, 1.02)
    record = RunRecord(
        model,
        params=10**6,
        status="finished",
        epochs=[Epoch(0, 1, 0.8)],
        costs={"energy_kwh": CostEntry(joules / 3.6e6, 1e-6, "counter"), "time_s": CostEntry(seconds, 0.0, "counter")},
        devices={"host/gpu:GPU-1": DeviceEntry("NVIDIA L4", "host", int(joules * 1e6), 1.0, "counter")},
    )
    for name, value in rest.items():
        setattr(record, name, value)
    return record


def write_table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
