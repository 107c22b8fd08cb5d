"""What does the audit find of what is wrong, and in tables where nothing is? `python -m benchmarks.audit`.

Tables are made true by construction, with costs as models of 1 to 160 million parameters have them, and as much noise
as real ones. One row of each is then spoilt. And how long it takes, beside `rank` of the same million runs, by turns in
one process.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import polars as pl

from benchmarks.made_up_tables import copy_reading, make_clean, put, scale
from benchmarks.table import table
from lightning_pepr import audit, load_runs, rank

Spoil = Callable[[pl.DataFrame, int], pl.DataFrame]

SPOILT: dict[str, Spoil] = {
    "nothing": lambda runs, row: runs,
    "reading of the same model in another group": lambda runs, row: copy_reading(runs, (row + 20) % 60, row),
    "energy and carbon times 2.5": lambda runs, row: scale(runs, row, energy_kwh=2.5, carbon_g=2.5),
    "energy and carbon times 10": lambda runs, row: scale(runs, row, energy_kwh=10.0, carbon_g=10.0),
    "energy and carbon in Wh and mg": lambda runs, row: scale(runs, row, energy_kwh=1e3, carbon_g=1e3),
    "time in minutes": lambda runs, row: scale(runs, row, time_s=1 / 60),
    "carbon in kg": lambda runs, row: scale(runs, row, carbon_g=1e-3),
    "performance in percent": lambda runs, row: put(runs, row, performance=runs["performance"][row] * 100),
}


def found(spoil: Spoil, tables: int) -> list[float]:
    """The share of tables in which the spoilt row is found, in which it is rejected, and in which another row is.

    Where nothing is spoilt, every row counts.
    """
    shares = np.zeros(3)
    for seed in range(tables):
        rng = np.random.default_rng(seed)
        how = {"spread": float(rng.choice([0.02, 0.15, 0.35])), "noise": float(rng.choice([0.001, 0.03, 0.1]))}
        row = int(rng.integers(0, 60))
        carbon = str(rng.choice(["hourly", "constant"]))
        clean = make_clean(seed, spread=how["spread"], noise=how["noise"], carbon=carbon)
        spoilt = spoil(clean, row)
        findings = audit(spoilt)
        here = (pl.col("row") == row) | pl.lit(spoilt is clean)
        sure = pl.col("confidence") == "high"
        shares += [len(findings.filter(each)) > 0 for each in (here, here & sure, ~here & sure)]
    return list(shares / tables)


def ratio(rows: int, times: int) -> tuple[float, float]:
    """How long the audit takes, as a multiple of `rank`: the median, and the largest."""
    per_group = rows // 200
    runs = load_runs(make_clean(0, groups=200, models=per_group))
    ratios = []
    for _ in range(times):
        begin = time.perf_counter()
        rank(runs, group="group")
        middle = time.perf_counter()
        audit(runs)
        ratios.append((time.perf_counter() - middle) / (middle - begin))
    return statistics.median(ratios), max(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller tables")
    tables, size, times = (5, 20_000, 1) if parser.parse_args().quick else (200, 1_000_000, 3)
    rows = [[name, *(f"{share:.1%}" for share in found(spoil, tables))] for name, spoil in SPOILT.items()]
    head = ["what is wrong", "found", "rejected", "another run rejected"]
    print(f"### Of {tables} tables of 60 runs\n\n{table(head, rows)}\n")
    print("### Time\n")
    median, largest = ratio(size, times)
    print(
        table(
            ["runs", "time of audit / time of rank", "largest"],
            [[f"{size:,}", f"{median:.2f}", f"{largest:.2f}"]],
        )
    )


if __name__ == "__main__":
    main()
