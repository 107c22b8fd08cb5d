"""Where scores and costs are found: in loggers, callbacks and the progress bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from lightning_pepr import PePRCallback
from lightning_pepr.callbacks._publish import publish
from lightning_pepr.utilities.files import FILE_NAME
from tests.helpers.contract import ListLogger
from tests.helpers.fits import SPACE, fit, record_of, rows_of
from tests.helpers.training import Worker, WorkMeter, trainer


def test_scores_and_costs_are_logged_at_the_step_of_the_users_metrics(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board, table = TensorBoardLogger(tmp_path, "tb"), CSVLogger(tmp_path, "csv")
    run = record_of(fit(Worker(), tmp_path, logger=[board, table], log_every_n_steps=1))
    events = EventAccumulator(board.log_dir)
    events.Reload()
    for key in ("pepr_e", "pepr_t", "energy_kwh", "time_s", "memory_gb", "data_samples", "params"):
        scalars = events.Scalars(key)
        assert [s.step for s in scalars] == [s.step for s in events.Scalars("val_acc")] == [3, 7, 11]
    assert [s.value for s in events.Scalars("pepr_e")] == pytest.approx([e.scores["pepr_e"] for e in run.epochs])
    rows = [row for row in rows_of(table) if row["pepr_e"]]
    assert [float(row["pepr_e"]) for row in rows] == [e.scores["pepr_e"] for e in run.epochs]
    assert [int(row["step"]) for row in rows] == [3, 7, 11]
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    assert (Path(board.log_dir) / FILE_NAME).exists(), "the record is beside the first logger's files"


def test_scores_are_in_the_progress_bar_unless_not_wanted(tmp_path: Path) -> None:
    for prog_bar in (True, False):
        module = Worker()
        callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module), prog_bar=prog_bar)
        run = trainer(callback, root=tmp_path)
        run.fit(module)
        assert ("pepr_e" in run.progress_bar_metrics) is prog_bar
        assert "energy_kwh" not in run.progress_bar_metrics


def test_checkpoint_names_take_the_score(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path, monitor="pepr_e", mode="max", filename="{epoch}-{pepr_e:.3f}")
    callback = fit(Worker((0.5, 0.25)), tmp_path, checkpoint, enable_checkpointing=True)
    assert callback.run is not None
    best = max(e.known_scores["pepr_e"] for e in callback.run.epochs)
    assert Path(checkpoint.best_model_path).name == f"epoch=0-pepr_e={best:.3f}.ckpt"


def test_values_are_published_in_double_for_callbacks_and_rounded_nowhere(tmp_path: Path) -> None:
    run = trainer(root=tmp_path)
    publish(run, {"data_samples": 2.0**24 + 1, "pepr_e": 0.1}, step=3, prog_bar={"pepr_e": 0.1})
    for metrics in (run.callback_metrics, run.logged_metrics):
        assert metrics["data_samples"].dtype is torch.float64
        assert int(metrics["data_samples"]) == 2**24 + 1
    assert run.progress_bar_metrics == {"pepr_e": 0.1}


def test_without_a_step_loggers_get_nothing(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    run = trainer(root=tmp_path, logger=logger)
    publish(run, {"budget_used": 0.5}, step=None)
    assert float(run.callback_metrics["budget_used"]) == 0.5
    assert "budget_used" not in run.logged_metrics
    assert not logger.experiment.metrics


def test_a_logger_gets_metrics_and_step_by_name(tmp_path: Path) -> None:
    """Lightning calls it so, and some loggers have them in another order."""

    class Turned(ListLogger):
        def log_metrics(self, step: Any, metrics: Any) -> None:  # type: ignore[override]
            super().log_metrics(metrics, step)

    logger = Turned()
    publish(trainer(root=tmp_path, logger=logger), {"pepr_e": 0.5}, step=7)
    assert logger.lines == [(7, {"pepr_e": 0.5, "epoch": 0})]
