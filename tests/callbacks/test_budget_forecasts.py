"""Forecasts of a whole run's cost: when they are made, logged and recorded, and what a budget does by them."""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path

import pytest
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from lightning_pepr import CostBudget, PePRCallback
from lightning_pepr.forecast import forecast
from tests.helpers.budgets import EPOCH_KWH, fit
from tests.helpers.training import TRAIN_UJ, VALIDATE_UJ, Worker, WorkMeter, trainer


def test_stops_when_the_plan_is_forecast_to_overrun(tmp_path: Path) -> None:
    run, record = fit(CostBudget(energy_kwh=20 * EPOCH_KWH, on="predicted"), tmp_path, max_epochs=50)
    assert 2 <= run.current_epoch <= 5, "none after the first epoch; then every epoch costs the same"
    assert "is forecast to take" in record.stopped
    assert "% sure" in record.stopped


def test_goes_on_when_the_plan_is_forecast_to_fit(tmp_path: Path) -> None:
    run, record = fit(CostBudget(energy_kwh=9 * EPOCH_KWH, on="predicted"), tmp_path, max_epochs=8)
    assert run.current_epoch == 8
    assert record.stopped == ""


def test_what_is_spent_counts_too_where_there_is_no_forecast(tmp_path: Path) -> None:
    run, _ = fit(CostBudget(energy_kwh=1.5 * EPOCH_KWH, on="predicted"), tmp_path, max_epochs=-1)
    assert run.current_epoch == 2


def test_the_forecast_is_logged_and_recorded(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    run, record = fit(CostBudget(energy_kwh=1.0), tmp_path, logger=logger, max_epochs=6)
    with open(Path(logger.log_dir) / "metrics.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["forecast_energy_kwh"]]
    assert [int(row["step"]) for row in rows] == [7, 11, 15, 19, 23], "none after the first epoch"
    assert float(rows[-1]["forecast_energy_kwh"]) == pytest.approx(6 * EPOCH_KWH)
    assert "forecast_time_s" in run.callback_metrics
    assert "forecast_carbon_g" not in run.callback_metrics, "it is not measured"
    assert not record.epochs[0].forecasts
    found = record.epochs[2].forecasts["energy_kwh"]
    assert found["low"] <= 6 * EPOCH_KWH * (1 + 1e-9)
    assert found["high"] >= 6 * EPOCH_KWH * (1 - 1e-9)
    assert 0 < found["level"] < 1


def test_the_forecast_follows_max_steps(tmp_path: Path) -> None:
    run, record = fit(CostBudget(energy_kwh=1.0), tmp_path, max_epochs=None, max_steps=22)
    assert run.global_step == 22
    assert record.epochs[3].forecasts["energy_kwh"]["expected"] == pytest.approx(5.5 * EPOCH_KWH, rel=0.05)


def test_after_a_resume_the_forecast_knows_the_epochs_before(tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path / "ckpt", save_last=True)
    fit(CostBudget(energy_kwh=1.0), tmp_path / "a", saving, max_epochs=4, enable_checkpointing=True)
    _, record = fit(CostBudget(energy_kwh=1.0), tmp_path / "b", ckpt_path=tmp_path / "ckpt" / "last.ckpt", max_epochs=8)
    assert [bool(epoch.forecasts) for epoch in record.epochs] == [False] + [True] * 7
    found = record.epochs[4].forecasts["energy_kwh"]
    assert found["expected"] == pytest.approx(8 * EPOCH_KWH)
    assert found["high"] < 8.5 * EPOCH_KWH, "by five epochs that are alike"


def test_epochs_with_validation_are_known_to_be_more_expensive(tmp_path: Path) -> None:
    _, record = fit(CostBudget(energy_kwh=1.0), tmp_path, max_epochs=9, check_val_every_n_epoch=2)
    train, validate = 4 * TRAIN_UJ / 3.6e12, 3 * VALIDATE_UJ / 3.6e12
    spent = [train * (n + 1) + validate * ((n + 1) // 2) for n in range(5)]
    found = forecast(spent, 9, period=2)
    assert found is not None
    assert record.epochs[4].forecasts["energy_kwh"] == pytest.approx(found._asdict())


def test_several_validations_in_an_epoch_are_one_epoch(tmp_path: Path) -> None:
    """The last one ends before the epoch does: what is trained after it counts, too."""
    _, record = fit(CostBudget(energy_kwh=1.0), tmp_path, max_epochs=5, val_check_interval=3)
    assert [bool(epoch.forecasts) for epoch in record.epochs] == [False, True, True, True, True]
    assert record.epochs[4].forecasts["energy_kwh"]["expected"] == pytest.approx(5 * EPOCH_KWH)
    assert record.epochs[2].forecasts["energy_kwh"]["expected"] == pytest.approx(5 * EPOCH_KWH)


def test_a_forecast_needs_an_end(tmp_path: Path) -> None:
    run, record = fit(CostBudget(energy_kwh=3.5 * EPOCH_KWH), tmp_path, max_epochs=-1)
    assert run.current_epoch == 4
    assert not any(epoch.forecasts for epoch in record.epochs)


def test_a_limit_of_time_is_an_end(tmp_path: Path) -> None:
    run, record = fit(CostBudget(energy_kwh=1.0), tmp_path, max_epochs=-1, max_time=timedelta(seconds=1))
    assert run.current_epoch > 2
    assert [bool(epoch.forecasts) for epoch in record.epochs[:3]] == [False, True, True]


def test_forecasts_do_not_need_a_budget_and_follow_resources(tmp_path: Path) -> None:
    module = Worker()
    meter = PePRCallback("val_acc", meter=WorkMeter(module), resources=["energy"], carbon_intensity=151.0)
    run = trainer(meter, root=tmp_path, max_epochs=3)
    run.fit(module)
    assert {key for key in run.callback_metrics if key.startswith("forecast")} == {"forecast_energy_kwh"}
    assert meter.run is not None
    assert set(meter.run.epochs[-1].forecasts) == {"energy_kwh", "carbon_g", "time_s"}


def test_a_long_run_has_a_forecast_in_each_epoch(tmp_path: Path) -> None:
    """It is renewed now and then, and is never less than what is spent."""
    callback = PePRCallback("val_acc")
    trainer(callback, root=tmp_path, max_epochs=80).fit(Worker())
    run = callback.run
    assert run is not None
    for epoch in run.epochs[1:]:
        found, spent = epoch.forecasts["time_s"], epoch.cost.time_s
        assert spent is not None
        assert spent <= found["low"] <= found["expected"] <= found["high"]
    values = [epoch.forecasts["time_s"]["expected"] for epoch in run.epochs[32:]]
    assert 1 < len(set(values)) < len(values)
    last = run.epochs[-1].forecasts["time_s"]
    assert last["low"] == last["high"], "of a run that is over nothing is left to forecast"
