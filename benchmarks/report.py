"""How large is the report of ten thousand runs, and how quick? `python -m benchmarks.report`.

Pages of 1 to 10,000 runs with 20 epochs each are opened in a real Chromium, several times by turns. Ready is when the
page has been drawn, from the start of its navigation; a switch is from the choice of another resource until it has been
drawn. Both are in seconds, and relative to the page of one run, of which the most is what any page takes.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.browser import WITHOUT, find, launch
from benchmarks.table import table
from lightning_pepr.cost import Cost
from lightning_pepr.record import CostEntry, DeviceEntry, Epoch, RunRecord, Stage

EPOCHS = 20
LETTERS = "TMNCDE"


def make_runs(count: int, epochs: int = EPOCHS, seed: int = 1) -> list[RunRecord]:
    """Runs at random: more expensive ones are better, on the whole; each model is trained twice."""
    rng = random.Random(seed)
    runs = []
    for index in range(count):
        params = 10 ** rng.uniform(5.5, 8.5)
        energy = 1e-4 * (params / 1e6) ** 0.7 * rng.lognormvariate(0.0, 0.4)  # kWh an epoch
        seconds = 3e4 * energy * rng.lognormvariate(0.0, 0.2)
        top = min(0.99, 0.6 + 0.05 * (math.log10(params) - 5) + rng.gauss(0.0, 0.03))
        run = RunRecord(
            f"architecture_{index // 2:05}_patch16_224",
            params=int(params),
            run_id=f"{index:032x}",
            monitor="val_acc",
            status="finished",
            val_samples=1000,
        )
        for epoch in range(epochs):
            done = epoch + 1
            spent = Cost(energy * done, energy * done * 151, seconds * done, 1 + params / 1e7, 6e4 * done, int(params))
            run.epochs.append(Epoch(epoch, done * 938 - 1, top * (1 - 0.5 * math.exp(-done / 4)), spent))
        cost = run.epochs[-1].cost
        run.costs = {resource.field: CostEntry(amount, 0.02 * amount, "counter") for resource, amount in cost.items()}
        whole = int((cost.energy_kwh or 0.0) * 3.6e12)
        train, validate = whole * 8 // 10, whole // 10
        run.stages = {
            "train": Stage(train, 10**9),
            "validate": Stage(validate, 10**8),
            "other": Stage(whole - train - validate, 10**7),
        }
        run.devices = {
            "gpu:GPU-5f": DeviceEntry("NVIDIA A100-SXM4-80GB", "node", whole * 3 // 4, 1.0, "counter", 0.05),
            "cpu:node": DeviceEntry("AMD EPYC 7543", "node", whole - whole * 3 // 4, 1.0, "counter", 0.05),
        }
        runs.append(run)
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5, help="how often each page is opened (default: 5)")
    parser.add_argument("--quick", action="store_true", help="small pages, once, to see whether it works")
    chosen = parser.parse_args()
    counts, repetitions = ((1, 100), 1) if chosen.quick else ((1, 100, 1000, 10_000), chosen.repetitions)

    from lightning_pepr.report.page import write_page

    if find() is None:
        raise SystemExit(WITHOUT)
    ready: dict[int, list[float]] = {count: [] for count in counts}
    switched: dict[int, list[float]] = {count: [] for count in counts}
    made, size = {}, {}
    with tempfile.TemporaryDirectory() as folder, launch() as browser:
        version = browser.driver.capabilities["browserVersion"]
        print(f"Chromium {version}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n", flush=True)
        for count in counts:
            runs = make_runs(count)
            began = time.perf_counter()
            path = write_page(runs, Path(folder) / f"{count}.html")
            made[count], size[count] = time.perf_counter() - began, path.stat().st_size / 1e6
        for _ in range(repetitions):  # by turns
            for count in counts:
                browser.open(Path(folder) / f"{count}.html")
                ready[count].append(float(browser.run("return document.documentElement.dataset.ready")) / 1e3)
                for letter in LETTERS:
                    browser.run("delete document.documentElement.dataset.switched")
                    browser.choose(letter)
                    took = browser.wait(lambda: browser.run("return document.documentElement.dataset.switched"))
                    switched[count].append(float(took) / 1e3)
    one, one_switch = statistics.median(ready[1]), statistics.median(switched[1])
    rows = [
        [
            f"{count:,}",
            f"{size[count]:.1f} MB",
            f"{made[count]:.1f} s",
            f"{statistics.median(ready[count]):.2f} s ({max(ready[count]):.2f} s)",
            f"{statistics.median(ready[count]) / one:.1f}",
            f"{statistics.median(switched[count]):.2f} s ({max(switched[count]):.2f} s)",
            f"{statistics.median(switched[count]) / one_switch:.1f}",
        ]
        for count in counts
    ]
    head = ["runs", "file", "made in", "ready, median (longest)", "relative to one run"]
    print(table([*head, "switch, median (longest)", "relative to one run"], rows))


if __name__ == "__main__":
    main()
