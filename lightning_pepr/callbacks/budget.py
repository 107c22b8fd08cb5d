"""Ends a training at a cost, or when its whole cost is forecast to be too high."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from lightning.fabric.utilities import rank_zero_info
from lightning.pytorch import LightningModule, Trainer

from lightning_pepr.callbacks import _checks, _schedule
from lightning_pepr.callbacks._base import Callback, WarnOnce
from lightning_pepr.callbacks._lightning import callbacks_of, logged_step
from lightning_pepr.callbacks._publish import publish
from lightning_pepr.callbacks.pepr import PePRCallback
from lightning_pepr.cost import CARBON, ENERGY, TIME
from lightning_pepr.errors import PePRError

_AMOUNT = {ENERGY.field: "{:.4g} kWh of energy", CARBON.field: "{:.4g} g CO2e", TIME.field: "{:.4g} s"}
_LIMIT = {ENERGY.field: "{:g} kWh", CARBON.field: "{:g} g", TIME.field: "{:g} s"}
_SPENT = {ENERGY.field: "{} are spent", CARBON.field: "{} are emitted", TIME.field: "{} have gone by"}
_FORECAST = {ENERGY.field: "take", CARBON.field: "emit", TIME.field: "take"}


class CostBudget(Callback):
    """Ends a training when a cost is met, at the end of an epoch or within it.

    It reads the trainer's `PePRCallback`, which meters the run, and ends it as `EarlyStopping` does: validated, with
    the checkpoints of the epoch, on all ranks together. What a run had spent before it was resumed counts, and one that
    has nothing left is not trained. Why it ended is logged in one line, and is in the record (`stopped`). At the end of
    every epoch the share of the budget that is used is logged as `budget_used`. It may be above 1: what an epoch costs
    is known when it is over.

    Args:
        energy_kwh: Limit of the energy in kWh; None: no limit.
        carbon_g: Limit of the carbon in g CO2e; the PePRCallback needs its `carbon_intensity` for that.
        time_s: Limit of the time in seconds, of the slowest rank, which is the time of all fits of the run.
        on: "spent" ends the run when a limit is met; "predicted" also at the end of an epoch after which the whole
            run's cost is forecast to exceed a limit: when the lower end of the forecast's interval does.
        min_epochs: How many epochs are trained in any case; 0 lets the first one be cut short. What the Trainer's own
            `min_epochs` and `min_steps` ask for is trained, too.
        every_n_steps: Check within epochs, too, whenever the optimiser has taken so many steps. A check reads the
            meters, waits for the GPU, and asks the other ranks. None: only at the end of each epoch.
        prog_bar: Whether to show `budget_used` in the progress bar.

    Raises:
        ValueError: If there is no limit, or an argument is out of its range.

    >>> from lightning.pytorch import Trainer
    >>> from lightning_pepr import CostBudget, PePRCallback
    >>> trainer = Trainer(callbacks=[PePRCallback("val_acc"), CostBudget(energy_kwh=0.5, time_s=3600)],
    ...                   logger=False, enable_checkpointing=False, accelerator="cpu")
    """

    def __init__(
        self,
        energy_kwh: float | None = None,
        carbon_g: float | None = None,
        time_s: float | None = None,
        *,
        on: Literal["spent", "predicted"] = "spent",
        min_epochs: int = 1,
        every_n_steps: int | None = None,
        prog_bar: bool = True,
    ) -> None:
        given = {ENERGY.field: energy_kwh, CARBON.field: carbon_g, TIME.field: time_s}
        self.cost_limits = {field: _limit(field, value) for field, value in given.items() if value is not None}
        if not self.cost_limits:
            raise PePRError("CostBudget got no limit; give it one, such as CostBudget(energy_kwh=0.5).")
        if on not in ("spent", "predicted"):
            raise PePRError(f"on is {on!r}; expected 'spent' or 'predicted'.")
        self.on = on
        self.min_epochs = _whole("min_epochs", min_epochs, 0)
        self.every_n_steps = None if every_n_steps is None else _whole("every_n_steps", every_n_steps, 1)
        self.prog_bar = prog_bar

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Require a `PePRCallback`, which checks for all whether the costs can be measured."""
        if stage == "fit":
            self._checked_at = 0  # the step
            self._warn_once = WarnOnce()
            _meter_of(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Train nothing, if a run that goes on has nothing left."""
        self._checked_at = trainer.global_step
        if trainer.global_step > 0:
            self._check(trainer, trainer.current_epoch, when="before")

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Check the budget every few steps, if asked to."""
        if self.every_n_steps is not None and trainer.global_step - self._checked_at >= self.every_n_steps:
            self._check(trainer, trainer.current_epoch, when="in")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the budget, and log how much of it is used."""
        self._check(trainer, trainer.current_epoch + 1, when="after")

    def _check(self, trainer: Trainer, epochs: int, when: Literal["before", "in", "after"]) -> None:
        """End the training after so many epochs, if a limit is met. A collective: rank 0 decides for all."""
        self._checked_at = trainer.global_step
        meter = _meter_of(trainer)
        cost = meter.cost if when == "after" else meter.measure(trainer)
        spent = {field: amount for field in self.cost_limits if (amount := cost.amount(field)) is not None}
        for field in self.cost_limits.keys() - spent.keys():
            self._warn_once(field, f"CostBudget does not limit {field} at present: it could not be measured.")
        if spent:
            used = {_checks.BUDGET_USED: self._most_used(spent)[1]}
            step = logged_step(trainer, epoch_ended=True) if when == "after" else None
            publish(trainer, used, step, used if self.prog_bar else None)
        predicts = self.on == "predicted" and when == "after"
        reason = self._reason(spent, meter.run.epochs[-1].forecasts if meter.run and predicts else {})
        reason = trainer.strategy.broadcast(reason)
        if not reason or trainer.should_stop or _schedule.is_over(trainer, epochs):
            return
        if epochs < self.min_epochs:
            self._warn_once("min_epochs", f"CostBudget trains on for min_epochs={self.min_epochs}, although {reason}.")
            return
        if epochs < (trainer.min_epochs or 0) or trainer.global_step < (trainer.min_steps or 0):
            return
        why = f"CostBudget ends the training {when} epoch {trainer.current_epoch}: {reason}."
        if meter.run is not None:
            meter.run.stopped = why
        rank_zero_info(why)
        trainer.should_stop = True

    def _most_used(self, amounts: Mapping[str, float]) -> tuple[str, float]:
        """The field whose limit is used most, and the share of it; "" and 0 if no amount is limited."""
        shares = {field: amounts[field] / limit for field, limit in self.cost_limits.items() if field in amounts}
        return max(shares.items(), key=lambda item: item[1], default=("", 0.0))

    def _reason(self, spent: Mapping[str, float], forecasts: Mapping[str, Mapping[str, float]]) -> str:
        """Why the training is to end, by what is spent or the forecasts' lower ends; empty if it is to go on."""
        low = {field: forecast["low"] for field, forecast in forecasts.items()}
        field, likely = self._most_used(spent)[0], self._most_used(low)[0]
        if field and spent[field] >= self.cost_limits[field]:
            reason = _SPENT[field].format(_AMOUNT[field].format(spent[field]))
        elif likely and low[likely] > self.cost_limits[likely]:
            field = likely
            sure = 100 * (1 + forecasts[field]["level"]) / 2  # half of what is outside of the interval is above it
            amount = _AMOUNT[field].format(low[field])
            reason = f"it is forecast to {_FORECAST[field]} at least {amount} ({sure:.3g} % sure)"
        else:
            return ""
        return f"{reason}, of a budget of {_LIMIT[field].format(self.cost_limits[field])}"


def _meter_of(trainer: Trainer) -> PePRCallback:
    for callback in callbacks_of(trainer):
        if isinstance(callback, PePRCallback) and callback.meters:
            return callback
    example = 'Trainer(callbacks=[PePRCallback("val_acc"), CostBudget(…)])'
    raise PePRError(f"CostBudget reads the trainer's PePRCallback, and there is none. Add one, such as {example}.")


def _limit(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
        raise PePRError(f"{name} is {value!r}; expected a finite amount larger than 0.")
    return float(value)


def _whole(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise PePRError(f"{name} is {value!r}; expected a whole number, at least {least}.")
    return value
