"""Every kind of logger: scores at the steps of the user's metric, and what a run leaves at its end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from lightning_pepr import RunRecord
from tests.helpers.loggers import (
    COSTS,
    MAKE,
    SCORES,
    TrainingOnly,
    Tuned,
    fit,
    logged,
    make_mlflow,
    make_wandb,
)
from tests.helpers.training import Worker

SCHEDULES: dict[str, dict[str, Any]] = {
    "each epoch": {},
    "twice an epoch": {"val_check_interval": 0.5},
    "every second epoch": {"check_val_every_n_epoch": 2, "max_epochs": 4},
    "accumulating": {"accumulate_grad_batches": 2},
    "in training": {"monitor": "train_acc"},
    "in training without validation": {"monitor": "train_acc", "limit_val_batches": 0},
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    "kind", ["csv", "tensorboard", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("mlflow", "wandb"))]
)
@pytest.mark.usefixtures("offline")
def test_scores_are_at_the_steps_of_the_metric(kind: str, schedule: str, tmp_path: Path) -> None:
    options = {"monitor": "val_acc", **SCHEDULES[schedule]}
    logger = MAKE[kind](tmp_path)
    module = TrainingOnly() if options["monitor"] == "train_acc" else Worker()
    run = fit(module, tmp_path, logger, **options).run
    assert run is not None
    values = logged(logger)
    own = values[options["monitor"]]
    assert len(own) == {"twice an epoch": 6, "every second epoch": 2}.get(schedule, 3)
    assert [value for _, value in own] == pytest.approx([epoch.performance for epoch in run.evaluations])
    for key in SCORES:
        assert [step for step, _ in values[key]] == [step for step, _ in own], f"{key} is not at the steps of its P"
        expected = [epoch.scores[key] for epoch in run.evaluations]
        assert [value for _, value in values[key]] == pytest.approx(expected, rel=1e-6), "TensorBoard has 32 bits"
    for key in COSTS:
        steps = [step for step, _ in values[key]]
        assert steps == [epoch.step for epoch in run.epochs], f"{key} is logged once an evaluation"
        assert steps == sorted(set(steps))
        assert set(steps) >= {step for step, _ in own}
    forecasts = [(epoch.step, epoch.forecasts["time_s"]["expected"]) for epoch in run.epochs if epoch.forecasts]
    assert len(forecasts) == options.get("max_epochs", 3) - 1, "once at the end of each epoch but the first"
    assert [step for step, _ in values["forecast_time_s"]] == [step for step, _ in forecasts]
    assert [value for _, value in values["forecast_time_s"]] == pytest.approx(
        [value for _, value in forecasts], rel=1e-6
    )


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_several_loggers_at_once_get_the_same(tmp_path: Path) -> None:
    loggers = [make(tmp_path) for make in MAKE.values()]
    run = fit(Tuned(), tmp_path, *loggers).run
    assert run is not None
    read = [logged(logger) for logger in loggers]
    for key in [*COSTS, *SCORES]:
        for values in read:
            assert [step for step, _ in values[key]] == [epoch.step for epoch in run.epochs] == [3, 7, 11]
            assert [value for _, value in values[key]] == pytest.approx([value for _, value in read[0][key]], rel=1e-6)
    (record,) = tmp_path.glob("wandb/offline-run-*/files/pepr.json")
    (artifact,) = tmp_path.glob("artifacts/*/artifacts/pepr.json")
    (beside_csv,) = tmp_path.glob("csv/*/pepr.json")
    records = [RunRecord.load(path) for path in (record, artifact, beside_csv)]
    assert [other.run_id for other in records] == [run.run_id] * 3
    assert [other.costs for other in records] == [run.costs] * 3


def test_unknown_loggers_are_left_alone(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    class Other(Logger):
        name, version, experiment = "other", "0", None  # which has nothing that could be notified

        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            seen.append((step, "pepr_e" in metrics))

        def log_hyperparams(self, params: Any) -> None: ...

    seen: list[tuple[int | None, bool]] = []
    assert fit(Worker(), tmp_path / "none").run is not None
    fit(Worker(), tmp_path / "other", Other())
    assert [step for step, ours in seen if ours] == [3, 7, 11]
    assert not [warning for warning in recwarn if "did not take" in str(warning.message)]


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_a_run_that_fails_leaves_its_record_too(tmp_path: Path) -> None:
    mlflow = make_mlflow(tmp_path)
    loggers = [mlflow, make_wandb(tmp_path), TensorBoardLogger(tmp_path, "tb")]
    with pytest.raises(RuntimeError, match="broken"):
        fit(Worker(fail_at=9, error=RuntimeError("broken")), tmp_path, *loggers)
    (file,) = tmp_path.glob("wandb/offline-run-*/files/pepr.json")
    (artifact,) = tmp_path.glob("artifacts/*/artifacts/pepr.json")
    for record in (RunRecord.load(file), RunRecord.load(artifact)):
        assert (record.status, len(record.epochs)) == ("failed", 2)
    tags = mlflow.experiment.get_run(mlflow.run_id).data.tags
    assert tags["pepr.status"] == "failed"
    assert "wandb" in sys.modules


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_without_a_record_there_is_none_anywhere(tmp_path: Path) -> None:
    logger = make_mlflow(tmp_path)
    fit(Worker(), tmp_path, logger, make_wandb(tmp_path), record=False)
    assert not list(tmp_path.rglob("pepr.json"))
    tags = logger.experiment.get_run(logger.run_id).data.tags
    assert "pepr.record" not in tags
    assert tags["pepr.model"] == "Worker"


def test_fast_dev_run_leaves_nothing_in_loggers(tmp_path: Path) -> None:
    fit(Worker(), tmp_path, TensorBoardLogger(tmp_path, "tb"), fast_dev_run=True)
    assert not list(tmp_path.iterdir())
