"""Tables of runs in which every number is true, and ways to spoil them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl


def make_clean(
    seed: int,
    *,
    groups: int = 3,
    models: int = 20,
    seeds: int = 1,
    spread: float = 0.15,
    noise: float = 0.03,
    carbon: str = "hourly",
    digits: int = 15,
) -> pl.DataFrame:
    """A table in which every number is true: energy is the power that was drawn times the time, and so on.

    Models differ in size by as much as the paper's, and larger ones take longer and draw more, up to a limit; `spread`
    and `noise` are standard deviations of the logarithm of power between models and between runs. No model is so much
    dearer than the next that it dominates.
    """
    rng = np.random.default_rng(seed)
    params = np.sort(10 ** rng.uniform(6, 8.2, models))
    # Neighbours in size differ by less than a factor of two, as those of a dense list of models do.
    speed = np.exp(np.cumsum(np.r_[0.0, np.minimum(0.6 * np.diff(np.log(params)), 0.6)]))
    group = np.repeat(np.arange(groups), models * seeds)
    model = np.tile(np.repeat(np.arange(models), seeds), groups)
    size = len(group)
    of_model = np.minimum(rng.normal(0, spread, models), spread)
    power = 350 * np.exp(of_model[model] + np.clip(rng.normal(0, noise, size), -3 * noise, 3 * noise))
    time = speed[model] * np.exp(rng.uniform(2, 7, groups))[group] * np.exp(rng.uniform(-noise, noise, size))
    energy = power * time / 3.6e6
    intensity = {
        "hourly": rng.uniform(40, 160, size),
        "steps": np.round(rng.uniform(40, 160, size) * 2) / 2,
        "constant": np.full(size, 151.0),
        "by group": rng.choice([30.0, 151.0, 475.0, 700.0], groups)[group],
    }[carbon]
    table = pl.DataFrame(
        {
            "group": [f"data{i}" for i in group],
            "model": [f"model{i}" for i in model],
            "performance": rng.uniform(0.5, 0.98, size),
            "energy_kwh": energy,
            "carbon_g": energy * intensity,
            "time_s": time,
            "memory_gb": 2 * np.sqrt(speed[model]),
            "params": np.round(params[model]),
        }
    )
    return table.with_columns(pl.col("energy_kwh", "carbon_g", "time_s", "performance").round_sig_figs(digits))


def put(table: pl.DataFrame, row: int, **values: float) -> pl.DataFrame:
    """The table with other values in one row."""
    at = pl.int_range(pl.len()) == row
    return table.with_columns(pl.when(at).then(pl.lit(v)).otherwise(pl.col(n)).alias(n) for n, v in values.items())


def scale(table: pl.DataFrame, row: int, **factors: float) -> pl.DataFrame:
    return put(table, row, **{name: table[name][row] * factor for name, factor in factors.items()})


def copy_reading(table: pl.DataFrame, source: int, target: int) -> pl.DataFrame:
    return put(table, target, energy_kwh=table["energy_kwh"][source], carbon_g=table["carbon_g"][source])


def toy(**columns: list[Any]) -> pl.DataFrame:
    """Models m0, m1, … of one performance."""
    size = len(next(iter(columns.values())))
    return pl.DataFrame({"model": [f"m{i}" for i in range(size)], "performance": [0.5] * size, **columns})
