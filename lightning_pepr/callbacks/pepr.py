"""The callback that meters a run, scores it each epoch and leaves its record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer

from lightning_pepr.accounting.tracker import CostTracker
from lightning_pepr.callbacks import _checks, _lightning, _loggers
from lightning_pepr.callbacks._base import Callback, WarnOnce, metered
from lightning_pepr.callbacks._batches import BatchCounter
from lightning_pepr.callbacks._fit import Fit
from lightning_pepr.callbacks._monitored import Monitored
from lightning_pepr.callbacks._run import Run, find_state, recall, remember
from lightning_pepr.callbacks._scorer import Scorer
from lightning_pepr.callbacks._summary import one_line_summary, show_line
from lightning_pepr.callbacks._testing import begin_test, find_run, record_test
from lightning_pepr.callbacks._writer import RecordWriter
from lightning_pepr.carbon import resolve_intensity
from lightning_pepr.cost import RESOURCES, Cost, Resource
from lightning_pepr.errors import PePRError
from lightning_pepr.functional import above_baseline
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
        monitor: The key of the performance: in [0, 1], higher is better, logged with `self.log`. None meters and
            records without a score; P may then come from `trainer.test`, by `test_monitor`.
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
        record: Whether to write `pepr.json`, and `pepr.jsonl` beside it, to where the first logger writes.
        prog_bar: Whether to show the scores in the progress bar.
        baseline: P0 in [0, 1), the performance of a trivial predictor: scores (P - P0) / (1 - P0) instead of P.
        name: What to call the model; None takes its `model_name`, a hyperparameter of that kind, or its class.
        group: What the run is compared within, such as the data set.
        settings: What else decided what the run did, as plain types; a ranking tells runs apart by it, but for a seed.
        prefix: Put before every key that is logged. A second callback in one Trainer needs one, such as "auc_": it
            scores another performance of the same run, whose costs are metered, logged and recorded once.
        batch_size: Counts the samples of a batch: `batch_size(batch) -> int`. None: the batch, its tensors, and the
            `batch_size` that the module gives to `self.log` tell; where they disagree, samples are not counted.

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
        monitor: str | None = None,
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
        prefix: str = "",
        batch_size: Callable[[Any], int] | None = None,
    ) -> None:
        # Not named `monitor`: others take a callback of that attribute for one that acts on the key.
        self.performance_key = "" if monitor is None else _checks.check_key(monitor)
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
        self.test_key = (
            _checks.key_in_testing(self.performance_key)
            if test_monitor is None
            else _checks.check_key(test_monitor, "test_monitor")
        )
        self.write_record = record
        self.prog_bar = prog_bar
        self.prefix = _checks.check_text("prefix", prefix)
        self.name = None if name is None else _checks.check_text("name", name)
        self.group = "" if group is None else _checks.check_text("group", group)
        self.settings = _checks.check_settings(settings)
        _checks.check_counter(batch_size)
        self.batch_size = batch_size
        self._meter = None if isinstance(meter, str) else meter
        self._devices = devices
        # Evaluated at every hook, so made once.
        self._state_key = f"PePRCallback[{', '.join(filter(None, (self.performance_key, prefix)))}]"
        self._warn_once = WarnOnce("PePRCallback: ")
        self._run: Run | None = None
        self._fit: Fit | None = None  # from the setup of one until the next setup
        self._first: PePRCallback | None = None  # the one that meters, if that is another
        self._monitored: list[Monitored] = []  # what this and the others in the Trainer score
        self._restored: Any = None  # the state of a checkpoint that is tested
        self._trained = BatchCounter()  # of the training epoch that runs

    @property
    def state_key(self) -> str:
        """Tells two instances apart in a checkpoint."""
        return self._state_key

    @property
    def run(self) -> RunRecord | None:
        """The record of the run, as far as it is; None before the first fit."""
        if self._first is not None:
            return self._first.run
        return self._run.record if self._run is not None and self._run.begun else None

    @property
    def cost(self) -> Cost:
        """What the run had spent at the last evaluation, or at its end."""
        return self.run.cost if self.run is not None else Cost()

    @property
    def meters(self) -> bool:
        """Whether this is the one in its Trainer that meters: the one without a prefix, or the first."""
        return self._first is None

    @property
    def _fitting(self) -> Fit:
        if self._fit is None:
            raise PePRError("PePRCallback was added to a fit that had begun; add it to the Trainer before.")
        return self._fit

    # A fit begins and ends ------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put the callback first in the list, open the meters, and check who monitors what."""
        self._fit = self._restored = None
        ours = [each for each in _lightning.callbacks_of(trainer) if isinstance(each, PePRCallback)]
        _checks.check_prefixes([each.prefix for each in ours])
        first = next((each for each in ours if not each.prefix), ours[0])
        self._first = None if first is self else first
        if not self.meters:  # the first does all for it
            of_run: dict[str, Any] = {"carbon_intensity": self.intensity, "name": self.name, "group": self.group}
            of_run |= {"settings": self.settings, "meter": self._meter, "devices": self._devices}
            if message := _checks.ignored(self.prefix, of_run | {"batch_size": self.batch_size}):
                self._warn_once("ignored", message)
            return
        _lightning.put_first(trainer, self)  # so that what it logs after validation is there when the others look
        self._monitored = [self._make_monitored(), *(each._make_monitored() for each in ours if each is not self)]
        self._run = recall(trainer, pl_module, self.state_key)
        if stage != "fit":
            return
        if self._run is None:
            self._run = self._new_run()
        remember(trainer, pl_module, self.state_key, self._run)
        self._fit = Fit(self._run, self._monitored, trainer.global_rank, trainer.world_size)
        self._fit.open(trainer)

    def _make_monitored(self) -> Monitored:
        requested = self.requested_resources
        scorer = Scorer(self.space, self.baseline, RESOURCES if requested is None else requested)
        key, test_key = self.performance_key, self.test_key
        return Monitored(key, test_key, self.prefix, scorer, requested or (), self.prog_bar, self._warn_once)

    def _new_run(self) -> Run:
        record = RunRecord(self.name or "", monitor=self.performance_key, test_monitor=self.test_key)
        record.status, record.baseline = "finished", self.baseline  # until a fit begins
        record.space = self.space.to_dict() if self.space else None
        record.carbon = {} if self.intensity is None else asdict(self.intensity)
        record.group, record.settings = self.group, dict(self.settings)
        tracker, writer = CostTracker(self._meter, self._devices), RecordWriter(self._warn_once)
        return Run(record, tracker, writer, self.intensity, self.name)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count; where a search for a learning rate or a batch size comes first, after it."""
        if not self.meters:
            return
        if _lightning.searches_first(trainer):
            self._fitting.run.tracker.close()  # what such a search takes is no cost, and nothing ends one that fails
        else:
            self._start(trainer, pl_module)

    def _start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        fit = self._fitting
        if fit.started:
            return
        if not fit.run.tracker.is_open:
            fit.open(trainer)
        if self.write_record:
            fit.run.writer.place(trainer)
        fit.start(trainer, pl_module)

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the sanity check out."""
        if self.meters:
            self._start(trainer, pl_module)
            self._fitting.run.tracker.switch_stage(None)

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on counting."""
        if self.meters:
            self._fitting.run.tracker.switch_stage("other")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count for training. Where a fit resumes within an epoch, no other hook comes before its batches."""
        if self.meters:
            self._start(trainer, pl_module)
            self._fitting.check_past(trainer)
            self.on_train_epoch_start(trainer, pl_module)

    @metered
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the final record, with every reading settled."""
        fit = self._fitting
        if not fit.ended:
            fit.end(trainer)
            self._save(trainer)
            _loggers.end(trainer, fit.run.record, self.write_record)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say in one line what the run has reached and cost; where no progress bar is wanted, to the log alone."""
        if self.meters and self._fitting.ended and trainer.is_global_zero:
            run = self._fitting.run
            if run.record.status == "finished":
                line = one_line_summary(run.record, run.writer.written_file)
                show_line(line, quiet=trainer.progress_bar_callback is None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Keep what was measured up to here. No collectives: the other ranks may be gone."""
        if self._fit is not None and self._fit.started and not self._fit.ended:
            self._fit.cut_off(exception)
            self._save(trainer)
            self._fit.run.tracker.close()
            _loggers.end(trainer, self._fit.run.record, self.write_record)
        elif self._run is not None:
            self._run.tracker.close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let go of the meters."""
        run, fit = self._run, self._fit
        if run is None:
            return
        if fit is not None and not fit.ended and fit.undo():
            # Nothing was trained: Lightning's Tuner has searched, or no epoch was left. What that took is no cost.
            remember(trainer, pl_module, self.state_key, None)
            self._run = self._fit = None
        run.tracker.close()

    # Stages ---------------------------------------------------------------------------------------------------------

    @metered
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count for training."""
        self._trained = self._counter(trainer)
        self._fitting.begin_epoch(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the samples, and every now and then save what is known."""
        if self._first is not None:
            return
        fit = self._fitting
        with fit.run.tracker.metering():
            fit.run.tracker.count(self._trained.size(batch, trainer), self._trained.reason)
            if fit.after_batch(trainer):
                self._save(trainer)

    @metered
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count for validation."""
        if self._fit is None or trainer.sanity_checking:
            return
        self._fit.run.tracker.switch_stage("validate")
        for monitored in self._monitored:
            monitored.begin_validation(trainer, self._counter(trainer))

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Count the samples that the performances are of."""
        for monitored in self._monitored:
            monitored.evaluated.add(batch, dataloader_idx, trainer)

    on_test_batch_end = on_validation_batch_end

    @metered
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log cost and score, before any other callback looks."""
        if self._fit is None:
            return
        if trainer.sanity_checking:
            for monitored in () if self._fit.run.record.epochs else self._monitored:  # no run ends by it later
                monitored.check_sanity(trainer)
            return
        self._fit.run.tracker.switch_stage("train")
        self._fit.end_validation(trainer)
        self._save(trainer)

    @metered
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log cost and score, if validation has not, and what the run will cost; write the record."""
        self._fitting.end_epoch(trainer)
        self._save(trainer)

    def measure(self, trainer: Trainer) -> Cost:
        """What the run has spent up to now, on all ranks. A collective: every rank must call it, within a fit."""
        run = self._fitting.run
        with run.tracker.metering():
            run.gather()
            run.update_costs()
        return run.record.cost

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count for testing, beside the fit."""
        if not self.meters:
            return
        if self._run is None:
            self._run = find_run(self._restored, trainer, self._new_run(), self._monitored[0], self.write_record)
        if self._run is not None:
            begin_test(trainer, self._run, self._monitored, self._counter(trainer))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the test performance and its cost; the last test wins."""
        if not self.meters or self._run is None or not self._run.tracker.is_open:
            return
        if record_test(trainer, self._run, self._monitored):
            self._save(trainer)
            _loggers.update(trainer, self._run.record, self.write_record)

    def _counter(self, trainer: Trainer) -> BatchCounter:
        """What counts the samples of the loop that begins."""
        return BatchCounter(self.batch_size, trainer, self._warn_once)

    # Record and checkpoint ------------------------------------------------------------------------------------------

    def _save(self, trainer: Trainer) -> None:
        if self._run is not None and trainer.is_global_zero and not _lightning.is_debugging(trainer):
            self._run.writer.write(self._run.record)

    def state_dict(self) -> dict[str, Any]:
        """The run up to now, as plain types; of other ranks, what they had said last. No collective."""
        if not self.meters or self._run is None:
            return {}
        if self._fit is not None and self._fit.started and not self._fit.ended:
            self._run.tracker.report_alone(self._fit.rank, self._fit.ranks)
        return self._run.to_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the run of a checkpoint, when a fit resumes from it: testing a checkpoint restores it, too."""
        if self._fit is not None:
            self._fit.resume(state_dict)
        elif self.meters:
            self._restored = state_dict

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Find the state of the run that was saved under another monitor or prefix."""
        if self.meters and (state := find_state(checkpoint, self.state_key)):
            self.load_state_dict(state)
