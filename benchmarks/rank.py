"""How long does it take to rank a million runs? `python -m benchmarks.rank`.

From a CSV table to a CSV table, each group over its own space: by `lightning_pepr.rank`, and by the loop over the
groups of a pandas DataFrame that one would write by hand. Each in a process of its own, by turns, so that the peak of
its memory is its own; what it takes to import the libraries is not counted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.peers import installed
from benchmarks.table import table

MODULE = "benchmarks.rank"
COSTS = {"energy_kwh": "e", "carbon_g": "c", "time_s": "t", "memory_gb": "m", "data_samples": "d", "params": "n"}


def make_table(path: Path, rows: int, groups: int) -> None:
    """Write a table of runs at random: costlier models are better, on the whole."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(1)
    size = rng.lognormal(0.0, 1.0, rows)
    columns = {
        "group": [f"group-{index:03}" for index in rng.integers(0, groups, rows)],
        "model": [f"model-{index:07}" for index in range(rows)],
        "performance": np.round(1.0 - 0.5 * rng.random(rows) / (1.0 + size), 4),
        "energy_kwh": 0.1 * size * rng.uniform(0.5, 1.5, rows),
        "carbon_g": 15.0 * size * rng.uniform(0.5, 1.5, rows),
        "time_s": 1000.0 * size * rng.uniform(0.5, 1.5, rows),
        "memory_gb": 4.0 * size**0.5,
        "data_samples": rng.integers(10_000, 100_000, rows),
        "params": (1e7 * size).astype(int),
    }
    pl.DataFrame(columns).write_csv(path)


def by_package(source: str, target: str) -> None:
    """Rank with lightning-pepr."""
    from lightning_pepr import rank

    rank(source, group="group").write_csv(target)


def by_loop(source: str, target: str) -> None:
    """Rank with pandas, group by group."""
    import pandas as pd

    runs = pd.read_csv(source)
    ranked = []
    for _, group in runs.groupby("group"):
        group = group.copy()
        for cost, letter in COSTS.items():
            low, high = group[cost].min(), group[cost].max()
            group[f"r_{letter}"] = (group[cost] - low) / (high - low)
            group[f"pepr_{letter}"] = group["performance"] / (1 + group[f"r_{letter}"])
        group["rank"] = group["pepr_e"].rank(method="min", ascending=False).astype(int)
        cheapest_first = group.sort_values(["energy_kwh", "performance"], ascending=[True, False])
        best_before = cheapest_first["performance"].cummax().shift(1, fill_value=-1.0)
        group["pareto"] = cheapest_first["performance"] > best_before
        ranked.append(group.sort_values("rank"))
    pd.concat(ranked).to_csv(target, index=False)


WAYS = {"lightning-pepr": by_package, "pandas, group by group": by_loop}


def peak_mb() -> float:
    """The most memory that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux `ru_maxrss` would remember that of the process which started this one
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on a Mac


def measure(way: str, source: str, target: str) -> dict[str, Any]:
    """Rank once; seconds, and the peak of memory in MB, as it was before, and after."""
    importlib.import_module("pandas")  # all of it in both, so that both begin alike
    importlib.import_module("lightning_pepr.ranking")
    idle = peak_mb()
    began, cpu = time.perf_counter(), time.process_time()
    WAYS[way](source, target)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu, "peak": peak_mb(), "idle": idle}


def same(one: str, other: str) -> bool:
    """Whether two rankings tell the same."""
    import polars as pl

    columns = ["group", "model", "rank", "pareto", *(f"pepr_{letter}" for letter in COSTS.values())]
    a, b = (pl.read_csv(path, schema_overrides={"pareto": pl.String}).select(columns) for path in (one, other))
    a, b = (t.with_columns(pl.col("pareto").str.to_lowercase()).sort("group", "model") for t in (a, b))
    scores = [column for column in columns if column.startswith("pepr")]
    exact = a.drop(scores).equals(b.drop(scores))
    return exact and all((a[score] - b[score]).abs().to_numpy().max() < 1e-12 for score in scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="runs in the table (default: 1,000,000)")
    parser.add_argument("--groups", type=int, default=200, help="groups in the table (default: 200)")
    parser.add_argument("--repetitions", type=int, default=3, help="how often each ranks (default: 3)")
    parser.add_argument("--quick", action="store_true", help="a small table, once, to see whether it works")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure(*chosen.measure)))
        return
    rows, groups, repetitions = chosen.rows, chosen.groups, chosen.repetitions
    if chosen.quick:
        rows, groups, repetitions = 2000, 10, 1

    names = ("lightning-pepr", "polars", "pandas")
    versions = ", ".join(f"{name} {installed(name)}" for name in names)
    print(f"{versions}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n", flush=True)
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "runs.csv"
        make_table(source, rows, groups)
        megabytes = source.stat().st_size / 1e6
        for _ in range(repetitions):  # by turns
            for way, runs in found.items():
                command = [sys.executable, "-m", MODULE, "--measure", way, str(source), f"{folder}/{way}.csv"]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    raise RuntimeError(f"{way} ended with {done.returncode}:\n{done.stderr[-2000:]}")
                runs.append(json.loads(done.stdout.splitlines()[-1]))
        agree = same(*(f"{folder}/{way}.csv" for way in WAYS))
    middle = {way: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for way, runs in found.items()}
    ours = middle["lightning-pepr"]
    rows_of_table = [
        [
            way,
            f"{it['wall']:.1f} s",
            f"{it['wall'] / ours['wall']:.1f}",
            f"{it['cpu'] / ours['cpu']:.1f}",
            f"{it['peak']:.0f} MB",
            f"{(it['peak'] - it['idle']) / megabytes:.1f}",
        ]
        for way, it in middle.items()
    ]
    head = [f"{rows:,} runs in {groups} groups ({megabytes:.0f} MB of CSV)", "time", "relative to lightning-pepr"]
    head += ["CPU time, relative", "peak memory", "beyond the libraries', relative to the table's size"]
    print(table(head, rows_of_table))
    if not agree:
        raise SystemExit("The two do not give the same ranks, fronts and scores.")
    print("\nBoth give the same ranks, fronts and scores.")


if __name__ == "__main__":
    main()
