"""A run of which only metrics are left is read from them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lightning_pepr import load_runs
from lightning_pepr.runs.metrics import from_metrics
from lightning_pepr.runs.table import COLUMNS, COSTS
from tests.helpers.paths import ROOT
from tests.helpers.trackers import UNKNOWN

pytestmark = pytest.mark.usefixtures("offline")


class TestFromMetrics:
    KNOWN: ClassVar[dict[str, Any]] = {
        "name": "lyrical-sky-1",
        "run_id": "abc",
        "status": "running",
        "started": "2026-01-01T00:00:00+00:00",
    }

    def test_costs_are_the_last_and_performance_is_that_of_evaluations(self) -> None:
        series = {
            "energy_kwh": {9: 0.1, 19: 0.2, 29: 0.3},
            "params": {9: 7.0, 19: 7.0, 29: 7.0},
            "pepr_e": {9: 0.4, 29: 0.3},
            "epoch": {9: 0.0, 14: 1.0, 19: 1.0, 29: 2.0},
            "val_acc": {9: 0.5, 14: 0.99, 29: 0.75},  # that of step 14 is of something else
            "test_acc": {30: 0.7},
        }
        facts = {"monitor": "val_acc", "test_monitor": "test_acc", "model": "resnet18", "run_id": "r1"}
        run = from_metrics(series, facts, **self.KNOWN)
        assert run is not None
        assert [(e.epoch, e.step, e.performance) for e in run.epochs] == [(0, 9, 0.5), (1, 19, None), (2, 29, 0.75)]
        assert [e.scores for e in run.epochs] == [{"pepr_e": 0.4}, {}, {"pepr_e": 0.3}]
        assert (run.cost.energy_kwh, run.params, run.test_performance) == (0.3, 7, 0.7)
        assert (run.model, run.run_id, run.status) == ("resnet18", "r1", "running")
        assert run.costs["energy_kwh"].error is None

    def test_without_facts_there_is_no_performance(self) -> None:
        run = from_metrics({"time_s": {0: 5.0}, "val_acc": {0: 0.5}}, {}, **self.KNOWN)
        assert run is not None
        assert (run.model, run.run_id, run.performance) == ("lyrical-sky-1", "abc", None)
        assert run.cost.energy_kwh is None

    @pytest.mark.parametrize("text", ["{", "[1]", 3, True, "[" * 100_000])
    def test_settings_that_somebody_has_changed_are_none(self, text: Any) -> None:
        run = from_metrics({"time_s": {0: 5.0}}, {"settings": text}, **self.KNOWN)
        assert run is not None
        assert run.settings == {}

    def test_without_a_cost_there_is_no_run(self) -> None:
        assert from_metrics({"val_acc": {0: 0.5}}, {"monitor": "val_acc"}, **self.KNOWN) is None

    @pytest.mark.parametrize(
        ("value", "kept", "performance"), [(87.5, 87.5, None), (-0.1, -0.1, 0.5), (float("nan"), None, 0.5)]
    )
    def test_performances_are_kept_as_a_record_has_them(
        self, value: float, kept: float | None, performance: float | None
    ) -> None:
        series = {"time_s": {0: 5.0, 1: 6.0}, "val_acc": {0: 0.5, 1: value}}
        run = from_metrics(series, {"monitor": "val_acc"}, **self.KNOWN)
        assert run is not None
        assert [e.performance for e in run.epochs] == [0.5, kept]
        assert run.performance == performance

    @pytest.mark.parametrize(("value", "performance"), [(87.5, 0.5), (-0.1, 0.0), (0.7, 0.7), (float("nan"), 0.5)])
    def test_a_test_outside_is_left_out(self, value: float, performance: float) -> None:
        series = {"time_s": {0: 5.0}, "val_acc": {0: 0.5}, "test_acc": {0: value}}
        run = from_metrics(series, {"monitor": "val_acc", "test_monitor": "test_acc"}, **self.KNOWN)
        assert run is not None
        assert run.performance == performance

    def test_what_tells_runs_apart_is_what_the_tracker_has(self) -> None:
        facts = {"model": "Net", "named": "True", "group": "derma", "settings": '{"aug": "heavy"}'}
        run = from_metrics({"time_s": {0: 5.0}}, facts, **self.KNOWN, hyperparameters={"lr": 0.1})
        assert run is not None
        assert (run.model, run.named, run.group, run.settings) == ("Net", True, "derma", {"aug": "heavy"})
        assert run.hyperparameters == {"lr": 0.1}

    def test_names_with_a_prefix_and_characters_that_mlflow_leaves_out(self) -> None:
        series = {"a-time_s": {0: 5.0}, "a-valacc": {0: 0.5}, "time_s": {0: 9.0}}
        run = from_metrics(series, {"monitor": "val:acc", "prefix": "a-"}, **self.KNOWN)
        assert run is not None
        assert (run.cost.time_s, run.performance) == (5.0, 0.5)


KILLED = """
import os, signal, sys
from pathlib import Path
from lightning.pytorch.loggers import MLFlowLogger, WandbLogger
from lightning_pepr import ModelSpace, PePRCallback
from tests.helpers.training import Worker, WorkMeter, trainer

class Killed(Worker):
    def training_step(self, batch, index):
        if self.global_step == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().training_step(batch, index)

root = Path(sys.argv[1])
loggers = [
    MLFlowLogger("killed", tracking_uri=f"sqlite:///{root}/store.db", artifact_location=str(root / "artifacts")),
    WandbLogger(save_dir=root, offline=True, settings={"x_transaction_log_flush_interval": 0.1}),
]
module = Killed()
callback = PePRCallback("val_acc", ModelSpace.budget(energy_kwh=1e-5), meter=WorkMeter(module), record=False)
trainer(callback, root=root, logger=loggers, log_every_n_steps=1).fit(module)
"""


@pytest.mark.slow
def test_a_killed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was killed is read from what it had logged."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store.db")
    for source in ("mlflow:killed", tmp_path / "wandb"):
        (row,) = load_runs(source).rows(named=True)
        assert (row["status"], row["model"]) == ("running", "Killed")
        assert (row["data_samples"], row["val_performance"], row["quality"]) == (28.0, 0.5, None)


def test_columns_are_those_of_any_run() -> None:
    assert {*UNKNOWN, *COSTS} <= set(COLUMNS)
