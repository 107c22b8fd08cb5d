"""The callback that meters a run, scores it each epoch and leaves its record."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from lightning.fabric.utilities import rank_zero_warn
from lightning.pytorch import LightningModule, Trainer

from lightning_pepr.accounting.stages import Spent
from lightning_pepr.accounting.tracker import CostTracker, stage_of
from lightning_pepr.callbacks import _checks, _lightning, _loggers
from lightning_pepr.callbacks._base import Callback, WarnOnce
from lightning_pepr.callbacks._batches import SampleCount, batch_size
from lightning_pepr.callbacks._fit import Fit
from lightning_pepr.callbacks._run import Run
from lightning_pepr.callbacks._scorer import Scorer
from lightning_pepr.callbacks._summary import one_line_summary, show_line
from lightning_pepr.callbacks._writer import RecordWriter, record_path
from lightning_pepr.carbon import resolve_intensity
from lightning_pepr.cost import RESOURCES, Cost, Resource
from lightning_pepr.errors import PePRError
from lightning_pepr.functional import above_baseline, is_performance
from lightning_pepr.meters import Meter
from lightning_pepr.record import RunRecord
from lightning_pepr.space import ModelSpace


class PePRCallback(Callback):
    """Meters what a run costs, scores it each epoch, and leaves a record.

    It logs, in the epoch in which `monitor` is logged, the cost so far (`energy_kwh`, `carbon_g`, `time_s`,
    `memory_gb`, `data_samples`, `params`) and, for each resource of `space`, the score (`pepr_e`, `pepr_c`, `pepr_t`,
    `pepr_m`, `pepr_d`, `pepr_n`), so that `EarlyStopping` and `ModelCheckpoint` can act on them. The cost is everything
    since the fit began, validation included, the sanity check left out. From the end of the second epoch on it also
    forecasts what the whole run will cost (`forecast_energy_kwh`, `forecast_carbon_g`, `forecast_time_s`). Put it
    anywhere in the list of callbacks.

    Args:
        monitor: The key of the performance: in [0, 1], higher is better, logged with `self.log`.
        space: The space over which costs are normalised, or a file that `ModelSpace.save` wrote, or the name of a
            published one. Without one, costs are logged and recorded, and no score is.
        resources: What to log, by name, letter or field; None logs what can be measured. One that is requested by name
            and cannot be measured is a warning; an error, if another callback monitors it.
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
        baseline: P0 in [0, 1), the performance of a trivial predictor: scores (P - P0) / (1 - P0) instead of P.
        name: What to call the model; None takes its `model_name`, a hyperparameter of that kind, or its class.
        group: What the run is compared within, such as the data set.
        settings: What else decided what the run did, as plain types; a ranking tells runs apart by it, but for a seed.

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
        name: str | None = None,
        group: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        # Not named `monitor`: others take a callback of that attribute for one that acts on the key.
        self.performance_key = _checks.check_key(monitor)
        if space is not None and not isinstance(space, (ModelSpace, str, Path)):
            raise PePRError(f"space is {space!r}; expected a ModelSpace, such as ModelSpace.budget(energy_kwh=0.5).")
        self.space = None if space is None else ModelSpace.of(space)
        if isinstance(meter, str) and meter != "auto":
            raise PePRError(f'meter is {meter!r}; expected "auto", or a meter such as open_meter() gives.')
        if baseline is not None:
            above_baseline(0.0, baseline)  # raises if it is out of its range
        if isinstance(resources, (str, Resource)):
            resources = [resources]
        self.requested_resources = None if resources is None else tuple(Resource.of(name) for name in resources)
        if self.space is not None:
            for resource in self.requested_resources or ():
                self.space.range(resource)  # raises if the space does not have it
        self.baseline = baseline
        self.intensity = resolve_intensity(carbon_intensity, pue=pue)
        self.test_key = _checks.key_in_testing(monitor) if test_monitor is None else test_monitor
        self.write_record = record
        self.prog_bar = prog_bar
        self.name = None if name is None else _checks.check_text("name", name)
        self.group = "" if group is None else _checks.check_text("group", group)
        self.settings = _checks.check_settings(settings)
        self._meter = None if isinstance(meter, str) else meter
        self._devices = devices
        self._state_key = f"PePRCallback[{monitor}]"  # evaluated at every hook, so made once
        self._warn_once = WarnOnce("PePRCallback: ")
        self._run: Run | None = None
        self._fit: Fit | None = None  # from the setup of one until the next setup
        self._fit_of: tuple[weakref.ref[Trainer], weakref.ref[LightningModule]] | None = None
        self._evaluated = SampleCount()  # of the validation or test that runs or ran last

    @property
    def state_key(self) -> str:
        """Tells two instances apart in a checkpoint."""
        return self._state_key

    @property
    def run(self) -> RunRecord | None:
        """The record of the run, as far as it is; None before the first fit."""
        return self._run.record if self._run else None

    @property
    def cost(self) -> Cost:
        """What the run had spent at the last evaluation, or at its end."""
        return self._run.record.cost if self._run else Cost()

    @property
    def _fitting(self) -> Fit:
        if self._fit is None:
            raise PePRError("PePRCallback was added to a fit that had begun; add it to the Trainer before.")
        return self._fit

    def __getstate__(self) -> dict[str, Any]:
        """Leave weak references behind: they mean nothing in another process."""
        return {**self.__dict__, "_fit_of": None}

    # A fit begins and ends ------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put the callback first in the list, open the meters, and check who monitors what."""
        self._fit = None
        _lightning.put_first(trainer, self)  # so that what it logs after validation is there when the others look
        if stage != "fit":
            return
        fit_of = weakref.ref(trainer), weakref.ref(pl_module)
        if self._run is None or self._fit_of != fit_of:
            self._run = self._new_run()
        self._fit_of = fit_of
        requested = self.requested_resources
        scorer = Scorer(self.space, self.baseline, RESOURCES if requested is None else requested)
        self._fit = Fit(self._run, scorer, requested or (), self.prog_bar, self._warn_once)
        self._fit.open(trainer)

    def _new_run(self) -> Run:
        if self._run is not None:
            self._run.tracker.close()
        record = RunRecord(self.name or "", monitor=self.performance_key, test_monitor=self.test_key)
        record.status, record.baseline = "finished", self.baseline  # until a fit begins
        record.space = self.space.to_dict() if self.space else None
        record.group, record.settings = self.group, dict(self.settings)
        record.carbon = {} if self.intensity is None else asdict(self.intensity)
        tracker, writer = CostTracker(self._meter, self._devices), RecordWriter(self._warn_once)
        return Run(record, tracker, writer, self.intensity, self.name)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        run = self._fitting.run
        if self.write_record:
            # Each puts itself first in the list, so the user's first is the last.
            ours = [each for each in _lightning.callbacks_of(trainer) if isinstance(each, PePRCallback)]
            first = next(each for each in reversed(ours) if each.write_record)
            run.writer.target = record_path(trainer, run.record.run_id, beside=first is not self)
        self._fitting.start(trainer, pl_module)

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the sanity check out."""
        self._fitting.run.tracker.switch_stage(None)

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on counting."""
        self._fitting.run.tracker.switch_stage("other")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the final record, with every reading settled."""
        run = self._fitting.run
        if run.tracker.is_open:
            run.finish()
            self._save(trainer, run)
            _loggers.end(trainer, run.record, self.write_record)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say in one line what the run has reached and cost; where no progress bar is wanted, to the log alone."""
        run = self._fitting.run
        if run.record.status == "finished" and trainer.is_global_zero:
            line = one_line_summary(run.record, run.writer.written_file)
            show_line(line, quiet=trainer.progress_bar_callback is None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Keep what was measured up to here. No collectives: the other ranks may be gone."""
        if self._fit is not None and self._fit.run.tracker.is_open:
            self._fit.run.cut_off(exception, trainer.global_rank, trainer.world_size)
            self._save(trainer, self._fit.run)
            self._fit.run.tracker.close()
            _loggers.end(trainer, self._fit.run.record, self.write_record)
        elif self._run is not None:
            self._run.tracker.close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let go of the meters."""
        run = self._run
        if run is None:
            return
        if self._fit is not None and run.tracker.is_open:
            # Nothing was trained: Lightning's Tuner has searched, or no epoch was left. What that took is no cost.
            self._fit.undo()
            if not run.record.costs and not run.record.epochs:
                self._run = self._fit = None
        run.tracker.close()

    # Stages ---------------------------------------------------------------------------------------------------------

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count for training."""
        fit = self._fitting
        if fit.run.tracker.stage != "train":
            fit.run.tracker.switch_stage("train")
        fit.at_epoch_start = _lightning.published(trainer).get(self.performance_key)
        fit.served = False

    on_train_start = on_train_epoch_start  # where a fit resumes within an epoch, no other hook comes before its batches

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the samples."""
        self._fitting.run.tracker.count(batch_size(batch))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count for validation."""
        if self._fit is not None and not trainer.sanity_checking:
            self._fit.run.tracker.switch_stage("validate")
            self._evaluated = SampleCount(self.performance_key, len(trainer.num_val_batches))
            self._fit.at_validation_start = _lightning.published(trainer).get(self.performance_key)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Count the samples that the performance is of."""
        self._evaluated.add(batch, dataloader_idx)

    on_test_batch_end = on_validation_batch_end

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log cost and score, before any other callback looks."""
        if self._fit is not None and not trainer.sanity_checking:
            self._fit.run.tracker.switch_stage("train")
            self._fit.validated = True
            self._fit.evaluate(trainer, after_validation=True, samples=self._evaluated.samples)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log cost and score, if validation has not, and what the run will cost; write the record."""
        self._fitting.end_epoch(trainer)
        self._save(trainer, self._fitting.run)

    def measure(self, trainer: Trainer) -> Cost:
        """What the run has spent up to now, on all ranks. A collective: every rank must call it, within a fit."""
        run = self._fitting.run
        run.gather()
        run.update_costs()
        return run.record.cost

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count for testing, beside the fit."""
        if self._run is not None:
            self._evaluated = SampleCount(self.test_key, len(trainer.num_test_batches))
            self._run.tracker.reset_fit()
            self._run.tracker.open(trainer.strategy.root_device)
            self._run.tracker.switch_stage("test")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the test performance and its cost; the last test wins."""
        if self._run is None or not self._run.tracker.is_open:
            return
        record, tracker = self._run.record, self._run.tracker
        tracker.switch_stage(None, wait=True)
        metrics = _lightning.published(trainer)
        tested = tracker.gather(metrics.get(self.test_key), metrics, self._evaluated.samples)
        tracker.reset_fit()  # so that it is not added to the fit
        tracker.close()
        if tested.performance is None:
            rank_zero_warn(
                f"PePRCallback: {self.test_key!r} was not logged in testing, so the record has no test performance. "
                f"Logged are {_checks.listing(tested.keys)}. Name the right one: PePRCallback(…, test_monitor=…)."
            )
        elif not is_performance(tested.performance):
            message = _checks.not_a_performance(self.test_key, tested.performance)
            rank_zero_warn(f"PePRCallback: {message} The record is without it.")
        else:
            record.test_performance = tested.performance
            record.test_samples = tested.evaluated
            record.stages["test"] = stage_of(tested.stages.get("test", Spent()))
            self._save(trainer, self._run)
            _loggers.update(trainer, record, self.write_record)

    # Record and checkpoint ------------------------------------------------------------------------------------------

    def _save(self, trainer: Trainer, run: Run) -> None:
        if trainer.is_global_zero and not _lightning.is_debugging(trainer):
            run.writer.write(run.record)

    def state_dict(self) -> dict[str, Any]:
        """The run so far, as plain types. On several ranks a collective, as saving a checkpoint is."""
        if self._fit is not None and self._fit.run.tracker.is_open:
            self._fit.run.gather()
        return {} if self._run is None else self._run.to_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the run of a checkpoint, when a fit resumes from it: testing a checkpoint restores it, too."""
        if self._fit is not None and state_dict:
            self._fit.run.resume(state_dict)
