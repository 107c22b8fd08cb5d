"""The callback that meters a run, scores it each epoch and leaves its record."""

from __future__ import annotations

import itertools
import os
import re
import warnings
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.fabric.utilities import rank_zero_warn
from lightning.pytorch import LightningModule, Trainer

from lightning_pepr import functional
from lightning_pepr.accounting.stages import Spent
from lightning_pepr.accounting.tracker import CUT_OFF, NO_INTENSITY, CostTracker, stage_of
from lightning_pepr.callbacks import _checks, _loggers, _schedule
from lightning_pepr.callbacks._base import Callback
from lightning_pepr.callbacks._summary import summarize, tell
from lightning_pepr.carbon import resolve_intensity
from lightning_pepr.cost import CARBON, ENERGY, RESOURCES, Cost, Resource
from lightning_pepr.meters import Meter
from lightning_pepr.record import Epoch, RunRecord, move_aside
from lightning_pepr.space import ModelSpace
from lightning_pepr.utilities.environment import describe_hardware, describe_software, now
from lightning_pepr.utilities.files import FILE_NAME, name_aside, signature


class PePRCallback(Callback):
    """Meters what a run costs, scores it each epoch, and leaves a record.

    It logs, in the epoch in which `monitor` is logged, the cost so far (`energy_kwh`, `carbon_g`, `time_s`,
    `memory_gb`, `data_samples`, `params`) and, for each resource of `space`, the score (`pepr_e`, `pepr_c`, `pepr_t`,
    `pepr_m`, `pepr_d`, `pepr_n`), so that `EarlyStopping` and `ModelCheckpoint` can act on them. The cost is everything
    since the fit began, validation included, the sanity check left out. From the end of the second epoch on it also
    tells what the whole run will cost (`forecast_energy_kwh`, `forecast_carbon_g`, `forecast_time_s`). Put it anywhere
    in the list of callbacks.

    Args:
        monitor: The key of the performance: in [0, 1], higher is better, logged with `self.log`.
        space: The space over which costs are normalised, or what it goes by: a file that `ModelSpace.save` wrote, or
            the name of a published one. Without one, costs are logged and recorded, and no score is.
        resources: What to log, by name, letter or field; None logs what can be had. One that is asked for by name and
            cannot be had is a warning; an error, if another callback monitors it.
        test_monitor: The key of the test performance that `trainer.test` logs; None replaces "val" by "test", and
            "valid", "validation" and "eval".
        meter: "auto" meters the device that this process trains on and the CPU; or a meter of your own.
        carbon_intensity: Of the electricity, in g CO2e per kWh, or a country's ISO code such as "DNK" (needs
            `[carbon]`). None: carbon is not measured.
        pue: Power usage effectiveness of the data centre, at least 1: carbon is multiplied by it.
        devices: NVML indices or UUIDs of the GPUs to meter; None: the one this process trains on.
        record: Whether to write `pepr.json` to `trainer.log_dir`. Of several such callbacks in one Trainer the
            first does, and the others write `pepr-<first 8 of its run_id>.json` there.
        prog_bar: Whether to show the scores in the progress bar.
        baseline: P0 in [0, 1), a performance that is to be had for nothing: scores (P - P0) / (1 - P0) instead of P.

    Raises:
        ValueError: If an argument is out of its range, or `monitor` is a loss.
        FileNotFoundError: If there is neither a file nor a published space of the name that `space` is.

    Source:
        PePR(R, P) = P / (1 + R), equation 1 of arXiv 2403.12562.

    >>> from lightning.pytorch import Trainer
    >>> from lightning.pytorch.callbacks import EarlyStopping
    >>> from lightning_pepr import ModelSpace, PePRCallback
    >>> space = ModelSpace.budget(energy_kwh=0.1)
    >>> trainer = Trainer(callbacks=[PePRCallback("val_acc", space=space), EarlyStopping("pepr_e", mode="max")],
    ...                   logger=False, enable_checkpointing=False, accelerator="cpu")
    """

    def __init__(
        self,
        monitor: str,
        space: ModelSpace | str | Path | None = None,
        *,
        resources: Sequence[str | Resource] | None = None,
        test_monitor: str | None = None,
        meter: Literal["auto"] | Meter = "auto",
        carbon_intensity: float | str | None = None,
        pue: float = 1.0,
        devices: Sequence[int | str] | None = None,
        record: bool = True,
        prog_bar: bool = True,
        baseline: float | None = None,
    ) -> None:
        # Not named `monitor`: others take a callback of that attribute for one that acts on the key.
        self.performance_key = _checks.check_key(monitor)
        if space is not None and not isinstance(space, (ModelSpace, str, Path)):
            raise ValueError(f"space is {space!r}; expected a ModelSpace, such as ModelSpace.budget(energy_kwh=0.5).")
        space = None if space is None else ModelSpace.of(space)
        if isinstance(meter, str) and meter != "auto":
            raise ValueError(f'meter is {meter!r}; expected "auto", or a meter such as open_meter() gives.')
        if baseline is not None:
            functional.above_baseline(0.0, baseline)  # raises if it is out of its range
        if isinstance(resources, (str, Resource)):
            resources = [resources]
        self.named = None if resources is None else tuple(Resource.of(name) for name in resources)
        if space is not None:
            for resource in self.named or ():
                space.range(resource)  # raises if the space does not have it
        self.space = space
        self.baseline = baseline
        self.intensity = resolve_intensity(carbon_intensity, pue=pue)
        self.test_key = _checks.key_in_testing(monitor) if test_monitor is None else test_monitor
        self.write_record = record
        self.prog_bar = prog_bar
        self._state_key = f"PePRCallback[{monitor}]"  # evaluated at every hook, so made once
        self._tracker = CostTracker(None if isinstance(meter, str) else meter, devices)
        self._run: RunRecord | None = None
        self._fit_of: tuple[weakref.ref[Trainer], weakref.ref[LightningModule]] | None = None
        self._target: Path | None = None
        self._written: tuple[str, tuple[int, int] | None] | None = None  # whose record it is, and how it looked
        self._warned: set[str] = set()
        self._ends: dict[int, dict[str, float | None]] = {}  # of epochs: what had been spent by then
        self._begin_fit()

    def _begin_fit(self, stage: str = "") -> None:
        self._fn = stage  # fit, validate, test or predict
        self._failed = False
        self._status_before: tuple[str, str, str] = "finished", "", ""  # that of the run's fits before
        self._at_epoch_start: Any = None  # the monitored value then,
        self._at_validation_start: Any = None  # and then
        self._served = False  # whether this epoch has been logged
        self._validated = False  # whether a validation has run
        self._evaluated: int | None = (
            0  # samples of the evaluation that runs or ran last; None if they cannot be counted
        )

    @property
    def state_key(self) -> str:
        """Tells two instances apart in a checkpoint."""
        return self._state_key

    @property
    def run(self) -> RunRecord | None:
        """The record of the run, as far as it is; None before the first fit."""
        return self._run

    @property
    def cost(self) -> Cost:
        """What the run had spent at the last evaluation, or at its end."""
        return self._run.cost if self._run else Cost()

    def __getstate__(self) -> dict[str, Any]:
        """Leave weak references behind: they mean nothing in another process."""
        return {**self.__dict__, "_fit_of": None}

    # A fit begins and ends ------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put the callback first in the list, open the meters, and check who monitors what."""
        self._begin_fit(stage)
        # In front, so that what it logs after validation is there when the others look. A new list: Lightning is
        # walking over the old one.
        others = [callback for callback in _checks.callbacks_of(trainer) if callback is not self]
        trainer.callbacks = [self, *others]  # type: ignore[attr-defined]
        if stage != "fit":
            return
        if self._run is None or self._fit_of is None or [ref() for ref in self._fit_of] != [trainer, pl_module]:
            self._tracker.reset_run()
            self._ends = {}
            self._target = self._written = None
            self._run = RunRecord(
                model=_model_name(pl_module),
                monitor=self.performance_key,
                test_monitor=self.test_key,
                baseline=self.baseline,
                space=self.space.to_dict() if self.space else None,
                carbon={} if self.intensity is None else asdict(self.intensity),
            )
        else:
            self._status_before = self._run.status, self._run.error, self._run.stopped
        self._fit_of = (weakref.ref(trainer), weakref.ref(pl_module))
        self._run.status, self._run.error, self._run.stopped = "running", "", ""
        self._tracker.reset_fit()
        self._tracker.open(trainer.strategy.root_device)
        _checks.check_watchers(trainer, self.performance_key, self.space, self._logged, self._missing())
        for field, (low, high) in (self.space.ranges if self.space else {}).items():
            if low == high:
                self._warn_once(f"range {field}", f"low and high of {field} are equal ({low}): R is 0 for every cost.")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        assert self._run is not None
        self._target = self._record_path(trainer)
        self._run.params = _trainable(pl_module)
        self._run.hardware = describe_hardware() | {
            "ranks": trainer.world_size,
            "device": str(trainer.strategy.root_device),
        }
        self._run.software = describe_software()
        missing = self._missing()
        costs = [resource for resource in self._logged if resource.field not in missing]
        scores = [resource.score_key for resource in costs if self.space is not None and resource in self.space]
        _loggers.begin(trainer, self._run, [resource.field for resource in costs], scores)
        self._tracker.start()
        self._tracker.switch_stage("other")

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the sanity check out."""
        self._tracker.switch_stage(None)

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on counting."""
        self._tracker.switch_stage("other")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the final record, with every reading settled."""
        if self._run is None or not self._tracker.is_open:
            return
        self._tracker.switch_stage(None, wait=True)
        self._tracker.gather()
        self._tracker.write_to(self._run, self.intensity)
        self._tracker.finish()
        self._tracker.close()
        self._run.status = "finished"
        self._save(trainer)
        _loggers.end(trainer, self._run, self.write_record)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say in one line what the run has reached and cost; where no progress bar is wanted, to the log alone."""
        if self._run is not None and self._run.status == "finished" and trainer.is_global_zero:
            written = self.write_record and self._target is not None and self._target.exists()
            line = summarize(self._run, self._target if written else None)
            tell(line, quiet=trainer.progress_bar_callback is None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Keep what was measured up to here. No collectives: the other ranks may be gone."""
        if self._fn == "fit" and self._run is not None and self._tracker.is_open:
            self._failed = True
            self._tracker.switch_stage(None)
            self._tracker.cut_off(trainer.global_rank, trainer.world_size)
            self._tracker.write_to(self._run, self.intensity)
            if trainer.world_size > 1:
                for resource in RESOURCES:
                    entry = self._run.costs[resource.field]
                    if resource.merge == "sum" and entry.value is not None:
                        entry.lower_bound, entry.reason = True, entry.reason or CUT_OFF
            self._tracker.finish()
            # SIGTERMException is a SystemExit; Optuna's TrialPruned ends a trial that falls behind.
            meant = isinstance(exception, (KeyboardInterrupt, SystemExit)) or type(exception).__name__ == "TrialPruned"
            self._run.status = "interrupted" if meant else "failed"
            self._run.error = f"{type(exception).__name__}: {exception}"
            self._save(trainer)
        self._tracker.close()
        if self._failed and self._run is not None:
            _loggers.end(trainer, self._run, self.write_record)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let go of the meters."""
        if stage == "fit" and self._run is not None and self._tracker.is_open:
            # Nothing was trained: Lightning's Tuner has searched, or no epoch was left. What that took is no cost.
            self._run.status, self._run.error, self._run.stopped = self._status_before
            if not self._run.costs and not self._run.epochs:
                self._run = None
        self._tracker.close()

    # Stages ---------------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count for training: a fit that resumes within an epoch has no other hook here."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count for training."""
        if self._tracker.stage != "train":
            self._tracker.switch_stage("train")
        self._at_epoch_start = trainer.callback_metrics.get(self.performance_key)
        self._served = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the samples."""
        self._tracker.count(_batch_size(batch))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count for validation."""
        if self._fn == "fit" and not trainer.sanity_checking:
            self._tracker.switch_stage("validate")
            self._evaluated = 0
            self._at_validation_start = trainer.callback_metrics.get(self.performance_key)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the samples that the monitored performance is of."""
        if self._fn == "fit" and not trainer.sanity_checking:
            self._count_evaluated(self.performance_key, len(trainer.num_val_batches), dataloader_idx, batch)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log cost and score, before any other callback looks."""
        if self._fn == "fit" and not trainer.sanity_checking:
            self._tracker.switch_stage("train")
            self._validated = True
            self._evaluate(trainer, after_validation=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log cost and score, if validation has not, and what the run will cost; write the record."""
        self._tracker.switch_stage("other")
        if self._served:
            self._tracker.gather()
            self._book()
        else:
            self._evaluate(trainer, after_validation=False)
        self._foresee(trainer)
        self._save(trainer)

    def measure(self, trainer: Trainer) -> Cost:
        """What the run has spent up to now, on all ranks. A collective: every rank must call it, within a fit."""
        assert self._run is not None
        self._tracker.switch_stage(self._tracker.stage)
        self._tracker.gather()
        self._book()
        return self._run.cost

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count for testing, beside the fit."""
        if self._run is not None:
            self._evaluated = 0
            self._tracker.reset_fit()
            self._tracker.open(trainer.strategy.root_device)
            self._tracker.switch_stage("test")

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the samples that the test performance is of."""
        self._count_evaluated(self.test_key, len(trainer.num_test_batches), dataloader_idx, batch)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take down the test performance and its cost; the last test wins."""
        if self._run is None or not self._tracker.is_open:
            return
        self._tracker.switch_stage(None, wait=True)
        metrics = trainer.callback_metrics
        tested = self._tracker.gather(metrics.get(self.test_key), metrics, self._evaluated)
        self._tracker.reset_fit()  # so that it is not added to the fit
        self._tracker.close()
        if tested.performance is None:
            rank_zero_warn(
                f"PePRCallback: {self.test_key!r} was not logged in testing, so the record has no test performance. "
                f"Logged are {_checks.listing(tested.keys)}. Name the right one: PePRCallback(…, test_monitor=…)."
            )
        elif not _checks.is_performance(tested.performance):
            message = _checks.not_a_performance(self.test_key, tested.performance)
            rank_zero_warn(f"PePRCallback: {message} The record is without it.")
        else:
            self._run.test_performance = tested.performance
            self._run.test_samples = tested.evaluated
            self._run.stages["test"] = stage_of(tested.stages.get("test", Spent()))
            self._save(trainer)
            _loggers.update(trainer, self._run, self.write_record)

    # Scoring --------------------------------------------------------------------------------------------------------

    @property
    def _logged(self) -> tuple[Resource, ...]:
        return RESOURCES if self.named is None else self.named

    def _evaluate(self, trainer: Trainer, after_validation: bool) -> None:
        """Log the cost and, where the monitored value is fresh, the score. A collective."""
        assert self._run is not None
        metrics = trainer.callback_metrics
        current = metrics.get(self.performance_key)
        # Lightning never clears a value, so one that is the very object of before is an epoch old.
        stale = self._at_validation_start if after_validation else self._at_epoch_start
        evaluated = self._evaluated if after_validation else None
        merged = self._tracker.gather(None if current is stale else current, metrics, evaluated)
        performance = merged.performance
        if performance is None and after_validation:
            _checks.check_in_time(trainer, self.performance_key, merged.keys)
            return  # it may come with the end of the training epoch
        if performance is not None and not after_validation:
            _checks.check_in_time(trainer, self.performance_key, merged.keys)
        first = not self._run.evaluations
        due = self._validated or not trainer.enable_validation
        if performance is None and first and due and not trainer.barebones:  # in which self.log does nothing
            raise ValueError(_checks.not_logged(self.performance_key, merged.keys))
        if performance is not None and not _checks.is_performance(performance):
            message = _checks.not_a_performance(self.performance_key, performance)
            if first:
                raise ValueError(message)
            self._warn_once("outside", f"{message} The score is NaN in such epochs.")
            performance = float("nan")
        if performance is not None:
            self._run.val_samples = merged.evaluated
        self._book()
        self._warn_of_missing()
        self._served = True
        cost = self._run.cost
        scores = {} if performance is None else self._score(performance, cost)
        # What self.log takes for a step: it counts one back when the epoch has ended.
        step = trainer.fit_loop.epoch_loop._batches_that_stepped - (0 if after_validation else 1)
        self._run.epochs.append(Epoch(trainer.current_epoch, step, performance, cost, scores))
        values = {resource.field: amount for resource, amount in cost.items() if resource in self._logged} | scores
        publish(trainer, values, step)
        if self.prog_bar:
            trainer.progress_bar_metrics.update(scores)

    def _count_evaluated(self, key: str, loaders: int, loader: int, batch: Any) -> None:
        """Count a batch, if the performance is of its loader: where there are several, the key's end says of which."""
        of = re.search(r"/dataloader_idx_(\d+)$", key)
        if of is not None and int(of[1]) != loader:
            return
        size = _batch_size(batch) if loaders == 1 or of is not None else None
        self._evaluated = None if size is None or self._evaluated is None else self._evaluated + size

    def _foresee(self, trainer: Trainer) -> None:
        """Tell what the whole run will cost, now that an epoch is over, and log it."""
        assert self._run is not None
        now = trainer.current_epoch
        self._ends[now] = {_schedule.STEPS: float(trainer.global_step), **_schedule.costs_of(self._run.cost)}
        if trainer.should_stop:
            return  # the epoch may be cut short, and there are no more
        first = next(epoch for epoch in range(now, -1, -1) if epoch - 1 not in self._ends)
        told = _schedule.foresee(trainer, [self._ends[epoch] for epoch in range(first, now + 1)], first)
        if not told:
            return
        self._run.epochs[-1].forecasts = {field: each._asdict() for field, each in told.items()}
        logged = {resource.field for resource in self._logged}
        values = {_checks.FORECAST + field: each.expected for field, each in told.items() if field in logged}
        publish(trainer, values, trainer.fit_loop.epoch_loop._batches_that_stepped - 1)

    def _book(self) -> None:
        assert self._run is not None
        self._tracker.write_to(self._run, self.intensity)

    def _score(self, performance: float, cost: Cost) -> dict[str, float]:
        scores: dict[str, float] = {}
        for resource, amount in cost.items():
            if self.space is None or resource not in self.space or resource not in self._logged:
                continue
            scores[resource.score_key] = float("nan")
            if performance == performance:
                p = performance if self.baseline is None else functional.above_baseline(performance, self.baseline)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of low == high: it was told in setup
                    scores[resource.score_key] = functional.pepr(p, self.space.normalize(amount, resource))
        return scores

    def _missing(self) -> dict[str, str]:
        """The fields that cannot be measured here, with the reason."""
        reason = self._tracker.why_no_energy()
        missing = {ENERGY.field: reason, CARBON.field: reason or (NO_INTENSITY if self.intensity is None else "")}
        return {field: reason for field, reason in missing.items() if reason}

    def _warn_of_missing(self) -> None:
        assert self._run is not None
        for resource in self.named or ():
            entry = self._run.costs[resource.field]
            if entry.value is None:
                reason = entry.reason.rstrip(".")
                self._warn_once(resource.field, f"{resource.field} was asked for but cannot be had: {reason}.")

    def _warn_once(self, topic: str, message: str) -> None:
        if topic not in self._warned:
            self._warned.add(topic)
            rank_zero_warn(f"PePRCallback: {message}")

    # Record and checkpoint ------------------------------------------------------------------------------------------

    def _record_path(self, trainer: Trainer) -> Path:
        """Where this callback's record goes. A collective."""
        assert self._run is not None
        folder = _record_folder(trainer)
        # Each has put itself first, so that the user's first is the last of them.
        before = itertools.takewhile(lambda each: each is not self, reversed(_checks.callbacks_of(trainer)))
        taken = any(isinstance(each, PePRCallback) and each.write_record for each in before)
        return folder / (name_aside(self._run.run_id[:8]) if taken else FILE_NAME)

    def _save(self, trainer: Trainer) -> None:
        """Write the record, on rank 0. A disk's trouble is a warning: training goes on, the next epoch tries again."""
        debugging = trainer.fast_dev_run  # type: ignore[attr-defined]
        if self._run is None or self._target is None or debugging or not self.write_record:
            return
        if trainer.is_global_zero:
            self._run.updated = now()
            try:
                if self._written != (self._run.run_id, signature(self._target)):
                    move_aside(self._target, self._run.run_id)
                self._run.save(self._target)
                self._written = self._run.run_id, signature(self._target)
            except OSError as error:
                self._warn_once("disk", f"the record could not be written to {self._target}: {error}.")

    def state_dict(self) -> dict[str, Any]:
        """The run so far, as plain types. On several ranks a collective, as saving a checkpoint is."""
        if self._run is None:
            return {}
        if self._fn == "fit" and self._tracker.is_open and not self._failed:
            self._tracker.switch_stage(self._tracker.stage)
            self._tracker.gather()
        return {
            "run_id": self._run.run_id,
            "started": self._run.started,
            "epochs": [epoch.to_dict() for epoch in self._run.epochs],
            "spent": self._tracker.to_dict(),
            "ends": dict(self._ends),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the run of a checkpoint, when a fit resumes from it."""
        # Testing a checkpoint restores callbacks, too; and what this process has spent on a run stays spent.
        if self._fn != "fit" or not state_dict or self._run is None:
            return
        if self._run.run_id == state_dict["run_id"]:
            if self._tracker.stands_still and self._tracker.to_dict() == state_dict["spent"]:
                # Saved a moment ago, and restored within the fit, with no batch between that we were shown: this was a
                # search for a learning rate or a batch size, after which training goes on as if it had not been.
                self._tracker.leave_out()
            return
        self._run.run_id = state_dict["run_id"]
        self._run.started = state_dict["started"]
        self._run.epochs = [Epoch(**{**epoch, "cost": Cost(**epoch["cost"])}) for epoch in state_dict["epochs"]]
        # What is saved after validation does not have the end of its epoch.
        self._ends = {epoch.epoch: _schedule.costs_of(epoch.cost) for epoch in self._run.epochs} | state_dict.get(
            "ends", {}
        )
        self._tracker.resume(state_dict["spent"])


def _trainable(pl_module: LightningModule) -> int | None:
    """Trainable parameters, each counted once; None while some are still lazy."""
    parameters = [p for p in pl_module.parameters() if p.requires_grad]
    if any(isinstance(p, torch.nn.parameter.UninitializedParameter) for p in parameters):
        return None
    return sum(p.numel() for p in parameters)


def _batch_size(batch: Any) -> int | None:
    """The samples in a batch: the first dimension of its first tensor; None if it has none.

    As Lightning's `extract_batch_size`, but without walking over all tensors in every step.
    """
    first = batch
    while not isinstance(first, torch.Tensor):
        if isinstance(first, Mapping) and first:
            first = next(iter(first.values()))
        elif isinstance(first, (list, tuple)) and first:
            first = first[0]
        else:  # such as the None of a loader that has ended before the others
            return _search_batch_size(batch)
    return first.shape[0] if first.ndim else 1


def _search_batch_size(batch: Any) -> int | None:
    from lightning.pytorch.utilities.data import extract_batch_size

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where it has a choice
        try:
            return int(extract_batch_size(batch))
        except Exception:  # a batch of the user's own type may do anything; the record says that it was not counted
            return None


def _model_name(pl_module: LightningModule) -> str:
    """What to call the model: its `model_name`, a hyperparameter of that kind, or its class."""
    hparams = getattr(pl_module, "hparams", {})
    names = [getattr(pl_module, "model_name", None), *(hparams.get(key) for key in ("model_name", "model", "arch"))]
    return next((name for name in names if isinstance(name, str) and name), type(pl_module).__name__)


def publish(trainer: Trainer, values: Mapping[str, float], step: int) -> None:
    """Put values where callbacks and the loggers find them, as `self.log` would, which not every hook may call."""
    # On the CPU in double: float32 would round large counts, and a Mac's GPU has no double.
    tensors = {key: torch.tensor(value, dtype=torch.float64) for key, value in values.items()}
    trainer.callback_metrics.update(tensors)
    trainer.logged_metrics.update(tensors)
    for logger in trainer.loggers:
        logger.log_metrics({**values, "epoch": trainer.current_epoch}, step=step)
        logger.save()


def _record_folder(trainer: Trainer) -> Path:
    """Where records go: beside what the first logger writes, as Lightning puts checkpoints. A collective."""
    folder: str | None = trainer.log_dir
    logger = trainer.loggers[0] if trainer.loggers else None
    if logger is not None and not isinstance(getattr(logger, "log_dir", None), str) and logger.save_dir is not None:
        version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
        folder = os.path.join(logger.save_dir, str(logger.name), version)
    return Path(trainer.strategy.broadcast(folder or trainer.default_root_dir))
