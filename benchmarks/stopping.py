"""What does stopping by a rule save, and what does it lose? `python -m benchmarks.stopping train|table|figure DIR`.

`train` trains architectures to the end on the nodule outlines and the digits, and leaves their records. `table`
replays the rules on what the records say of each epoch: a rule that sees the same values stops at the same epoch.
`figure` draws the curves, and what the rules save and lose. With `--paper`, a table in the paper's columns is replayed
too.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.stopping_rules import (
    BUDGET,
    CHOSEN,
    DEFAULT,
    FAMILIES,
    FEWER,
    PLAIN,
    SPACE,
    Array,
    Rule,
    Trace,
    by_monitor,
    by_score,
    scores,
)
from benchmarks.table import table
from lightning_pepr import RunRecord

if TYPE_CHECKING:
    from lightning_pepr.study.data.images import ImageData

MODELS = ("dla46_c", "mobilevitv2_050", "pvt_v2_b0", "convnext_atto", "ghostnet_100")
SEEDS = (0, 1, 2)
EPOCHS = {"lidc": 15, "digits": 20}
RESAMPLES = 2000


# Training ----------------------------------------------------------------------------------------------------------


def train(out: Path) -> None:
    """Train each model with each seed on both data sets; what is finished is skipped."""
    import torch

    from lightning_pepr.study import training
    from lightning_pepr.study.data.digits import DigitsData
    from lightning_pepr.study.data.nodules import NoduleData
    from lightning_pepr.study.runs import Model, Run
    from lightning_pepr.study.settings import Settings

    torch.set_num_threads(1)  # CPU time that is spent waiting for other threads would count as energy
    data: dict[str, ImageData] = {"digits": DigitsData(32, 64), "lidc": NoduleData(32, 64)}
    for seed, (name, images), model in itertools.product(SEEDS, data.items(), MODELS):
        folder = out / name / f"seed{seed}"
        done = [RunRecord.load(path) for path in (folder / model).glob("version_*/pepr.json")]
        if any(run.status == "finished" and run.test_performance is not None for run in done):
            continue
        settings = Settings(name, epochs=EPOCHS[name], accelerator="cpu")
        training.train(Run(settings, Model(model, model, 32), seed), images, folder)
        print(f"{name}, {model}, seed {seed}", flush=True)


# Runs --------------------------------------------------------------------------------------------------------------


def traces_of(folder: Path) -> list[Trace]:
    """The finished runs below a folder, scored in the space that they span."""
    runs = [RunRecord.load(path) for path in sorted(folder.glob("*/*/version_*/pepr.json"))]
    runs = [run for run in runs if run.status == "finished"]
    whole = [run.cost.energy_kwh or 0.0 for run in runs]
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


MAJORITY = {"derma": 0.669, "derma_pt": 0.669, "lidc": 0.523, "pneumonia": 0.627}
"""Of the paper's settings with all of the data: the accuracy at which models end that always name one class."""


def traces_of_paper(path: Path) -> list[Trace]:
    """The runs of a table in the paper's columns, with all of the data: a tenth of the energy in each of ten epochs."""
    import polars as pl

    frame = pl.read_csv(path)
    tests = sorted(name for name in frame.columns if name.startswith("test_"))
    share = np.arange(1, len(tests) + 1) / len(tests)
    found = []
    for setting, baseline in MAJORITY.items():
        rows = frame.filter(pl.col("dataset") == setting)
        energies = rows["energy"].to_numpy()
        low, high = float(energies.min()), float(energies.max())
        for model, p, energy in zip(rows["model"], rows.select(tests).to_numpy(), rows["energy"], strict=True):
            found.append(Trace(model, p, energy * share, low, high, baseline))
    return found


# Replaying ---------------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What rules did to runs; the best P so far is kept, as ModelCheckpoint does. Shape (rules, runs) or (runs,)."""

    spent: Array
    whole: Array
    lost: Array
    epochs: Array

    def saved(self, weights: Array | None = None) -> Array:
        """The share of all energy that was saved, of all runs or of each draw of them."""
        weights = np.ones((1, self.whole.size)) if weights is None else weights
        return 1.0 - self.spent @ weights.T / (weights @ self.whole)

    def points(self, weights: Array | None = None) -> Array:
        """The mean of P lost, in points."""
        weights = np.ones((1, self.whole.size)) if weights is None else weights
        return 100.0 * (self.lost @ weights.T) / weights.sum(axis=1)


def replay(runs: Sequence[Trace], rules: Sequence[Rule]) -> Outcome:
    ends = np.array([[rule(run) for run in runs] for rule in rules])
    at = np.arange(len(runs))
    energy, best = (
        [run.energy for run in runs],
        [np.maximum.accumulate(run.performance) for run in runs],
    )
    return Outcome(
        np.array([[energy[run][row[run]] for run in at] for row in ends]),
        np.array([each[-1] for each in energy]),
        np.array([[best[run][-1] - best[run][row[run]] for run in at] for row in ends]),
        ends + 1,
    )


def draws(runs: Sequence[Trace], name: str) -> Array:
    """How often each run is in each of many samples with replacement, shape (samples, runs).

    Of the paper's runs whole models are drawn, with all of their settings: these are alike.
    """
    rng = np.random.default_rng(0)
    names = [run.name if name == "paper" else str(row) for row, run in enumerate(runs)]
    index = {each: group for group, each in enumerate(dict.fromkeys(names))}
    counts = rng.multinomial(len(index), [1 / len(index)] * len(index), size=RESAMPLES)
    return counts[:, [index[each] for each in names]].astype(float)


def interval(values: Array) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def least(out: Outcome, saved: float, weights: Array | None = None) -> Array:
    """The least points lost by any of the rules that save so much: the setting that is best in hindsight."""
    return np.where(out.saved(weights) >= saved, out.points(weights), np.inf).min(axis=0)


# Tables ------------------------------------------------------------------------------------------------------------


def chosen_table(data: dict[str, list[Trace]]) -> str:
    """What some rules save and lose, with intervals."""
    rows = [[words] for words in CHOSEN]
    for name, runs in data.items():
        out, weights = replay(runs, list(CHOSEN.values())), draws(runs, name)
        drawn = zip(out.saved(weights), out.points(weights), strict=True)
        for row, saved, points, lost, epochs, of_draws in zip(
            rows, out.saved(), out.points(), out.lost, out.epochs, drawn, strict=True
        ):
            low, high = interval(of_draws[0])
            fewest, most = interval(of_draws[1])
            row += [
                f"{saved[0]:.0%} ({low:.0%}–{high:.0%})",
                f"{points[0]:.1f} ({fewest:.1f}–{most:.1f}), {100 * lost.max():.0f}, {np.median(epochs):.0f}",
            ]
    head = [f"{name}: {what}" for name in data for what in ("saved", "points lost, at worst, median epochs")]
    return table(["rule", *head], rows)


def family_table(data: dict[str, list[Trace]], levels: Sequence[float]) -> str:
    """What each way to stop loses at the least, and by how much that differs from EarlyStopping(monitor)."""
    rows = [[family] for family in FAMILIES]
    for name, runs in data.items():
        weights = draws(runs, name)
        outcomes = [replay(runs, rules) for rules in FAMILIES.values()]
        plain = outcomes[list(FAMILIES).index(PLAIN)]
        for level in levels:
            theirs = least(plain, level, weights)
            for row, out in zip(rows, outcomes, strict=True):
                points, mine = float(least(out, level)[0]), least(out, level, weights)
                both = np.isfinite(mine) & np.isfinite(theirs)
                words = f"{points:.2f}" if math.isfinite(points) else "none does"
                if row[0] != PLAIN and both.mean() > 0.95:
                    words += " ({:+.2f} to {:+.2f})".format(*interval((mine - theirs)[both]))
                row.append(words)
    head = [f"{name}: {level:.0%} saved" for name in data for level in levels]
    return table(["points lost at the least (than by EarlyStopping(monitor))", *head], rows)


# Drawing -----------------------------------------------------------------------------------------------------------

INK, BLUE, ORANGE, GREEN = "#222222", "#0072B2", "#E69F00", "#009E73"
"""Okabe and Ito's colours, which the colour-blind tell apart."""

DRAWN = {PLAIN: (INK, "-"), SPACE: (BLUE, ":"), BUDGET: (BLUE, "-"), "CostBudget": (ORANGE, "-"), FEWER: (GREEN, "-")}
ENDS = {
    "EarlyStopping(monitor, patience=3)": (by_monitor(3), "o", INK),
    'EarlyStopping("pepr_e", patience=3)': (by_score(3, DEFAULT, budget=True), "s", BLUE),
}
TITLES = {"lidc": "outlines", "digits": "digits", "paper": "the paper's curves"}


def draw(data: dict[str, list[Trace]], out: Path) -> None:
    """The curves of our runs, with where two rules end them; below, what ways to stop save and lose."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 9.2), dpi=110, layout="constrained", facecolor="white")
    parts: Any = figure.subfigures(2, 1, height_ratios=[1.5, 1.0])
    above, below = parts
    ours = {name: runs for name, runs in data.items() if name in EPOCHS}
    grid = above.subplots(len(ours), len(MODELS), sharex="row", sharey="row", squeeze=False)
    for axes_row, (name, runs) in zip(grid, ours.items(), strict=True):
        for axes, model in zip(axes_row, MODELS, strict=True):
            draw_curves(axes, [run for run in runs if run.name == model])
            axes.set_title(f"{TITLES[name]}, {model}", fontsize=8.5, loc="left")
            axes.set_xlabel("epochs done", fontsize=8.5)
    legend(above, grid[0][0])
    panels = below.subplots(1, len(data), sharey=True, squeeze=False)[0]
    for axes, (name, runs) in zip(panels, data.items(), strict=True):
        draw_trade(axes, runs)
        axes.set_title(f"{TITLES[name]}: {len(runs)} runs", fontsize=8.5, loc="left")
    panels[0].set_ylabel("points of P lost, at the least", fontsize=8.5)
    legend(below, panels[0])
    figure.savefig(out)


def legend(part: Any, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    each = dict(zip(labels, handles, strict=True))
    part.legend(each.values(), each.keys(), loc="outside lower center", ncols=5, frameon=False, fontsize=8.5)


def draw_curves(axes: Any, runs: Sequence[Trace]) -> None:
    """P and PePR-E of one model's runs, and where two rules end each of them."""
    for run in runs:
        epochs, score = np.arange(1, len(run.energy) + 1), scores(run, DEFAULT, budget=True)
        axes.plot(epochs, run.performance, color=INK, lw=0.9, label="P")
        axes.plot(epochs, score, color=BLUE, lw=0.9, label=f"PePR-E, budget {DEFAULT:g} × the most expensive run")
        for words, (rule, mark, colour) in ENDS.items():
            at = rule(run)
            height = (run.performance if colour == INK else score)[at]
            axes.plot(epochs[at], height, mark, ms=6, mfc="none", mec=colour, mew=1.3, ls="", label=words)
    axes.spines[["top", "right"]].set_visible(False)


def draw_trade(axes: Any, runs: Sequence[Trace]) -> None:
    """What each way to stop loses at the least, over what it saves."""
    levels = np.linspace(0.0, 0.9, 181)
    for family, (colour, style) in DRAWN.items():
        outcome = replay(runs, FAMILIES[family])
        lost = np.array([least(outcome, level)[0] for level in levels])
        axes.plot(levels, np.where(np.isfinite(lost), lost, np.nan), color=colour, ls=style, lw=1.5, label=family)
    axes.set_xlabel("share of all energy that is saved", fontsize=8.5)
    axes.set(xlim=(0.0, 0.9), ylim=(0.0, 4.0))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.spines[["top", "right"]].set_visible(False)


# Command line ----------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["train", "table", "figure"])
    parser.add_argument("folder", type=Path, help="where the records are")
    parser.add_argument("--paper", type=Path, metavar="TABLE.csv", help="a table in the paper's columns")
    parser.add_argument("-o", "--output", type=Path, default=Path("stopping.png"), help="the figure (stopping.png)")
    chosen = parser.parse_args()
    if chosen.action == "train":
        train(chosen.folder)
        return
    data = {name: traces_of(chosen.folder / name) for name in EPOCHS}
    if chosen.paper is not None:
        data["paper"] = traces_of_paper(chosen.paper)
    if chosen.action == "figure":
        draw(data, chosen.output)
        return
    print("; ".join(f"{name}: {len(runs)} runs" for name, runs in data.items()), "\n")
    for name, runs in data.items():
        for words, budget in (("space of the runs", False), ("budget as the most expensive run", True)):
            peaks = np.array([scores(run, budget=budget).argmax() for run in runs])
            shares = f"in epoch 1 for {np.mean(peaks == 0):.0%}, in the first 3 for {np.mean(peaks < 3):.0%}"
            print(f"{name}, {words}: the score is highest {shares}")
    print()
    print(chosen_table(data), "\n")
    print(family_table(data, (0.5,)), "\n")
    for name, runs in data.items():
        print(family_table({name: runs}, (0.3, 0.4, 0.6, 0.7)), "\n")


if __name__ == "__main__":
    main()
