"""The rules of the benchmark about stopping end where a Trainer ends, and its figures of the paper's curves stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning.pytorch.callbacks import EarlyStopping

from benchmarks.stopping import MODELS, draws, least, replay, traces_of_paper
from benchmarks.stopping_rules import (
    CHOSEN,
    FAMILIES,
    PLAIN,
    SPACE,
    Rule,
    Trace,
    by_budget,
    by_cost_since_best,
    by_gain,
    by_monitor,
    by_score,
    by_share,
    by_smooth_score,
)
from lightning_pepr import CostBudget, ModelSpace, PePRCallback
from lightning_pepr.cost import Cost
from lightning_pepr.record import CostEntry, Epoch, RunRecord
from tests.helpers.paths import PAPER, ROOT
from tests.helpers.training import Worker, WorkMeter, trainer

TABLE = PAPER / "results_131x8.csv"
P = (0.5, 0.7, 0.65, 0.72, 0.71, 0.725, 0.72, 0.71, 0.73, 0.73, 0.72, 0.7)
BASELINE = 0.4


def run_of(root: Path, *callbacks: object, space: ModelSpace | None = None, baseline: float | None = None) -> RunRecord:
    """What a run leaves whose performances are `P`, and whose epochs cost the same."""
    module = Worker(P)
    meter = PePRCallback("val_acc", space=space, baseline=baseline, meter=WorkMeter(module))
    trainer(meter, *callbacks, root=root, max_epochs=len(P)).fit(module)
    assert meter.run is not None
    return meter.run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """A run to the end, in a space that goes from a quarter of its energy to all of it."""
    run = run_of(tmp_path_factory.mktemp("whole"))
    energy = np.array([epoch.cost.energy_kwh for epoch in run.epochs])
    performance = np.array([epoch.performance for epoch in run.epochs])
    return Trace(run.model, performance, energy, energy[-1] / 4, energy[-1], BASELINE)


@pytest.mark.parametrize(
    ("rule", "low", "width", "options"),
    [
        (by_monitor(2), 0.25, 1, {"monitor": "val_acc", "patience": 2}),
        (by_monitor(2, 0.01), 0.25, 1, {"monitor": "val_acc", "patience": 2, "min_delta": 0.01}),
        (by_score(3), 0.25, 1, {"monitor": "pepr_e", "patience": 3}),
        (by_score(2, 10), 0.25, 10, {"monitor": "pepr_e", "patience": 2}),
        (by_score(2, 3, 0.005, budget=True), 0, 3, {"monitor": "pepr_e", "patience": 2, "min_delta": 0.005}),
        (by_score(2, 3, budget=True, baseline=True), 0, 3, {"monitor": "pepr_e", "patience": 2, "baseline": BASELINE}),
    ],
)
def test_a_rule_ends_where_early_stopping_does(
    tmp_path: Path, whole: Trace, rule: Rule, low: float, width: float, options: dict[str, Any]
) -> None:
    begin = low * whole.high
    space = ModelSpace({"energy_kwh": (begin, begin + width * (whole.high - begin))})
    baseline = options.pop("baseline", None)
    run = run_of(tmp_path, EarlyStopping(mode="max", **options), space=space, baseline=baseline)
    assert rule(whole) + 1 == len(run.epochs) < len(P)


@pytest.mark.parametrize("share", [0.1, 0.45, 0.8])
def test_a_rule_ends_where_a_budget_does(tmp_path: Path, whole: Trace, share: float) -> None:
    run = run_of(tmp_path, CostBudget(energy_kwh=share * whole.high))
    assert by_budget(share)(whole) + 1 == len(run.epochs) < len(P)


def test_the_other_rules() -> None:
    p = np.array([0.5, 0.6, 0.59, 0.58, 0.7, 0.69, 0.68, 0.67, 0.66])
    free = Trace("m", p, np.arange(1.0, 10.0), 10.0, 100.0, 0.0)  # the space's budget is so wide that energy is nothing
    assert by_share(0.5)(free) == 3
    assert by_share(0.01)(free) == 0
    assert by_gain(2, 1e9)(free) == 3
    assert by_gain(3, 1e9)(free) == 7
    assert by_gain(4, 1e9)(free) == 8
    assert by_gain(5, 1e9)(free) == 8
    assert by_smooth_score(1, 1e9)(free) == 7  # means are 0.5, 0.55, 0.563, 0.59, 0.623, 0.657, 0.69, 0.68, 0.67
    assert by_budget(0.05)(free) == 4
    assert by_budget(0.05, 2)(free) == 3
    assert by_cost_since_best(0.02, 1)(free) == 3
    assert by_cost_since_best(0.03, 1)(free) == 7
    assert by_cost_since_best(0.001, 2)(free) == 3


def test_what_is_saved_is_of_all_energy_and_what_is_lost_of_the_best_so_far() -> None:
    small = Trace("a", np.array([0.5, 0.9, 0.7]), np.array([1.0, 2.0, 3.0]), 0, 1, 0)
    large = Trace("b", np.array([0.6, 0.6, 0.8]), np.array([10.0, 20.0, 30.0]), 0, 1, 0)
    out = replay([small, large], [by_share(1.0), by_share(2 / 3), by_share(1 / 3)])
    assert out.saved()[:, 0] == pytest.approx([0, 1 / 3, 2 / 3])
    assert out.points()[:, 0] == pytest.approx([0, (0 + 20) / 2, (40 + 20) / 2])
    assert least(out, 0.3) == pytest.approx(10)
    assert least(out, 0.9) == np.inf
    only_large = np.array([[0.0, 2.0]])
    assert out.points(only_large)[:, 0] == pytest.approx([0, 20, 20])


def test_models_are_drawn_with_all_their_settings() -> None:
    runs = [Trace(name, np.ones(1), np.ones(1), 0, 1, 0) for name in ("a", "b", "a", "c")]
    each = draws(runs, "paper")
    assert (each[:, 0] == each[:, 2]).all()
    assert (draws(runs, "lidc").sum(axis=1) == 4).all()
    assert each.mean(axis=0) == pytest.approx(np.ones(4), abs=0.1)


@pytest.mark.skipif(not TABLE.exists(), reason="the paper's table is not beside the repository")
def test_what_the_documentation_says_of_the_papers_curves() -> None:
    runs = traces_of_paper(TABLE)
    assert len(runs) == 4 * 131
    out = replay(runs, [by_monitor(2, 0.01), by_score(3, 0.1, budget=True)])
    assert out.saved()[:, 0] == pytest.approx([0.53, 0.60], abs=0.005)
    assert out.points()[:, 0] == pytest.approx([1.4, 1.6], abs=0.05)
    weights = draws(runs, "paper")
    plain, space = (least(replay(runs, FAMILIES[family]), 0.5, weights) for family in (PLAIN, SPACE))
    assert np.quantile(space - plain, 0.975) < 0, "where costs differ a lot, a space that runs share loses less"


@pytest.mark.slow
def test_table_and_figure_of_a_folder_of_records(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, seed, model in [(n, s, m) for n in ("lidc", "digits") for s in (0, 1) for m in MODELS]:
        run = RunRecord(model, monitor="val_auroc", status="finished")
        costs = np.cumsum(rng.uniform(0.5, 2.0) * np.ones(8))
        run.epochs = [
            Epoch(i, i, float(1 - 0.5 * 0.7**i + rng.normal(0, 0.01)), Cost(energy_kwh=float(costs[i])))
            for i in range(8)
        ]
        run.costs = {"energy_kwh": CostEntry(float(costs[-1]), 0.0, "counter")}
        run.save(tmp_path / name / f"seed{seed}" / model / "version_0" / "pepr.json")

    def printed(*arguments: str) -> str:
        command = [sys.executable, "-m", "benchmarks.stopping", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    text = printed("table", str(tmp_path))
    assert text.startswith("lidc: 10 runs; digits: 10 runs")
    assert all(f"| {words} | " in text for words in (*CHOSEN, *FAMILIES))
    printed("figure", str(tmp_path), "-o", str(tmp_path / "stopping.png"))
    assert (tmp_path / "stopping.png").read_bytes().startswith(b"\x89PNG")
