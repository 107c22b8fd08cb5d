"""One fit of a run: when it is evaluated, with what performance, and what is logged then."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lightning.pytorch import LightningModule, Trainer

from lightning_pepr.accounting.ranks import Performance
from lightning_pepr.callbacks import _checks, _lightning, _loggers
from lightning_pepr.callbacks._monitored import Monitored
from lightning_pepr.callbacks._publish import publish
from lightning_pepr.callbacks._run import Run
from lightning_pepr.callbacks._schedule import STEPS, costs_of, forecast_run, is_over, note_end
from lightning_pepr.forecast import Forecast
from lightning_pepr.record import Epoch
from lightning_pepr.utilities.environment import describe_hardware, describe_software

SAVE_EVERY_S = 60.0
"""How often at least what is known is saved within an epoch."""

RENEWAL = 16
"""A forecast is renewed when a run has grown by this part of it: in each epoch up to the 31st."""

NO_STATE = "the run began before, and its checkpoint has no state of PePRCallback: what had been spent is missing"


@dataclass
class Fit:
    """A fit of a run, from its setup on. Of what is monitored, the first is the run's own performance."""

    run: Run
    monitored: Sequence[Monitored]
    rank: int
    ranks: int
    validated: bool = False  # whether a validation has run
    started: bool = False
    ended: bool = False
    _entry: Epoch | None = None  # the evaluation of the running epoch
    _saved_at: float = field(default_factory=time.monotonic)
    _forecasts: dict[str, Forecast] = field(default_factory=dict)  # the latest,
    _forecast_at: int = 0  # after so many epochs
    _gathered_at: int = 0  # the step at which all ranks were asked for a checkpoint

    def __post_init__(self) -> None:
        self._resumes = self.run.begun
        record = self.run.record
        self._before = record.status, record.error, record.stopped
        self.run.tracker.reset_fit()

    @property
    def own(self) -> Monitored:
        """The run's own performance."""
        return self.monitored[0]

    def open(self, trainer: Trainer) -> None:
        """Open the meters, and check whether others monitor what will not be there."""
        self.run.tracker.open(trainer.strategy.root_device)
        _checks.check_keys(trainer, self.own.prefix, [each.prefix for each in self.monitored])
        for monitored in self.monitored:
            monitored.check_watchers(trainer, self.run.missing())

    def undo(self) -> bool:
        """Leave the run as it was before this fit, in which nothing was trained; whether it had never begun."""
        record = self.run.record
        if self.started:
            record.status, record.error, record.stopped = self._before
            self.run.begun = self._resumes or bool(record.costs or record.epochs)
        return not self.run.begun

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Describe the run, announce what will be logged, and begin to count."""
        run, record, own = self.run, self.run.record, self.own
        self.started = run.begun = True
        record.status, record.error, record.stopped = "running", "", ""
        run.describe(trainer, pl_module)
        record.hardware = {
            **describe_hardware(),
            "ranks": trainer.world_size,
            "device": str(trainer.strategy.root_device),
        }
        record.software = describe_software()
        missing = run.missing()
        costs = [own.prefix + each.field for each in own.scorer.resources if each.field not in missing]
        scores = [
            each.prefix + resource.score_key
            for each in self.monitored
            for resource in each.scorer.scored
            if resource.field not in missing
        ]
        _loggers.begin(trainer, record, costs, scores, own.prefix)
        run.tracker.start()
        run.tracker.switch_stage("other")

    def resume(self, state: object) -> None:
        """Go on with the run of a checkpoint."""
        self._resumes = self.run.resume(state, self.own.key) or self._resumes

    def check_past(self, trainer: Trainer) -> None:
        """Note what was logged before, and say so if the run has a past that is not known."""
        for each in self.monitored:
            own = [e.performance if each is self.own else e.others.get(each.key) for e in self.run.record.epochs]
            each.seen = each.known = any(value is not None for value in own)
        if not self._resumes and (trainer.current_epoch > 0 or trainer.global_step > 0):
            self.run.tracker.miss_all(NO_STATE)
            self.own.warn_once("no state", f"{NO_STATE}. Its costs are lower bounds, and its scores upper bounds.")
        self._resumes = True

    def begin_epoch(self, trainer: Trainer) -> None:
        """Count for training."""
        if self.run.tracker.stage != "train":
            self.run.tracker.switch_stage("train")
        self._entry = None
        for monitored in self.monitored:
            monitored.begin_epoch(trainer)

    def after_batch(self, trainer: Trainer) -> bool:
        """Keep what a checkpoint is about to hold; whether it is time to save what is known.

        All ranks are asked before a checkpoint of this step: when it is written, they may not be there.
        """
        step = trainer.global_step
        if self.ranks > 1 and step != self._gathered_at and _lightning.saves_at_step(trainer, step):
            self._gathered_at = step
            self.run.gather()
        if time.monotonic() - self._saved_at < SAVE_EVERY_S:
            return False
        self._saved_at = time.monotonic()
        self.run.tracker.report_alone(self.rank, self.ranks)
        self.run.update_costs()
        return True

    def end_validation(self, trainer: Trainer) -> None:
        """Log the cost and the scores of what the validation has logged. A collective."""
        self.validated = True
        fresh = {each.key: value for each in self.monitored if (value := each.validated(trainer)) is not None}
        values = self.run.tracker.gather(fresh).performances
        for each in self.monitored:
            if each.key not in values and not each.seen:  # it comes with the end of the training epoch, if at all
                each.check_in_time(trainer)
        if values:
            self._entry = None
            self._evaluate(trainer, values, _lightning.logged_step(trainer, epoch_ended=False))

    def end_epoch(self, trainer: Trainer) -> None:
        """Evaluate what validation has not, and forecast what the whole run will cost. A collective."""
        self.run.tracker.switch_stage("other")
        fresh = {
            each.key: value
            for each in self.monitored
            if not each.served and (value := each.trained(trainer)) is not None
        }
        values = self.run.tracker.gather(fresh).performances
        for each in self.monitored:
            if each.key in values:
                each.check_in_time(trainer)
            elif not each.served:
                each.check_logged(trainer, due=self.validated or not trainer.enable_validation)
        if values or self._entry is None:
            self._evaluate(trainer, values, _lightning.logged_step(trainer, epoch_ended=True))
        else:
            self.run.update_costs()
        self._forecast(trainer)

    def _evaluate(self, trainer: Trainer, values: Mapping[str, Performance], step: int) -> None:
        """Log and record the cost, and the performances with their scores."""
        record = self.run.record
        self.run.count_parameters(trainer.lightning_module)  # some may have been thawed when the epoch began
        self.run.update_costs()
        self._warn_of_missing()
        cost, logged, shown = record.cost, dict[str, float](), dict[str, float]()
        entry = self._entry
        if entry is None:
            entry = self._entry = Epoch(trainer.current_epoch, step, cost=cost)
            costs = {each.field: amount for each, amount in cost.items() if each in self.own.scorer.resources}
            logged |= self.own.named(costs)
        for each in self.monitored:
            if each.key not in values:
                continue
            value, samples = values[each.key]
            each.served = True
            scores = each.scores(each.check(value), cost)
            logged |= each.named(scores)
            shown |= each.named(scores) if each.prog_bar else {}
            if each is self.own:
                entry.performance, record.val_samples = value, samples
                entry.scores |= scores
            else:
                entry.scores |= each.named(scores)
                if each.key != self.own.key:
                    entry.others[each.key] = value
        if not record.epochs or record.epochs[-1] is not entry:
            record.epochs.append(entry)
        publish(trainer, logged, step, shown)

    def _warn_of_missing(self) -> None:
        for resource in dict.fromkeys(resource for each in self.monitored for resource in each.requested):
            entry = self.run.record.costs[resource.field]
            if entry.value is None:
                reason = _checks.not_measured(resource.field, entry.reason)
                self.own.warn_once(resource.field, f"{resource.name} was requested, but {reason}")

    def _forecast(self, trainer: Trainer) -> None:
        """Log and record what the whole run will cost, now that an epoch is over."""
        run, epoch = self.run, trainer.current_epoch
        note_end(run.ends, epoch, {STEPS: float(trainer.global_step), **costs_of(run.record.cost)})
        if trainer.should_stop:
            return  # the epoch may be cut short, and there are no more
        # A forecast from all that was spent changes little by a little more of it, and takes a millisecond.
        if epoch + 1 - self._forecast_at >= (epoch + 1) // RENEWAL or is_over(trainer, epoch + 1):
            self._forecasts, self._forecast_at = forecast_run(trainer, run.ends, epoch), epoch + 1
        spent = costs_of(run.record.cost)
        forecasts = {field: each.at_least(spent[field] or 0.0) for field, each in self._forecasts.items()}
        if forecasts:
            run.record.epochs[-1].forecasts = {field: each._asdict() for field, each in forecasts.items()}
            fields = {resource.field for resource in self.own.scorer.resources}
            values = {_checks.FORECAST + field: each.expected for field, each in forecasts.items() if field in fields}
            publish(trainer, self.own.named(values), _lightning.logged_step(trainer, epoch_ended=True))

    def end(self, trainer: Trainer) -> None:
        """End the fit as planned, with every reading settled. A collective."""
        self.ended = True
        self.run.finish()
        for each in self.monitored:
            if each.key and not each.seen and self.validated and not trainer.barebones:
                each.warn_once("never", f"{each.key!r} was never logged, so the run has no performance of that name.")

    def cut_off(self, exception: BaseException) -> None:
        """End the fit by an exception. No collectives: the other ranks may be gone."""
        self.ended = True
        self.run.cut_off(exception, self.rank, self.ranks)
