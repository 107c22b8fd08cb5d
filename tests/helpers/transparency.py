"""Modules that log in every hook that may, fitted with and without our callbacks, and all that can be seen of a fit.

As a script, it compares cells on the ranks of a torchrun, and each rank writes what differed to a file.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.trainer.connectors.logger_connector.fx_validator import _FxValidator
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import BinaryAccuracy

from lightning_pepr import CostBudget, ModelSpace, PePRCallback
from lightning_pepr.callbacks._checks import OWN_KEYS
from tests.helpers.contract import ListLogger
from tests.helpers.metrics import Kept, Restless

HOOKS = [
    hook for hook, allowed in _FxValidator.functions.items() if allowed and not hook.startswith(("on_test", "test_"))
]
IN_VALIDATION = [hook for hook in HOOKS if "validation" in hook]
IN_TRAINING = [hook for hook in HOOKS if hook not in IN_VALIDATION]


class Correct(BinaryAccuracy):
    """The share of predictions that are above a half; without any it is 0, and not NaN."""

    def update(self, value: Any) -> None:  # type: ignore[override]
        super().update(torch.tensor([float(value)]), torch.tensor([1]))


KINDS: dict[str, Callable[[], Metric]] = {
    "mean": MeanMetric,
    "correct": Correct,
    "kept": Kept,
    "restless": Restless,
}


@dataclass(frozen=True)
class Cell:
    """Where and how a module logs what `EarlyStopping` watches.

    Args:
        hook: Of the module, in which it logs.
        kind: What it logs: a plain "value", or a metric of `KINDS`.
        updates: When the metric is updated: "before" or "after" it is logged, in the "steps", and "late", which is in
            the module's own `on_train_epoch_end`.
        validates: Whether there is validation.
        log: Options of `self.log`.
        options: Of the trainer.
    """

    hook: str
    kind: str = "mean"
    updates: tuple[str, ...] = ("steps",)
    validates: bool = True
    log: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        extra = [f"{key}={value}" for key, value in (self.log | self.options).items()]
        return "-".join([self.hook, self.kind, *self.updates, *["alone"] * (not self.validates), *extra])

    @property
    def in_time(self) -> bool:
        """Whether the module has logged it, of some samples, by when the callback looks."""
        return self.updates != ("late",) and self.hook != "on_train_epoch_end"


class Module(LightningModule):
    """Learns a little by chance, and logs as the cell says; what comes late grows with the epochs."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell
        self.net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5), torch.nn.Linear(2, 1))
        if cell.kind != "value":
            self.metric = KINDS[cell.kind]()
        if cell.validates:
            self.val_dataloader = lambda: DataLoader(TensorDataset(torch.randn(4, 2)), batch_size=2)  # type: ignore[method-assign]

    @property
    def now(self) -> float:
        return (1 + min(self.current_epoch, 5)) / 8

    def update(self, moment: str) -> None:
        if self.cell.kind != "value" and moment in self.cell.updates:
            value = self.now if moment == "late" or "late" not in self.cell.updates else 0.125
            if self.cell.log.get("on_step"):
                self.metric(value)  # `update` keeps nothing of the step
            else:
                self.metric.update(value)

    def within(self, hook: str) -> None:
        step = "validation_step" if self.cell.hook in IN_VALIDATION else "training_step"
        if hook == step:
            self.update("steps")
        if hook == "on_train_epoch_end":
            self.update("late")
        if hook == self.cell.hook:
            self.update("before")
            options = {"on_step": False, "on_epoch": True, "batch_size": 1, **self.cell.log}
            self.log("watched", self.now if self.cell.kind == "value" else self.metric, **options)
            self.update("after")

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.within("training_step")
        self.log("steady", 0.5, on_step=False, on_epoch=True, batch_size=1)
        loss: torch.Tensor = (self.net(batch[0]) - torch.rand(2, 1)).square().mean()
        self.log("loss", loss, batch_size=2, prog_bar=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.within("validation_step")
        self.log("val_loss", self.net(batch[0]).square().mean(), batch_size=2, sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.randn(4, 2)), batch_size=2, shuffle=True)


def _logging_in(hook: str) -> Callable[..., Any]:
    def wrapped(self: Module, *args: Any, **kwargs: Any) -> Any:
        self.within(hook)
        return getattr(super(Module, self), hook)(*args, **kwargs)

    return wrapped


for _hook in HOOKS:
    if not _hook.endswith("_step") or _hook in ("optimizer_step", "on_before_optimizer_step"):
        setattr(Module, _hook, _logging_in(_hook))


class Turned(ListLogger):
    """Takes the step first, as some people's loggers do."""

    def log_metrics(self, step: Any, metrics: Any) -> None:  # type: ignore[override]
        super().log_metrics(metrics, step)


class Witness(Callback):
    """Notes every random state, where a callback can be."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, str]] = []

    def note(self, hook: str, trainer: Trainer) -> None:
        states = [torch.get_rng_state().numpy(), np.random.get_state()[1], repr(random.getstate()).encode()]  # type: ignore[index]
        self.seen.append((hook, trainer.current_epoch, sha256(b"".join(map(bytes, states))).hexdigest()))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.note("start", trainer)

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        self.note("batch", trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.note("validation", trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.note("end", trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.note("over", trainer)


def ours(monitor: str) -> list[Callback]:
    space = ModelSpace.budget(time_s=60)
    return [PePRCallback(monitor, space=space), CostBudget(time_s=1e6, every_n_steps=1, on="predicted")]


def watch(cell: Cell, root: str, *callbacks: Callback) -> dict[str, Any]:
    """Fit the cell's module, and return all that can be seen of it but what is logged under our own keys."""
    seed_everything(1, verbose=False)
    module, logger, witness = Module(cell), Turned(), Witness()
    stop = EarlyStopping("watched", mode="max", patience=2, strict=False, check_finite=False)
    trainer = Trainer(
        accelerator="cpu",
        devices=int(os.environ.get("WORLD_SIZE", "1")),
        callbacks=[stop, *callbacks, witness],
        logger=logger,
        log_every_n_steps=1,
        default_root_dir=root,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": 4, **cell.options},
    )
    error = None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            trainer.fit(module)
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
    lines = [(step, _plain(metrics)) for step, metrics in logger.lines if not OWN_KEYS & metrics.keys()]
    mixed = [
        metrics for _, metrics in logger.lines if OWN_KEYS & metrics.keys() and metrics.keys() - OWN_KEYS != {"epoch"}
    ]
    return {
        "error": error,
        "epochs": trainer.current_epoch,
        "stopped": stop.stopped_epoch,
        "best": float(stop.best_score).hex(),
        "random": witness.seen,
        "lines": lines,
        "mixed": mixed,
        **{
            name: _plain({key: value for key, value in getattr(trainer, name).items() if key not in OWN_KEYS})
            for name in ("callback_metrics", "logged_metrics", "progress_bar_metrics")
        },
        "weights": _plain(
            {f"{name} {n}": x for name, w in module.state_dict().items() for n, x in enumerate(w.flatten())}
        ),
        "metric": getattr(getattr(module, "metric", None), "_update_count", None),
        "computed": sum("was called before the ``update``" in str(warning.message) for warning in warned),
    }


def _plain(metrics: dict[str, Any]) -> dict[str, str]:
    return {key: float(value).hex() for key, value in metrics.items()}


def differences(cell: Cell, root: str) -> list[str]:
    """What is otherwise with our callbacks, monitoring another key and, where it is there in time, the same."""
    without = watch(cell, root)
    # So that nothing is compared with an error, or with a training that logs nothing.
    found = [f"{cell}, without: {without['error']}"] if without["error"] else []
    found += [] if "watched" in without["callback_metrics"] and without["lines"] else [f"{cell}: nothing is logged"]
    for monitor in ["steady", *["watched"] * cell.in_time]:
        seen = watch(cell, root, *ours(monitor))
        found += [
            f"{cell}, monitor={monitor}: {what} is {value}, not {without[what]}"
            for what, value in seen.items()
            if value != without[what]
        ]
    return found


EVERYWHERE = [
    *(Cell(hook, "value", validates=validates) for hook in IN_TRAINING for validates in (True, False)),
    *(
        Cell(hook, kind, updates, validates)
        for hook in IN_TRAINING
        for kind, updates, validates in [
            ("mean", ("before",), True),
            ("mean", ("after",), False),
            ("correct", ("steps",), True),
            ("kept", ("late",), False),
            ("restless", ("steps", "late"), True),
        ]
    ),
    *(
        Cell(hook, kind, updates)
        for hook in IN_VALIDATION
        for kind, updates in [
            ("value", ()),
            ("mean", ("before",)),
            ("mean", ("after",)),
            ("restless", ("steps",)),
            ("mean", ("steps", "late")),
        ]
    ),
]
STEPS = ["training_step", "on_train_batch_start", "on_train_batch_end"]
SPECIAL = [
    *(Cell(hook, kind, ("steps",), log={"on_step": True}) for hook in STEPS for kind in ("value", "mean", "restless")),
    *(
        Cell(hook, kind, ("steps", "late"), options={"val_check_interval": 0.5})
        for hook in ("on_train_epoch_start", "training_step", "validation_step")
        for kind in ("mean", "restless")
    ),
    Cell("training_step", "value", log={"reduce_fx": "max"}),
    Cell("on_train_epoch_start", "mean", ("late",), options={"check_val_every_n_epoch": 2}),
    Cell("on_train_epoch_start", "restless", ("late",)),
    Cell("training_step", "kept", ("steps", "late"), options={"max_epochs": 9}),
]


ON_TWO_RANKS = [*EVERYWHERE[::7], *SPECIAL]


def main() -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        found = [difference for cell in ON_TWO_RANKS for difference in differences(cell, folder)]
    Path(f"{sys.argv[1]}.{os.environ['RANK']}").write_text(json.dumps(found))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()  # else a rank may abort while it exits after the other


if __name__ == "__main__":
    main()
