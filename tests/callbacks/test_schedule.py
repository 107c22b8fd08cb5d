"""How long a run is going to be, and what it will have cost by then, by what its Trainer was told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from lightning.pytorch import Callback, Trainer

from lightning_pepr import Cost
from lightning_pepr.callbacks._schedule import STEPS, costs_of, foresee, is_over
from lightning_pepr.forecast import Forecast, forecast

ENERGY = [1.0, 2.02, 3.01, 4.03, 5.04]


def plan(**options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, **{"max_epochs": 50, "barebones": False, **options}
    )


def ends(energy: list[float] = ENERGY, grams: float | None = 151.0, steps: int = 10) -> list[dict[str, float | None]]:
    return [
        {STEPS: float(steps * (i + 1)), **costs_of(Cost(e, None if grams is None else grams * e, 60.0 * (i + 1)))}
        for i, e in enumerate(energy)
    ]


def close(told: Forecast | None) -> Any:
    """As near as a forecast comes that is told beside others."""
    assert told is not None
    return pytest.approx(tuple(told), rel=1e-6)


def test_each_cost_is_foreseen_by_its_own_epochs() -> None:
    told = foresee(plan(), ends())
    assert list(told) == ["energy_kwh", "carbon_g", "time_s"]
    assert told["energy_kwh"] == close(forecast(ENERGY, 50, period=1))
    assert told["time_s"] == close(forecast([60.0 * (i + 1) for i in range(5)], 50, period=1))


@pytest.mark.parametrize("factors", [[151.0] * 5, [151.0, 151.0, 151.0, 140.0, 140.0]])
def test_carbon_is_what_its_own_forecast_would_be(factors: list[float]) -> None:
    """With one intensity it follows energy; with several, as two fits of a run may have had, it does not."""
    rows = ends(grams=None)
    grams = 0.0
    for row, before, now, factor in zip(rows, [0.0, *ENERGY], ENERGY, factors, strict=False):
        grams += factor * (now - before)
        row["carbon_g"] = grams
    told = foresee(plan(), rows)["carbon_g"]
    assert told == close(forecast([row["carbon_g"] or 0.0 for row in rows], 50, period=1))


def test_what_was_not_measured_is_not_foreseen() -> None:
    assert list(foresee(plan(), ends(grams=None))) == ["energy_kwh", "time_s"]
    rows = ends()
    rows[2]["energy_kwh"] = None
    assert list(foresee(plan(), rows)) == ["carbon_g", "time_s"]


def test_nothing_is_foreseen_after_one_epoch_or_without_an_end() -> None:
    assert foresee(plan(), ends(ENERGY[:1])) == {}
    assert foresee(plan(max_epochs=-1), ends()) == {}


def test_the_plan_may_be_in_steps_and_end_within_an_epoch() -> None:
    trainer = plan(max_epochs=-1, max_steps=65)
    trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total.completed = 50
    assert trainer.global_step == 50
    told = foresee(trainer, ends())["energy_kwh"]
    six, seven = (forecast(ENERGY, epochs, period=1) for epochs in (6, 7))
    assert six is not None
    assert seven is not None
    assert told.expected == pytest.approx((six.expected + seven.expected) / 2)
    assert told.low == pytest.approx((six.low + seven.low) / 2)


@pytest.mark.parametrize(("max_epochs", "epochs"), [(-1, 15), (12, 12)])
def test_a_limit_of_time_lets_so_many_epochs_in_as_it_has_room_for(max_epochs: int, epochs: int) -> None:
    """Five epochs of a minute are over, and ten minutes are left: the timer has not begun."""
    trainer = plan(max_epochs=max_epochs, max_time=timedelta(minutes=10))
    assert foresee(trainer, ends())["energy_kwh"] == close(forecast(ENERGY, epochs, period=1))


def test_what_another_callback_calls_by_the_name_of_the_timers_is_left_alone() -> None:
    class Clock(Callback):
        time_remaining = 60.0

    assert foresee(plan(callbacks=[Clock()]), ends()) == foresee(plan(), ends())


def test_over_by_epochs() -> None:
    assert is_over(plan(max_epochs=3), 3)
    assert not is_over(plan(max_epochs=3), 2)
    assert not is_over(plan(max_epochs=-1), 10**6)
