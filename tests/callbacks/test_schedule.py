"""How long a run is going to be by the plan of its Trainer, and what it will have cost by then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from lightning.pytorch import Callback, Trainer

from lightning_pepr import Cost
from lightning_pepr.callbacks._schedule import KEPT, STEPS, End, costs_of, forecast_run, is_over, note_end
from lightning_pepr.forecast import Forecast, forecast

ENERGY = [1.0, 2.02, 3.01, 4.03, 5.04]


def plan(**options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, **{"max_epochs": 50, "barebones": False, **options}
    )


def ends(energy: list[float] = ENERGY, grams: float | None = 151.0, steps: int = 10) -> dict[int, End]:
    rows = [
        {STEPS: float(steps * (i + 1)), **costs_of(Cost(e, None if grams is None else grams * e, 60.0 * (i + 1)))}
        for i, e in enumerate(energy)
    ]
    return dict(enumerate(rows))


def forecasts_of(trainer: Trainer, rows: dict[int, End]) -> dict[str, Forecast]:
    """The forecasts at the end of the last of the epochs."""
    return forecast_run(trainer, rows, max(rows))


def close(found: Forecast | None) -> Any:
    """As near as a forecast comes that is made beside others."""
    assert found is not None
    return pytest.approx(tuple(found), rel=1e-6)


def test_each_cost_is_forecast_by_its_own_epochs() -> None:
    found = forecasts_of(plan(), ends())
    assert list(found) == ["energy_kwh", "carbon_g", "time_s"]
    assert found["energy_kwh"] == close(forecast(ENERGY, 50, period=1))
    assert found["time_s"] == close(forecast([60.0 * (i + 1) for i in range(5)], 50, period=1))


@pytest.mark.parametrize("factors", [[151.0] * 5, [151.0, 151.0, 151.0, 140.0, 140.0]])
def test_carbon_is_what_its_own_forecast_would_be(factors: list[float]) -> None:
    """With one intensity it follows energy; with several, as two fits of a run may have had, it does not."""
    rows = ends(grams=None)
    grams = 0.0
    for row, before, now, factor in zip(rows.values(), [0.0, *ENERGY], ENERGY, factors, strict=False):
        grams += factor * (now - before)
        row["carbon_g"] = grams
    found = forecasts_of(plan(), rows)["carbon_g"]
    assert found == close(forecast([row["carbon_g"] or 0.0 for row in rows.values()], 50, period=1))


def test_what_was_not_measured_is_not_forecast() -> None:
    assert list(forecasts_of(plan(), ends(grams=None))) == ["energy_kwh", "time_s"]
    rows = ends()
    rows[2]["energy_kwh"] = None
    assert list(forecasts_of(plan(), rows)) == ["carbon_g", "time_s"]


def test_nothing_is_forecast_after_one_epoch_or_without_an_end() -> None:
    assert forecasts_of(plan(), ends(ENERGY[:1])) == {}
    assert forecasts_of(plan(max_epochs=-1), ends()) == {}


def test_the_plan_may_be_in_steps_and_end_within_an_epoch() -> None:
    trainer = plan(max_epochs=-1, max_steps=65)
    trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total.completed = 50
    assert trainer.global_step == 50
    found = forecasts_of(trainer, ends())["energy_kwh"]
    six, seven = (forecast(ENERGY, epochs, period=1) for epochs in (6, 7))
    assert six is not None
    assert seven is not None
    assert found.expected == pytest.approx((six.expected + seven.expected) / 2)
    assert found.low == pytest.approx((six.low + seven.low) / 2)


@pytest.mark.parametrize(("max_epochs", "epochs"), [(-1, 15), (12, 12)])
def test_a_limit_of_time_lets_so_many_epochs_in(max_epochs: int, epochs: int) -> None:
    """Five epochs of a minute are over, and ten minutes are left: the timer has not begun."""
    trainer = plan(max_epochs=max_epochs, max_time=timedelta(minutes=10))
    assert forecasts_of(trainer, ends())["energy_kwh"] == close(forecast(ENERGY, epochs, period=1))


def test_what_another_callback_calls_by_the_name_of_the_timers_is_left_alone() -> None:
    class Clock(Callback):
        time_remaining = 60.0

    assert forecasts_of(plan(callbacks=[Clock()]), ends()) == forecasts_of(plan(), ends())


def test_what_was_spent_before_a_gap_is_not_known() -> None:
    rows = ends()
    del rows[1]
    after = {epoch - 2: end for epoch, end in rows.items() if epoch > 1}
    found, expected = (forecast_run(plan(), rows, 4), forecast_run(plan(max_epochs=48), after, 2))
    assert found == expected


def test_of_a_long_run_the_last_ends_are_enough() -> None:
    spent = np.cumsum(1.0 + 0.1 * np.random.default_rng(1).standard_normal(1000)).tolist()
    rows = ends(spent)
    kept: dict[int, End] = {}
    for epoch, end in rows.items():
        note_end(kept, epoch, end)
    assert list(kept) == list(range(1000 - KEPT, 1000))
    found = forecasts_of(plan(max_epochs=2000), kept)
    assert found == forecasts_of(plan(max_epochs=2000), rows)
    assert found["energy_kwh"] == close(forecast(spent, 2000, period=1))


def test_an_end_that_is_noted_again_is_the_latest() -> None:
    kept = ends()
    note_end(kept, 3, {STEPS: 1.0})
    assert list(kept) == [0, 1, 2, 4, 3]
    assert kept[3] == {STEPS: 1.0}


def test_over_by_epochs() -> None:
    assert is_over(plan(max_epochs=3), 3)
    assert not is_over(plan(max_epochs=3), 2)
    assert not is_over(plan(max_epochs=-1), 10**6)
