"""Ends a training at a cost, or when its whole cost is foreseen to be too high."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from lightning.fabric.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch import LightningModule, Trainer

from lightning_pepr.callbacks import _checks, _schedule
from lightning_pepr.callbacks._base import Callback
from lightning_pepr.callbacks.pepr import PePRCallback, publish
from lightning_pepr.cost import CARBON, ENERGY, TIME

_SPENT = {
    ENERGY.field: "{:.4g} kWh of energy are spent, of a budget of {:g} kWh",
    CARBON.field: "{:.4g} g CO2e are emitted, of a budget of {:g} g",
    TIME.field: "{:.4g} s have gone by, of a budget of {:g} s",
}
_FORESEEN = {
    ENERGY.field: "it is foreseen to take at least {:.4g} kWh of energy ({:.3g} % sure), of a budget of {:g} kWh",
    CARBON.field: "it is foreseen to emit at least {:.4g} g CO2e ({:.3g} % sure), of a budget of {:g} g",
    TIME.field: "it is foreseen to take at least {:.4g} s ({:.3g} % sure), of a budget of {:g} s",
}


class CostBudget(Callback):
    """Ends a training when a cost is met, at the end of an epoch or within it.

    It reads the trainer's `PePRCallback`, which meters the run, and ends it as `EarlyStopping` does: validated, with
    the checkpoints of the epoch, on all ranks together. What a run had spent before it was resumed counts, and one that
    has nothing left is not trained. Why it ended is told in one line, and is in the record (`stopped`). At the end of
    every epoch the share of the budget that is used is logged as `budget_used`. It may be above 1: what an epoch costs
    is known when it is over.

    Args:
        energy_kwh: Limit of the energy in kWh; None: no limit.
        carbon_g: Limit of the carbon in g CO2e; the PePRCallback needs its `carbon_intensity` for that.
        time_s: Limit of the time in seconds, of the slowest rank, which is the time of all fits of the run.
        on: "spent" ends the run when a limit is met; "predicted" also at the end of an epoch after which the whole
            run's cost is foreseen to exceed a limit: when the lower end of the forecast's interval does.
        min_epochs: How many epochs are trained in any case; 0 lets the first one be cut short. What the Trainer's own
            `min_epochs` and `min_steps` ask for is trained, too.
        every_n_steps: Look within epochs, too, whenever the optimiser has taken so many steps. A look reads the
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
            raise ValueError("CostBudget got no limit; give it one, such as CostBudget(energy_kwh=0.5).")
        if on not in ("spent", "predicted"):
            raise ValueError(f"on is {on!r}; expected 'spent' or 'predicted'.")
        self.on = on
        self.min_epochs = _whole("min_epochs", min_epochs, 0)
        self.every_n_steps = None if every_n_steps is None else _whole("every_n_steps", every_n_steps, 1)
        self.prog_bar = prog_bar
        self._looked_at = 0  # the step
        self._warned: set[str] = set()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """See to it that there is something to read. Whether it can be had, `PePRCallback` checks for all."""
        if stage == "fit":
            self._looked_at, self._warned = 0, set()
            _meter_of(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Train nothing, if a run that goes on has nothing left."""
        self._looked_at = trainer.global_step
        if trainer.global_step > 0:
            self._look(trainer, trainer.current_epoch, when="before")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look, if it is time to."""
        if self.every_n_steps is not None and trainer.global_step - self._looked_at >= self.every_n_steps:
            self._look(trainer, trainer.current_epoch, when="in")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look, and log how much of the budget is used."""
        self._look(trainer, trainer.current_epoch + 1, when="after")

    def _look(self, trainer: Trainer, epochs: int, when: Literal["before", "in", "after"]) -> None:
        """End the training, if it is time to. A collective: rank 0 decides for all.

        Args:
            trainer: Whose training it is.
            epochs: How many are done.
            when: At which point of the current epoch.
        """
        self._looked_at = trainer.global_step
        meter = _meter_of(trainer)
        cost = meter.cost if when == "after" else meter.measure(trainer)
        spent = {field: amount for field in self.cost_limits if (amount := cost.amount(field)) is not None}
        for field in self.cost_limits.keys() - spent.keys():
            self._warn_once(field, f"CostBudget does not limit {field} at present: it could not be measured.")
        if spent:
            self._tell(trainer, max(spent[field] / self.cost_limits[field] for field in spent), when)
        reason = self._of_what_is_spent(spent)
        if not reason and self.on == "predicted" and when == "after":
            reason = self._of_what_is_foreseen(meter)
        reason = trainer.strategy.broadcast(reason)
        if not reason or trainer.should_stop or _schedule.is_over(trainer, epochs):
            return
        if epochs < self.min_epochs:
            self._warn_once("min_epochs", f"CostBudget trains on for min_epochs={self.min_epochs}, although {reason}.")
            return
        if epochs < (trainer.min_epochs or 0) or trainer.global_step < (trainer.min_steps or 0):
            return
        assert meter.run is not None
        meter.run.stopped = f"CostBudget ends the training {when} epoch {trainer.current_epoch}: {reason}."
        rank_zero_info(meter.run.stopped)
        trainer.should_stop = True

    def _of_what_is_spent(self, spent: dict[str, float]) -> str:
        """Why the training is to end; empty if it is to go on."""
        field = self._most(spent)
        if not field or spent[field] < self.cost_limits[field]:
            return ""
        return _SPENT[field].format(spent[field], self.cost_limits[field])

    def _of_what_is_foreseen(self, meter: PePRCallback) -> str:
        """The same, by the forecast of the epoch that has ended."""
        told = meter.run.epochs[-1].forecasts if meter.run and meter.run.epochs else {}
        low = {field: each["low"] for field, each in told.items() if field in self.cost_limits}
        field = self._most(low)
        if not field or low[field] <= self.cost_limits[field]:
            return ""
        sure = 100 * (1 + told[field]["level"]) / 2  # half of what is outside of the interval is above it
        return _FORESEEN[field].format(low[field], sure, self.cost_limits[field])

    def _most(self, amounts: dict[str, float]) -> str:
        """The field that exceeds its limit most; empty if there is none."""
        return max(amounts, key=lambda field: amounts[field] / self.cost_limits[field], default="")

    def _warn_once(self, topic: str, message: str) -> None:
        if topic not in self._warned:
            self._warned.add(topic)
            rank_zero_warn(message)

    def _tell(self, trainer: Trainer, used: float, when: str) -> None:
        """Put the share of the budget where callbacks, the progress bar and the loggers find it."""
        key = _checks.BUDGET_USED
        if self.prog_bar:
            trainer.progress_bar_metrics[key] = used
        if when == "after":
            publish(trainer, {key: used}, trainer.fit_loop.epoch_loop._batches_that_stepped - 1)
        else:
            trainer.callback_metrics[key] = torch.tensor(used, dtype=torch.float64)


def _meter_of(trainer: Trainer) -> PePRCallback:
    for callback in _checks.callbacks_of(trainer):
        if isinstance(callback, PePRCallback):
            return callback
    raise ValueError(
        "CostBudget reads the trainer's PePRCallback, and there is none. Add one, such as "
        'Trainer(callbacks=[PePRCallback("val_acc"), CostBudget(…)]).'
    )


def _limit(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value!r}; expected a finite amount larger than 0.")
    return float(value)


def _whole(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}; expected a whole number, at least {least}.")
    return value
