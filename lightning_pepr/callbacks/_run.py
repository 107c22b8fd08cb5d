"""A run over its fits: its record, what it has spent, and its checkpoint."""

from __future__ import annotations

import reprlib
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from lightning.fabric.utilities import rank_zero_warn
from lightning.pytorch import LightningModule, Trainer
from torch.nn.parameter import is_lazy

from lightning_pepr.accounting.tracker import NO_INTENSITY, CostTracker
from lightning_pepr.callbacks._schedule import KEPT, End, costs_of
from lightning_pepr.callbacks._writer import RecordWriter
from lightning_pepr.carbon import Intensity
from lightning_pepr.cost import CARBON, ENERGY
from lightning_pepr.record import Epoch, RunRecord
from lightning_pepr.record.journal import Lines, read_lines
from lightning_pepr.utilities.json import read_field

STATE_SCHEMA = "lightning-pepr/state/1"


@dataclass
class Run:
    """A run over its fits."""

    record: RunRecord
    tracker: CostTracker
    writer: RecordWriter
    intensity: Intensity | None
    name: str | None = None  # that the user gave
    lines: Lines = field(default_factory=Lines)  # the evaluations as a checkpoint has them
    ends: dict[int, End] = field(default_factory=dict)  # what had been spent by the end of each epoch
    begun: bool = False  # whether a fit has started

    def describe(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what the model is called, and by what it differs from others of its class."""
        name = self.name or model_name(pl_module)
        self.record.model, self.record.named = name or type(pl_module).__name__, name is not None
        self.record.hyperparameters = plain_hyperparameters(pl_module, getattr(trainer, "datamodule", None))
        self.count_parameters(pl_module)

    def count_parameters(self, pl_module: LightningModule) -> None:
        """Count the trainable parameters: the largest number counts, since some are frozen at first, or sharded."""
        params = trainable_parameters(pl_module)
        if params is not None:
            self.record.params = max(params, self.record.params or 0)

    def missing(self) -> dict[str, str]:
        """The fields that cannot be measured here, with the reason."""
        reason = self.tracker.why_no_energy()
        if reason:
            return {ENERGY.field: reason, CARBON.field: reason}
        return {CARBON.field: NO_INTENSITY} if self.intensity is None else {}

    def update_costs(self) -> None:
        """Write what was gathered last into the record."""
        self.tracker.write_to(self.record, self.intensity)

    def gather(self) -> None:
        """Gather what all ranks have spent up to now. A collective."""
        self.tracker.switch_stage(self.tracker.stage)
        self.tracker.gather()

    def finish(self) -> None:
        """End the run as planned, with every reading settled. A collective."""
        self.tracker.switch_stage(None, wait=True)
        self.tracker.gather()
        self.update_costs()
        self.tracker.finish()
        self.tracker.close()
        self.record.status = "finished"

    def cut_off(self, exception: BaseException, rank: int, ranks: int) -> None:
        """End the run by an exception, with what this rank knows: the others may be gone."""
        self.tracker.report_alone(rank, ranks)
        self.update_costs()
        self.tracker.finish()
        # SIGTERMException is a SystemExit; Optuna's TrialPruned ends a trial that falls behind.
        meant = isinstance(exception, (KeyboardInterrupt, SystemExit)) or type(exception).__name__ == "TrialPruned"
        self.record.status = "interrupted" if meant else "failed"
        self.record.error = f"{type(exception).__name__}: {exception}"

    def to_dict(self) -> dict[str, Any]:
        """The run up to the last gathering, as plain types, for a checkpoint."""
        return {
            "schema": STATE_SCHEMA,
            "run_id": self.record.run_id,
            "started": self.record.started,
            "monitor": self.record.monitor,
            "params": self.record.params,
            "record": self.writer.location,
            "evaluations": self.lines.of(self.record.epochs),
            "spent": self.tracker.to_dict(),
            "ends": dict(self.ends),
        }

    def resume(self, state: object, monitor: str) -> bool:
        """Go on with the run of a checkpoint; whether it is one. What of it cannot be read is a gap, and no error."""
        if not isinstance(state, Mapping):
            return False
        record, tracker = self.record, self.tracker
        spent, run_id = state.get("spent"), state.get("run_id")
        if record.run_id == run_id:  # what this process has spent on a run stays spent
            if tracker.stands_still and tracker.to_dict() == spent:
                # Saved a moment ago and restored within the fit, without a batch between that callbacks were shown:
                # a search for a learning rate or a batch size, after which training goes on as if it had not been.
                tracker.leave_out()
            return True
        if isinstance(run_id, str) and run_id:
            record.run_id = run_id
        record.started = read_field(state, "started", str) or record.started
        params = read_field(state, "params", int)
        record.params = params if params is not None and 0 <= params < 2**63 else None
        record.epochs = _read_evaluations(state)
        if (before := state.get("monitor", monitor)) != monitor:
            record.epochs = [_monitored_anew(epoch, str(before), monitor) for epoch in record.epochs]
        # What is saved after validation lacks the end of its epoch.
        self.ends = {epoch.epoch: costs_of(epoch.cost) for epoch in record.epochs[-KEPT:]}
        self.ends |= read_field(state, "ends", dict[int, End]) or {}
        tracker.resume(spent)
        return True


def _read_evaluations(state: Mapping[str, Any]) -> list[Epoch]:
    """The evaluations of a state, as far as they can be read."""
    if (epochs := read_field(state, "epochs", list[Epoch])) is not None:
        return epochs  # of a state from before there were schemas
    broken: list[str] = []
    lines = read_field(state, "evaluations", str)
    epochs = read_lines(lines or "", broken.append)
    if lines is None or broken:
        reason = "; ".join(broken) or f"evaluations is {reprlib.repr(state.get('evaluations'))}; expected lines of text"
        rank_zero_warn(
            f"PePRCallback: the checkpoint's evaluations cannot all be read, and the others count: {reason}."
        )
    return epochs


def _monitored_anew(epoch: Epoch, before: str, monitor: str) -> Epoch:
    """An evaluation of a run that from now on is scored by another performance."""
    others = dict(epoch.others)
    performance = others.pop(monitor, None)
    if epoch.performance is not None and before:
        others[before] = epoch.performance
    return msgspec.structs.replace(epoch, performance=performance, others=others, scores={})


_RUNS: weakref.WeakKeyDictionary[Trainer, tuple[weakref.ref[LightningModule], str, Run]] = weakref.WeakKeyDictionary()


def recall(trainer: Trainer, pl_module: LightningModule, state_key: str) -> Run | None:
    """The run that a callback of this key has begun with both: `configure_callbacks` makes a new callback."""
    module, key, run = _RUNS.get(trainer, (lambda: None, "", None))
    return run if module() is pl_module and key == state_key else None


def remember(trainer: Trainer, pl_module: LightningModule, state_key: str, run: Run | None) -> None:
    """Keep a run for `recall`, as long as the trainer lives; None forgets it."""
    if run is None:
        _RUNS.pop(trainer, None)
    else:
        _RUNS[trainer] = weakref.ref(pl_module), state_key, run


def find_state(checkpoint: Mapping[str, Any], key: str) -> Any:
    """The state of a run that a checkpoint has under another monitor or prefix; None if it has one under the key."""
    states = checkpoint.get("callbacks")
    if not isinstance(states, Mapping) or states.get(key):
        return None
    return next((state for name, state in states.items() if str(name).startswith("PePRCallback") and state), None)


def model_name(pl_module: LightningModule) -> str | None:
    """What the model is called: its `model_name`, or a hyperparameter of that kind; None if nothing says."""
    hparams = getattr(pl_module, "hparams", {})
    names = [getattr(pl_module, "model_name", None), *(hparams.get(key) for key in ("model_name", "model", "arch"))]
    return next((name for name in names if isinstance(name, str) and name), None)


def plain_hyperparameters(*owners: Any) -> dict[str, Any]:
    """The hyperparameters of a module and a data module as plain types: what is none is called by its class's name."""
    params: dict[str, Any] = {}
    try:
        for owner in owners:
            for name, value in getattr(owner, "hparams", {}).items():
                params[str(name)] = _plain(value)
    except Exception as error:  # values of the user's own types may do anything
        rank_zero_warn(f"PePRCallback: hyperparameters cannot be read, and are not all in the record: {error!r}.")
    return params


def _plain(value: Any, depth: int = 0) -> Any:
    if value is None or type(value) in (bool, int, float):
        return value
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        return str(value)[:200]
    if depth < 3 and isinstance(value, Mapping):
        return {str(key): _plain(each, depth + 1) for key, each in value.items()}
    if depth < 3 and isinstance(value, (list, tuple)) and len(value) <= 100:
        return [_plain(each, depth + 1) for each in value]
    return getattr(value, "__name__", type(value).__name__)


def trainable_parameters(pl_module: LightningModule) -> int | None:
    """Count the trainable parameters, each once; None while some are still lazy."""
    parameters = [parameter for parameter in pl_module.parameters() if parameter.requires_grad]
    return None if any(map(is_lazy, parameters)) else sum(parameter.numel() for parameter in parameters)
