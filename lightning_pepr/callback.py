"""The callback that meters a run, scores it each epoch and leaves its record."""

from __future__ import annotations

import contextlib
import os
import re
import warnings
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from lightning_pepr import functional, record
from lightning_pepr.carbon import carbon_g, resolve_intensity
from lightning_pepr.cost import CARBON, ENERGY, RESOURCES, Cost, Resource
from lightning_pepr.distributed import Report, gather, merge
from lightning_pepr.ledger import Ledger, Spent
from lightning_pepr.meters import Meter, open_meter
from lightning_pepr.meters.memory import MemoryMeter
from lightning_pepr.record import CostEntry, Device, Epoch, RunRecord, Stage
from lightning_pepr.space import ModelSpace

UJ_PER_KWH = 3.6e12
NO_INTENSITY = (
    "the carbon intensity of the electricity is not known; give PePRCallback(…, carbon_intensity=…), in g CO2e per kWh "
    'or as a country such as "DNK"'
)
NOT_COUNTED = "no batch size could be found in the batches; data_samples needs a tensor in them"

# Words in a key that say that lower is better.
LOWER_IS_BETTER = frozenset(
    "loss losses error err mse rmse mae mape nll perplexity ppl wer cer fid hausdorff brier ece fpr fnr".split()
)


class PePRCallback(Callback):
    """Meters what a run costs, scores it each epoch, and leaves a record.

    It logs, in the epoch in which `monitor` is logged, the cost so far (`energy_kwh`, `carbon_g`, `time_s`,
    `memory_gb`, `data_samples`, `params`) and, for each resource of `space`, the score (`pepr_e`, `pepr_c`, `pepr_t`,
    `pepr_m`, `pepr_d`, `pepr_n`), so that `EarlyStopping` and `ModelCheckpoint` can act on them. The cost is everything
    since the fit began, validation included, the sanity check left out. Put it anywhere in the list of callbacks.

    Args:
        monitor: The key of the performance: in [0, 1], higher is better, logged with `self.log`.
        space: The space over which costs are normalised. Without one, costs are logged and recorded, and no score is.
        resources: What to log, by name, letter or field; None logs what can be had. One that is asked for by name and
            cannot be had is a warning; an error, if another callback monitors it.
        test_monitor: The key of the test performance that `trainer.test` logs; None replaces "val" by "test".
        meter: "auto" meters the device that this process trains on and the CPU; or a meter of your own.
        carbon_intensity: Of the electricity, in g CO2e per kWh, or a country's ISO code such as "DNK" (needs
            `[carbon]`). None: carbon is not measured.
        pue: Power usage effectiveness of the data centre, at least 1: carbon is multiplied by it.
        devices: NVML indices or UUIDs of the GPUs to meter; None: the one this process trains on.
        record: Whether to write `pepr.json` to `trainer.log_dir`.
        prog_bar: Whether to show the scores in the progress bar.
        baseline: P0 in [0, 1), a performance that is to be had for nothing: scores (P - P0) / (1 - P0) instead of P.

    Raises:
        ValueError: If an argument is out of its range, or `monitor` is a loss.

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
        space: ModelSpace | None = None,
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
        self.performance_key = _check_monitor(monitor)
        if space is not None and not isinstance(space, ModelSpace):
            raise ValueError(f"space is {space!r}; expected a ModelSpace, such as ModelSpace.budget(energy_kwh=0.5).")
        if isinstance(meter, str) and meter != "auto":
            raise ValueError(f'meter is {meter!r}; expected "auto", or a meter such as open_meter() gives.')
        if baseline is not None:
            functional.above_baseline(0.0, baseline)  # raises if it is out of its range
        self.space = space
        self.baseline = baseline
        self.named = None if resources is None else tuple(Resource.of(name) for name in _listed(resources))
        if space is not None:
            for resource in self.named or ():
                space.range(resource)  # raises if the space does not have it
        self.intensity = resolve_intensity(carbon_intensity, pue=pue)
        self.test_key = test_monitor if test_monitor is not None else self.performance_key.replace("val", "test")
        self.devices = None if devices is None else list(devices)
        self.write_record = record
        self.prog_bar = prog_bar
        self._own_meter = None if isinstance(meter, str) else meter
        self._state_key = f"PePRCallback[{monitor}]"  # evaluated at every hook, so made once

        self._fn = ""
        self._failed = False
        self._target: Path | None = None
        self._warned: set[str] = set()
        self._release_handles()
        self._forget()

    # What a run accumulates -----------------------------------------------------------------------------------------

    def _forget(self) -> None:
        """Begin a new run."""
        self._run: RunRecord | None = None
        self._before = Report("", {}, Spent(), data_samples=0)  # what earlier fits of this run have cost
        self._fit_of: tuple[weakref.ref[Trainer], weakref.ref[LightningModule]] | None = None
        self._test: Spent | None = None
        self._scored = False  # whether a performance was ever seen
        self._start_anew()

    def _start_anew(self) -> None:
        """Begin a fit of the run."""
        self._samples: int | None = 0
        self._peers: list[Report] = []
        self._stale: Any = None  # the monitored value as it was before this validation, or epoch
        self._served = False  # whether this epoch has been logged
        self._validated = False  # whether a validation has run

    def _release_handles(self) -> None:
        self._meter: Meter | None = None
        self._ledger: Ledger | None = None
        self._memory: MemoryMeter | None = None
        self._device: torch.device | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave handles and weak references behind: they mean nothing in another process."""
        return {**self.__dict__, "_meter": None, "_ledger": None, "_memory": None, "_fit_of": None}

    @property
    def state_key(self) -> str:
        """Tells two instances apart in a checkpoint."""
        return self._state_key

    @property
    def run(self) -> RunRecord | None:
        """The record of the run as it was last written; None before the first fit."""
        return self._run

    @property
    def cost(self) -> Cost:
        """What the run had spent at the last evaluation, or at its end."""
        return self._run.cost if self._run else Cost()

    # Hooks ----------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put the callback first in the list, check who monitors its keys, and open the meter."""
        self._fn = stage
        # In front, so that what it logs after validation is there when the others look. A new list: Lightning is
        # walking over the old one.
        trainer.callbacks = [self, *(callback for callback in trainer.callbacks if callback is not self)]
        if stage != "fit":
            return
        self._failed = False
        same = self._fit_of is not None and self._fit_of[0]() is trainer and self._fit_of[1]() is pl_module
        if not same:
            self._forget()
        self._start_anew()
        self._fit_of = (weakref.ref(trainer), weakref.ref(pl_module))
        if self._run is None:
            self._run = RunRecord(
                model=_model_name(pl_module),
                monitor=self.performance_key,
                test_monitor=self.test_key,
                baseline=self.baseline,
                space=self.space,
                carbon={} if self.intensity is None else asdict(self.intensity),
            )
        self._run.status, self._run.error = "running", ""
        self._open(trainer)
        self._check_watchers(trainer)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self._target = _record_path(trainer)  # a collective, so on every rank
        assert self._run is not None
        self._run.params = _trainable(pl_module)
        self._run.hardware = {
            **record.describe_hardware(),
            "ranks": trainer.world_size,
            "device": str(trainer.strategy.root_device),
        }
        self._run.software = record.describe_software()
        if self._memory is not None:
            self._memory.start()
        self._enter("other")

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the sanity check out."""
        self._enter(None)

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on counting."""
        self._enter("other")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count for training: a fit that resumes within an epoch has no other hook here."""
        self._enter("train")
        self._stale = trainer.callback_metrics.get(self.performance_key)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count for training."""
        if self._ledger is not None and self._ledger.stage != "train":
            self._enter("train")
        self._stale = trainer.callback_metrics.get(self.performance_key)
        self._served = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the samples."""
        if self._samples is not None:
            size = _batch_size(batch)
            self._samples = None if size is None else self._samples + size

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count for validation."""
        if self._fn == "fit" and not trainer.sanity_checking:
            self._enter("validate")
            self._stale = trainer.callback_metrics.get(self.performance_key)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log cost and score, before any other callback looks."""
        if self._fn == "fit" and not trainer.sanity_checking:
            self._enter("train")
            self._validated = True
            self._evaluate(trainer, after_validation=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log cost and score, if validation has not, and write the record."""
        self._enter("other")
        if not self._served:
            self._evaluate(trainer, after_validation=False)
        self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the final record, with every reading settled."""
        if self._ledger is None:
            return
        self._enter(None, wait=True)
        self._peers = gather(self._report())
        self._book(merge(self._peers))
        self._before, self._peers = self._so_far(), []
        assert self._run is not None
        self._run.status = "finished"
        self._save(trainer)
        self._close()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count for testing, beside the fit."""
        if self._run is None:
            return
        self._open(trainer)
        self._enter("test")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take down the test performance."""
        if self._run is None or self._ledger is None:
            return
        self._enter(None, wait=True)
        metrics = trainer.callback_metrics
        tested = merge(gather(self._report(metrics.get(self.test_key), metrics)))
        self._close()
        if tested.performance is None:
            rank_zero_warn(
                f"PePRCallback: {self.test_key!r} was not logged in testing, so the record has no test performance. "
                f"Logged are {_listing(tested.keys)}. Name the right one: PePRCallback(…, test_monitor=…)."
            )
            return
        if not _is_performance(tested.performance):
            rank_zero_warn(
                f"PePRCallback: {self.test_key} is {tested.performance!r}; expected a performance in [0, 1]. "
                "The record is without it."
            )
            return
        self._run.test_performance = tested.performance
        self._run.stages["test"] = _stage(tested.stages.get("test", Spent()))
        self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Keep what was measured up to here. No collectives: the other ranks may be gone."""
        if self._fn != "fit" or self._ledger is None or self._run is None:
            self._close()
            return
        self._failed = True
        self._enter(None)
        self._peers = self._peers or [Report("", {}, Spent())] * trainer.world_size
        self._peers[trainer.global_rank] = self._report()
        self._book(merge(self._peers))
        if trainer.world_size > 1:
            for entry in self._run.costs.values():
                if entry.value is not None:
                    entry.lower_bound = True
                    entry.reason = "the run was cut off; other ranks are counted up to the last evaluation"
        self._before, self._peers = self._so_far(), []
        self._run.status = "interrupted" if isinstance(exception, KeyboardInterrupt) else "failed"
        self._run.error = f"{type(exception).__name__}: {exception}"
        self._save(trainer)
        self._close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let go of the meters."""
        self._close()

    def state_dict(self) -> dict[str, Any]:
        """The run so far, as plain types. On several ranks a collective, as saving a checkpoint is."""
        if self._run is None:
            return {}
        if self._ledger is not None and self._fn == "fit":
            self._enter(self._ledger.stage)
            if not self._failed:
                self._peers = gather(self._report())
        so_far = self._so_far()
        return {
            "run_id": self._run.run_id,
            "started": self._run.started,
            "stages": {stage: spent.to_dict() for stage, spent in so_far.stages.items()},
            "total": so_far.total.to_dict(),
            "data_samples": so_far.data_samples,
            "memory_gb": so_far.memory_gb,
            "epochs": [asdict(epoch) for epoch in self._run.epochs],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the run of a checkpoint, when a fit resumes from it."""
        # Testing a checkpoint restores callbacks, too; and what this process has spent on a run stays spent.
        if self._fn != "fit" or not state_dict or self._run is None or self._run.run_id == state_dict["run_id"]:
            return
        self._run.run_id = state_dict["run_id"]
        self._run.started = state_dict["started"]
        self._run.epochs = [Epoch(**{**epoch, "cost": Cost(**epoch["cost"])}) for epoch in state_dict["epochs"]]
        self._scored = bool(self._run.evaluations)
        self._before = Report(
            host="",
            stages={stage: Spent.from_dict(spent) for stage, spent in state_dict["stages"].items()},
            total=Spent.from_dict(state_dict["total"]),
            data_samples=state_dict["data_samples"],
            memory_gb=state_dict["memory_gb"],
        )

    # Metering -------------------------------------------------------------------------------------------------------

    def _open(self, trainer: Trainer) -> None:
        self._close()
        self._device = trainer.strategy.root_device
        # Only the device that this process trains on: the other ranks read theirs.
        devices = [self._device] if self.devices is None else self.devices
        self._meter = self._own_meter if self._own_meter is not None else open_meter(devices)
        self._ledger = Ledger(self._meter)
        self._memory = MemoryMeter([self._device.index or 0] if self._device.type == "cuda" else [])

    def _close(self) -> None:
        """Let go of the meters; may be called twice."""
        if self._memory is not None:
            self._memory.stop()
        if self._meter is not None and self._meter is not self._own_meter:
            self._meter.close()
        self._release_handles()

    def _enter(self, stage: str | None, wait: bool = False) -> None:
        if self._ledger is None:
            return
        if self._device is not None and self._device.type == "cuda":
            # Work that is queued belongs to the stage that queued it. A broken device is for Lightning to report.
            with contextlib.suppress(RuntimeError):
                torch.cuda.synchronize(self._device)
        self._ledger.enter(stage, wait)

    def _report(self, performance: Any = None, metrics: Mapping[str, Any] | None = None) -> Report:
        """What this rank has measured in this fit."""
        assert self._ledger is not None
        peak = self._memory.peak_bytes() if self._memory is not None else None
        return Report(
            host=record.host_name(),
            stages=self._ledger.stages(),
            total=self._ledger.total(),
            data_samples=self._samples,
            memory_gb=None if peak is None else peak / 1e9,
            performance=None if performance is None else float(performance),
            keys=frozenset(metrics or ()),
        )

    def _so_far(self) -> Report:
        """What the run has cost, on all ranks, with earlier fits."""
        return _plus(self._before, merge(self._peers)) if self._peers else self._before

    # Scoring --------------------------------------------------------------------------------------------------------

    def _evaluate(self, trainer: Trainer, after_validation: bool) -> None:
        """Log cost and, where the monitored value is fresh, score: into what callbacks, bar and loggers read."""
        metrics = trainer.callback_metrics
        current = metrics.get(self.performance_key)
        # Lightning never clears a value, so one that is the very object of before is an epoch old.
        fresh = current if current is not self._stale else None
        self._peers = gather(self._report(fresh, metrics))
        merged = merge(self._peers)
        if merged.performance is None:
            if after_validation:
                self._check_watched_after_validation(trainer, merged)
                return  # it may come with the end of the training epoch
            if not self._scored and (self._validated or not trainer.enable_validation):
                raise ValueError(self._not_logged(merged.keys))
        elif not after_validation:
            self._check_watched_after_validation(trainer, merged)
        cost = self._book(merged)
        scores = {} if merged.performance is None else self._score(merged.performance, cost)
        self._served = True
        assert self._run is not None
        step = trainer.fit_loop.epoch_loop._batches_that_stepped - (0 if after_validation else 1)
        self._run.epochs.append(Epoch(trainer.current_epoch, step, merged.performance, cost, scores))
        self._publish(trainer, cost, scores, step)

    def _score(self, performance: float, cost: Cost) -> dict[str, float]:
        if not _is_performance(performance):
            message = (
                f"{self.performance_key} is {performance!r}; PePR needs a performance in [0, 1] where higher is better "
                "(accuracy, AUROC, Dice, …). Divide percentages by 100, and monitor no loss."
            )
            if not self._scored:
                raise ValueError(message)
            self._warn_once(f"{message} The score is NaN in such epochs.")
            performance = float("nan")
        self._scored = True
        if self.space is None:
            return {}
        scores = {}
        for resource in self._resources():
            amount = cost.amount(resource)
            if amount is None or resource not in self.space:
                continue
            if performance != performance:
                scores[resource.score_key] = performance
                continue
            p = performance if self.baseline is None else functional.above_baseline(performance, self.baseline)
            with warnings.catch_warnings():
                warnings.simplefilter("once")  # low == high is told once, not in every epoch
                scores[resource.score_key] = functional.pepr(p, self.space.normalize(amount, resource))
        return scores

    def _publish(self, trainer: Trainer, cost: Cost, scores: Mapping[str, float], step: int) -> None:
        wanted = self._resources()
        values = {resource.field: amount for resource, amount in cost.items() if resource in wanted} | dict(scores)
        # On the CPU in double: float32 would round large counts, and a Mac's GPU has no double.
        tensors = {key: torch.tensor(value, dtype=torch.float64) for key, value in values.items()}
        trainer.callback_metrics.update(tensors)
        if self.prog_bar:
            trainer.progress_bar_metrics.update(scores)
        trainer.logged_metrics.update(tensors)
        for logger in trainer.loggers:
            logger.log_metrics({**values, "epoch": trainer.current_epoch}, step=step)
            logger.save()

    def _book(self, merged: Report) -> Cost:
        """Write what all ranks have spent into the record."""
        assert self._run is not None
        whole = _plus(self._before, merged)
        self._run.costs = self._entries(whole)
        self._run.stages = {stage: _stage(spent) for stage, spent in whole.stages.items()} | {
            stage: spent for stage, spent in self._run.stages.items() if stage == "test"
        }
        self._run.devices = {
            key: Device(
                host=key.partition("/")[0] if "/" in key else key.partition(":")[2],
                energy_uj=part.energy_uj,
                error_j=None if part.energy_uj is None else part.error_j,
                quality=part.quality.value,
                gain=part.gain,
                reason=part.reason,
            )
            for key, part in whole.total.parts.items()
        }
        for resource in self.named or ():
            entry = self._run.costs[resource.field]
            if entry.value is None:
                self._warn_once(f"{resource.field} was asked for but cannot be had: {entry.reason}.")
        return self._run.cost

    def _entries(self, whole: Report) -> dict[str, CostEntry]:
        energy = whole.total
        reading = energy.reading
        entries = {resource.field: CostEntry(reason="not measured") for resource in RESOURCES}
        lost = energy.reason if reading.lower_bound else ""
        if energy.energy_uj is None:
            reason = energy.reason or "no meter could measure it"
            entries["energy_kwh"] = CostEntry(reason=reason)
            entries["carbon_g"] = CostEntry(reason=reason)
        else:
            kwh, error = energy.energy_uj / UJ_PER_KWH, reading.error_j / 3.6e6
            quality = reading.quality.value
            entries["energy_kwh"] = CostEntry(kwh, error, quality, reading.lower_bound, lost)
            carbon, carbon_error = carbon_g(kwh, self.intensity), carbon_g(error, self.intensity)
            entries["carbon_g"] = CostEntry(carbon, carbon_error, quality, reading.lower_bound, lost)
            if self.intensity is None:
                entries["carbon_g"] = CostEntry(reason=NO_INTENSITY)
        entries["time_s"] = CostEntry(energy.time_ns / 1e9, 0.0, "counter")
        if whole.memory_gb is not None:
            # A sampled peak may be missed; torch counts its own exactly.
            exact = self._device is not None and self._device.type == "cuda"
            entries["memory_gb"] = CostEntry(whole.memory_gb, None, "counter" if exact else "integrated")
        if whole.data_samples is not None:
            entries["data_samples"] = CostEntry(float(whole.data_samples), 0.0, "counter")
        else:
            entries["data_samples"] = CostEntry(reason=NOT_COUNTED)
        assert self._run is not None
        if self._run.params is not None:
            entries["params"] = CostEntry(float(self._run.params), 0.0, "counter")
        else:
            entries["params"] = CostEntry(reason="the model's parameters are not initialised when the fit begins")
        return entries

    def _resources(self) -> tuple[Resource, ...]:
        return RESOURCES if self.named is None else self.named

    # Checks ---------------------------------------------------------------------------------------------------------

    def _watchers(self, trainer: Trainer) -> Iterable[tuple[Callback, Resource]]:
        """The callbacks that monitor one of the keys that this one logs."""
        for callback in trainer.callbacks:
            key = getattr(callback, "monitor", None)
            for resource in RESOURCES:
                if callback is not self and key in (resource.score_key, resource.field):
                    yield callback, resource

    def _check_watchers(self, trainer: Trainer) -> None:
        for callback, resource in self._watchers(trainer):
            key, name = str(callback.monitor), type(callback).__name__  # type: ignore[attr-defined]
            is_score = key == resource.score_key
            if is_score and self.space is None:
                raise ValueError(
                    f"{name} monitors {key!r}, but a score needs a space, and PePRCallback has none. Give it one, such "
                    f"as PePRCallback({self.performance_key!r}, space=ModelSpace.budget({_example_budget(resource)}))."
                )
            if is_score and self.space is not None:
                try:
                    self.space.range(resource)
                except ValueError as error:
                    raise ValueError(f"{name} monitors {key!r}, but {error}") from None
            if resource not in self._resources():
                raise ValueError(
                    f"{name} monitors {key!r}, but PePRCallback(resources=…) leaves {resource.name} out; it has "
                    f"{_listing(r.name for r in self._resources())}."
                )
            reason = self._why_not(resource)
            if reason:
                raise ValueError(f"{name} monitors {key!r}, but {resource.field} cannot be had here: {reason}.")
            if is_score and getattr(callback, "mode", "max") == "min":
                rank_zero_warn(
                    f'{name} monitors {key!r} with mode="min", but a higher score is better: pass mode="max".'
                )
        for callback in trainer.callbacks:
            if getattr(callback, "monitor", None) == self.performance_key and getattr(callback, "mode", "") == "min":
                raise ValueError(
                    f'{type(callback).__name__} monitors {self.performance_key!r} with mode="min", so lower is better '
                    "there; PePRCallback needs a performance in [0, 1] where higher is better. Monitor another key."
                )

    def _why_not(self, resource: Resource) -> str:
        """Why a resource cannot be measured here; empty if it can."""
        if resource in (ENERGY, CARBON) and self._ledger is not None:
            self._ledger.enter("other")
            self._ledger.enter(None)
            opened, self._ledger = self._ledger.total(), Ledger(self._meter)  # this look is no part of the run
            if opened.energy_uj is None:
                return opened.reason or "there is no meter"
        if resource is CARBON and self.intensity is None:
            return NO_INTENSITY
        return ""

    def _check_watched_after_validation(self, trainer: Trainer, merged: Report) -> None:
        """Raise if somebody acts on a score after validation, where this value is not there in time."""
        for callback, resource in self._watchers(trainer):
            early = getattr(callback, "_check_on_train_epoch_end", None) is False
            decides = getattr(callback, "_should_save_on_train_epoch_end", None)
            if early or (decides is not None and not decides(trainer)):
                name, key = type(callback).__name__, callback.monitor  # type: ignore[attr-defined]
                raise ValueError(
                    f"{name} acts on {key!r} after each validation, but {self.performance_key!r} is not logged in "
                    f"validation. Logged by then are {_listing(merged.keys - _OWN_KEYS)}. Log it in validation_step or "
                    "on_validation_epoch_end; or, if it is a training metric, leave val_check_interval and "
                    "check_val_every_n_epoch as they are, or pass check_on_train_epoch_end=True (EarlyStopping) or "
                    "save_on_train_epoch_end=True (ModelCheckpoint)."
                )

    def _not_logged(self, keys: frozenset[str]) -> str:
        return (
            f"PePRCallback monitors {self.performance_key!r}, which was not logged by the end of the first epoch. Logged "
            f"are {_listing(keys - _OWN_KEYS)}. Log it with self.log in validation_step or on_validation_epoch_end, or "
            "in training_step with on_epoch=True (the module's on_train_epoch_end is too late), or monitor another key."
        )

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            rank_zero_warn(f"PePRCallback: {message}")

    # Record ---------------------------------------------------------------------------------------------------------

    def _save(self, trainer: Trainer) -> None:
        """Write the record, on rank 0. A disk's trouble is a warning: training goes on, and the next epoch tries again."""
        if not self.write_record or not trainer.is_global_zero or trainer.fast_dev_run or self._target is None:
            return
        assert self._run is not None
        self._run.updated = record.now()
        try:
            _make_way(self._target, self._run.run_id)
            self._run.save(self._target)
        except OSError as error:
            self._warn_once(f"the record could not be written to {self._target}: {error}. Training goes on.")


_OWN_KEYS = frozenset(key for resource in RESOURCES for key in (resource.field, resource.score_key))


def _check_monitor(monitor: str) -> str:
    if not isinstance(monitor, str) or not monitor:
        raise ValueError(f'monitor is {monitor!r}; expected the key of a performance, such as "val_acc".')
    if monitor in _OWN_KEYS:
        raise ValueError(f"monitor is {monitor!r}, which PePRCallback logs itself; expected the key of a performance.")
    words = set(re.split(r"[^a-z0-9]+", monitor.lower()))
    if words & LOWER_IS_BETTER:
        raise ValueError(
            f"monitor is {monitor!r}, which is better the lower it is; PePR needs a performance in [0, 1] where higher "
            "is better, such as accuracy, AUROC or Dice."
        )
    return monitor


def _listed(resources: Sequence[str | Resource]) -> list[str | Resource]:
    return [resources] if isinstance(resources, (str, Resource)) else list(resources)


def _listing(keys: Iterable[str]) -> str:
    return ", ".join(sorted(keys)) or "none"


def _example_budget(resource: Resource) -> str:
    examples = {"energy_kwh": 0.5, "carbon_g": 100, "time_s": 3600, "memory_gb": 16, "data_samples": 1000000}
    return f"{resource.field}={examples.get(resource.field, 25000000)}"


def _is_performance(value: float) -> bool:
    tolerance = functional.PERFORMANCE_TOLERANCE
    return -tolerance <= value <= 1.0 + tolerance


def _stage(spent: Spent) -> Stage:
    return Stage(energy_uj=spent.energy_uj, time_ns=spent.time_ns)


def _plus(before: Report, merged: Report) -> Report:
    """What earlier fits of a run and this one have cost together."""
    names = dict.fromkeys([*before.stages, *merged.stages])
    known = [gb for gb in (before.memory_gb, merged.memory_gb) if gb is not None]
    counted = before.data_samples is not None and merged.data_samples is not None
    return Report(
        host="",
        stages={name: before.stages.get(name, Spent()).plus(merged.stages.get(name, Spent())) for name in names},
        total=before.total.plus(merged.total),
        data_samples=(before.data_samples or 0) + (merged.data_samples or 0) if counted else None,
        memory_gb=max(known, default=None),
    )


def _trainable(pl_module: LightningModule) -> int | None:
    """Trainable parameters, each counted once; None while some are still lazy."""
    parameters = [p for p in pl_module.parameters() if p.requires_grad]
    if any(isinstance(p, torch.nn.parameter.UninitializedParameter) for p in parameters):
        return None
    return sum(p.numel() for p in parameters)


def _batch_size(batch: Any) -> int | None:
    """The samples in a batch: the first dimension of its first tensor, as Lightning finds it; None if it has none."""
    while not isinstance(batch, torch.Tensor):
        if isinstance(batch, Mapping):
            batch = next(iter(batch.values()), None)
        elif isinstance(batch, (list, tuple)):
            batch = batch[0] if batch else None
        else:
            return _searched_batch_size(batch)
    return batch.shape[0] if batch.ndim else 1


def _searched_batch_size(batch: Any) -> int | None:
    from lightning.pytorch.utilities.data import extract_batch_size

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where it has a choice
        try:
            return int(extract_batch_size(batch))
        except Exception:
            return None


def _model_name(pl_module: LightningModule) -> str:
    """What to call the model: its `model_name`, such a hyperparameter, or its class."""
    hparams = getattr(pl_module, "hparams", {})
    named = getattr(pl_module, "model_name", None), *(hparams.get(key) for key in ("model_name", "model", "arch"))
    return next((name for name in named if isinstance(name, str) and name), type(pl_module).__name__)


def _record_path(trainer: Trainer) -> Path:
    """Where the record goes: beside what the first logger writes, as Lightning puts checkpoints. A collective."""
    folder: str | None = trainer.default_root_dir
    if trainer.loggers:
        logger = trainer.loggers[0]
        folder = getattr(logger, "log_dir", None)
        if folder is None and logger.save_dir is not None:
            version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
            folder = os.path.join(logger.save_dir, str(logger.name), version)
    return Path(trainer.strategy.broadcast(folder or trainer.default_root_dir)) / record.FILE_NAME


def _make_way(target: Path, run_id: str) -> None:
    """Rename another run's record, so that it is never overwritten."""
    if not target.exists():
        return
    try:
        other = RunRecord.load(target).run_id
    except ValueError:
        other = "unreadable"
    if other != run_id:
        aside = target.with_name(f"{target.stem}-{other[:8]}{target.suffix}")
        number = 1
        while aside.exists():
            number += 1
            aside = target.with_name(f"{target.stem}-{other[:8]}-{number}{target.suffix}")
        target.rename(aside)
