"""What does stopping by a rule save, and what does it lose? `python -m benchmarks.stopping train|table DIR`.

`train` trains architectures to the end on the nodule outlines and the digits, and leaves their records. `table`
replays the rules on what the records say of each epoch: a rule that is told the same values stops at the same epoch.
With `--paper`, a table in the paper's columns is replayed too.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.table import table
from lightning_pepr import ModelSpace, RunRecord, pepr
from lightning_pepr.functional import above_baseline

if TYPE_CHECKING:
    from lightning_pepr.study.data import ImageData

MODELS = ("dla46_c", "mobilevitv2_050", "pvt_v2_b0", "convnext_atto", "ghostnet_100")
SEEDS = (0, 1, 2)
EPOCHS = {"lidc": 15, "digits": 20}


# Training ----------------------------------------------------------------------------------------------------------


def train(out: Path) -> None:
    """Train each model with each seed on both data sets; what is finished is skipped."""
    import torch

    from lightning_pepr.study.data import DigitsData, NoduleData
    from lightning_pepr.study.runner import train_model

    torch.set_num_threads(1)  # CPU time that is spent waiting for other threads would count as energy
    data: dict[str, ImageData] = {"digits": DigitsData(32, 64), "lidc": NoduleData(32, 64)}
    for seed, (name, images), model in itertools.product(SEEDS, data.items(), MODELS):
        folder = out / name / f"seed{seed}"
        done = [RunRecord.load(path) for path in (folder / model).glob("version_*/pepr.json")]
        if any(run.status == "finished" and run.test_performance is not None for run in done):
            continue
        options = {"epochs": EPOCHS[name], "num_classes": images.num_classes, "seed": seed, "accelerator": "cpu"}
        train_model(model, images, folder, **options)
        print(f"{name}, {model}, seed {seed}", flush=True)


# Replaying ---------------------------------------------------------------------------------------------------------


class Trace(NamedTuple):
    """One run: performance at each epoch, all energy spent by then, and the space in which it is scored."""

    name: str
    performance: np.ndarray
    energy: np.ndarray
    low: float
    high: float
    baseline: float


Rule = Callable[[Trace], int]
"""Gives the epoch, from 0, after which a run stops."""


def stop_early(values: Iterable[float], patience: int, min_delta: float = 0.0) -> int:
    """Where Lightning's EarlyStopping(mode="max") ends: after `patience` epochs without a gain above `min_delta`."""
    best, waited, epoch = -math.inf, 0, -1
    for epoch, value in enumerate(values):
        if value - min_delta > best:
            best, waited = value, 0
        else:
            waited += 1
            if waited >= patience:
                return epoch
    return epoch


def by_monitor(patience: int, min_delta: float = 0.0) -> Rule:
    return lambda run: stop_early(run.performance, patience, min_delta)


def by_score(patience: int, stretch: float = 1.0, baseline: bool = False, budget: bool = False) -> Rule:
    """By PePR-E; `stretch` makes the space's range so many times as wide, `budget` lets it begin at 0."""

    def rule(run: Trace) -> int:
        low = 0.0 if budget else run.low
        space = ModelSpace({"energy_kwh": (low, low + stretch * (run.high - low))})
        p = above_baseline(run.performance, run.baseline) if baseline else run.performance
        return stop_early(pepr(p, space.normalize(run.energy, "energy")), patience)

    return rule


FAMILIES: dict[str, dict[str, Rule]] = {
    "EarlyStopping(monitor)": {
        f"patience {patience}, min_delta {delta:g}": by_monitor(patience, delta)
        for patience, delta in itertools.product((1, 2, 3, 5), (0.0, 0.002, 0.005, 0.01, 0.02))
    },
    'EarlyStopping("pepr_e"), space of the runs': {
        f"patience {patience}": by_score(patience) for patience in (1, 2, 3, 5)
    },
    'EarlyStopping("pepr_e"), budget': {
        f"patience {patience}, budget {stretch:g} × the dearest run": by_score(patience, stretch, budget=True)
        for patience, stretch in itertools.product((1, 2, 3, 5), (1, 3, 10, 30, 100))
    },
    'EarlyStopping("pepr_e"), budget and baseline': {
        f"patience {patience}, budget {stretch:g} × the dearest run": by_score(patience, stretch, True, True)
        for patience, stretch in itertools.product((1, 2, 3, 5), (1, 3, 10, 30, 100))
    },
}


class Outcome(NamedTuple):
    """Of all runs of a data set: the mean share of energy saved, and points of P lost (the best P so far is kept)."""

    saved: float
    lost: float
    worst: float
    stopped: float


def replay(runs: list[Trace], rule: Rule) -> Outcome:
    ends = [rule(run) for run in runs]
    saved = [1 - run.energy[end] / run.energy[-1] for run, end in zip(runs, ends, strict=True)]
    lost = [
        float(run.performance.max() - run.performance[: end + 1].max()) for run, end in zip(runs, ends, strict=True)
    ]
    return Outcome(float(np.mean(saved)), float(np.mean(lost)), max(lost), float(np.median(ends)) + 1)


def traces_of(folder: Path) -> list[Trace]:
    """The finished runs below a folder, scored in the space that they span."""
    runs = [RunRecord.load(path) for path in sorted(folder.glob("*/*/version_*/pepr.json"))]
    runs = [run for run in runs if run.status == "finished"]
    whole = [run.cost.energy_kwh for run in runs]
    baseline = 0.5  # of AUROC
    return [
        Trace(
            run.model,
            np.array([epoch.performance for epoch in run.epochs]),
            np.array([epoch.cost.energy_kwh for epoch in run.epochs]),
            min(whole),
            max(whole),
            baseline,
        )
        for run in runs
    ]


def traces_of_paper(path: Path) -> dict[str, list[Trace]]:
    """The runs of a table in the paper's columns: a tenth of the energy in each of ten epochs."""
    import polars as pl

    frame = pl.read_csv(path)
    tests = sorted(name for name in frame.columns if name.startswith("test_"))
    found = {}
    for (setting,), rows in frame.group_by("dataset", maintain_order=True):
        low, high = float(rows["energy"].min()), float(rows["energy"].max())
        share = np.arange(1, len(tests) + 1) / len(tests)
        performances = rows.select(tests).to_numpy()
        baseline = 0.0
        found[f"paper: {setting}"] = [
            Trace(model, p, energy * share, low, high, baseline)
            for model, p, energy in zip(rows["model"], performances, rows["energy"], strict=True)
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["train", "table"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--paper", type=Path, metavar="TABLE.csv", help="a table in the paper's columns")
    chosen = parser.parse_args()
    if chosen.action == "train":
        train(chosen.folder)
        return
    data = {name: traces_of(chosen.folder / name) for name in EPOCHS}
    if chosen.paper is not None:
        settings = traces_of_paper(chosen.paper)
        data["paper"] = [run for runs in settings.values() for run in runs]
    print("; ".join(f"{name}: {len(runs)} runs" for name, runs in data.items()), "\n")
    for family, rules in FAMILIES.items():
        rows = []
        for words, rule in rules.items():
            cells = []
            for runs in data.values():
                out = replay(runs, rule)
                cells += [f"{out.saved:.0%}", f"{100 * out.lost:.1f} ({100 * out.worst:.1f})"]
            rows.append([words, *cells])
        head = [family, *(f"{name}: {what}" for name in data for what in ("saved", "points lost (worst)"))]
        print(table(head, rows), "\n")


if __name__ == "__main__":
    main()
