"""One fit of a run: when it is evaluated, with what performance, and what is logged then."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from lightning_pepr.accounting.ranks import RankReport
from lightning_pepr.callbacks import _checks, _loggers
from lightning_pepr.callbacks._base import WarnOnce
from lightning_pepr.callbacks._lightning import logged_keys, logged_step, pending, published
from lightning_pepr.callbacks._publish import publish
from lightning_pepr.callbacks._run import Run
from lightning_pepr.callbacks._schedule import STEPS, costs_of, forecast_run
from lightning_pepr.callbacks._scorer import Scorer
from lightning_pepr.cost import Resource
from lightning_pepr.errors import PePRError
from lightning_pepr.functional import is_performance
from lightning_pepr.record import Epoch
from lightning_pepr.utilities.environment import describe_hardware, describe_software


@dataclass
class Fit:
    """A fit of a run, from its setup on."""

    run: Run
    scorer: Scorer
    requested: Sequence[Resource]  # by the user
    prog_bar: bool
    warn_once: WarnOnce
    validated: bool = False  # whether a validation has run
    served: bool = False  # whether the running epoch has been evaluated
    at_epoch_start: Any = None  # the monitored value then,
    at_validation_start: Any = None  # and then

    def __post_init__(self) -> None:
        record = self.run.record
        self._before = record.status, record.error, record.stopped
        record.status, record.error, record.stopped = "running", "", ""
        self.run.tracker.reset_fit()

    def undo(self) -> None:
        """Leave the record as it was before this fit."""
        self.run.record.status, self.run.record.error, self.run.record.stopped = self._before

    def open(self, trainer: Trainer) -> None:
        """Open the meters, and check whether others monitor what will not be there."""
        self.run.tracker.open(trainer.strategy.root_device)
        _checks.check_watchers(trainer, self.run.record.monitor, self.scorer, self.run.missing())
        for name, (low, high) in (self.scorer.space.ranges if self.scorer.space else {}).items():
            if low == high:
                self.warn_once(f"range {name}", f"low and high of {name} are equal ({low}): R is 0 for every cost.")

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Describe the run, announce what will be logged, and begin to count."""
        record = self.run.record
        self.run.describe(trainer, pl_module)
        record.hardware = {
            **describe_hardware(),
            "ranks": trainer.world_size,
            "device": str(trainer.strategy.root_device),
        }
        record.software = describe_software()
        missing = self.run.missing()
        costs = [resource.field for resource in self.scorer.resources if resource.field not in missing]
        scores = [resource.score_key for resource in self.scorer.scored if resource.field not in missing]
        _loggers.begin(trainer, record, costs, scores)
        self.run.tracker.start()
        self.run.tracker.switch_stage("other")

    def evaluate(self, trainer: Trainer, after_validation: bool, samples: int | None = None) -> None:
        """Log the cost and, where the monitored value, of so many samples, is fresh, the score. A collective."""
        merged = self._gather(trainer, after_validation, samples)
        if (merged.performance is None) == after_validation:  # it comes with the end of the training epoch, if at all
            _checks.check_in_time(trainer, self.run.record.monitor, merged.keys)
        if merged.performance is None and after_validation:
            return
        scored = self._check_performance(trainer, merged)
        self.run.update_costs()
        self._warn_of_missing()
        self._log(trainer, merged.performance, scored, logged_step(trainer, epoch_ended=not after_validation))
        self.served = True

    def end_epoch(self, trainer: Trainer) -> None:
        """Evaluate, if validation has not, and forecast what the whole run will cost. A collective."""
        self.run.tracker.switch_stage("other")
        if self.served:
            self.run.tracker.gather()
            self.run.update_costs()
        else:
            self.evaluate(trainer, after_validation=False)
        self._forecast(trainer)

    def _gather(self, trainer: Trainer, after_validation: bool, samples: int | None) -> RankReport:
        monitor = self.run.record.monitor
        value = published(trainer).get(monitor)
        # Lightning never clears a value, so one that is the very object of before is an epoch old.
        if value is (self.at_validation_start if after_validation else self.at_epoch_start):
            value = None
        if not after_validation:
            value = pending(trainer, monitor, otherwise=value)
        return self.run.tracker.gather(value, logged_keys(trainer), samples)

    def _check_performance(self, trainer: Trainer, merged: RankReport) -> float | None:
        """The performance to score: 0 for less, and NaN for none, which at the first evaluation is an error.

        So is a missing one.
        """
        record, performance = self.run.record, merged.performance
        first = all(epoch.performance is None for epoch in record.epochs)
        if performance is None:
            due = self.validated or not trainer.enable_validation
            if first and due and not trainer.barebones:  # in which self.log does nothing
                raise PePRError(_checks.not_logged(record.monitor, merged.keys))
            return None
        if not is_performance(performance):
            message = _checks.not_a_performance(record.monitor, performance)
            if performance < 0:  # where correlations begin
                self.warn_once("below 0", f"{message} It counts as 0 in the score.")
                performance = 0.0
            elif first:
                raise PePRError(message)
            else:
                self.warn_once("outside", f"{message} The score is NaN in such epochs.")
                performance = math.nan
        record.val_samples = merged.evaluated
        return performance

    def _warn_of_missing(self) -> None:
        for resource in self.requested:
            entry = self.run.record.costs[resource.field]
            if entry.value is None:
                reason = _checks.not_measured(resource.field, entry.reason)
                self.warn_once(resource.field, f"{resource.name} was requested, but {reason}")

    def _log(self, trainer: Trainer, performance: float | None, scored: float | None, step: int) -> None:
        """Record the performance as it is, and the scores of what is scored of it; log these and the cost."""
        cost = self.run.record.cost
        scores = {} if scored is None else self.scorer.scores(scored, cost)
        self.run.record.epochs.append(Epoch(trainer.current_epoch, step, performance, cost, scores))
        costs = {resource.field: amount for resource, amount in cost.items() if resource in self.scorer.resources}
        publish(trainer, costs | scores, step, scores if self.prog_bar else None)

    def _forecast(self, trainer: Trainer) -> None:
        """Log and record what the whole run will cost, now that an epoch is over."""
        run, epoch = self.run, trainer.current_epoch
        run.ends[epoch] = {STEPS: float(trainer.global_step), **costs_of(run.record.cost)}
        if trainer.should_stop:
            return  # the epoch may be cut short, and there are no more
        if forecasts := forecast_run(trainer, run.ends, epoch):
            run.record.epochs[-1].forecasts = {field: each._asdict() for field, each in forecasts.items()}
            logged = {resource.field for resource in self.scorer.resources}
            values = {_checks.FORECAST + field: each.expected for field, each in forecasts.items() if field in logged}
            publish(trainer, values, logged_step(trainer, epoch_ended=True))
