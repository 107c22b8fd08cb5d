"""Trains one model and leaves its record."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.seed import isolate_rng

from lightning_pepr.callbacks.pepr import PePRCallback
from lightning_pepr.space import ModelSpace
from lightning_pepr.study.classifier import TimmClassifier
from lightning_pepr.study.progress import Progress

__all__ = ["MONITOR", "Progress", "quiet", "train_model"]

MONITOR = "val_auroc"


def train_model(
    model_name: str,
    data: LightningDataModule,
    out: Path,
    *,
    epochs: int,
    num_classes: int = 2,
    lr: float = 5e-4,
    seed: int = 0,
    space: ModelSpace | None = None,
    carbon_intensity: float | str | None = None,
    accelerator: str = "auto",
    callbacks: Sequence[Callback] = (),
    on_progress: Callable[[Progress], None] | None = None,
    monitor: str = MONITOR,
    optimizer: str = "adam",
    weight_decay: float = 0.0,
    pretrained: bool = False,
    weights: str | None = None,
    precision: Any = "32-true",
    folder: Path | None = None,
    group: str = "",
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Train a timm model on one device, test its best epoch, and leave its record.

    Weights and order of the batches follow the seed; the random state of the process is as before afterwards.
    Denormal floats are flushed to zero: on images that are mostly black some architectures run into them, train
    several times as long on a CPU, and would be ranked by that.

    Args:
        model_name: Name of a model of timm.
        data: What to train on. It keeps what it has loaded, so give the same one for each of several models.
        out: The study's folder; the run gets `out/<model_name>/version_<n>`, with TensorBoard and CSV logs, the best
            checkpoint and `pepr.json`.
        epochs: How many epochs to train.
        num_classes: How many classes `data` has.
        lr: Learning rate of Adam.
        seed: Of weights and batches.
        space: The space over which to score while training; None logs and records costs alone.
        carbon_intensity: In g CO2e per kWh, or a country's code; None records no carbon.
        accelerator: As of `Trainer`: "auto" takes a GPU where there is one.
        callbacks: Further callbacks.
        on_progress: Called after each batch.
        monitor: The performance by which epochs are compared: "val_auroc" or "val_acc".
        optimizer: "adam", "adamw" or "sgd".
        weight_decay: Of the optimizer.
        pretrained: Whether to start from timm's pretrained weights.
        weights: A file with pretrained weights, instead of timm's.
        precision: As of `Trainer`.
        folder: Where the run goes, below `out`, instead of `<model_name>/version_<n>`.
        group: What the record is to be compared within, such as the data set.
        settings: What else decides what the run does, for the record.

    Returns:
        The folder of the run.

    Raises:
        KeyboardInterrupt: On Ctrl-C. (Lightning would end the process.)
    """
    _give_memory_back()
    if folder is None:
        tensorboard = TensorBoardLogger(out, name=model_name, default_hp_metric=False)
    else:
        tensorboard = TensorBoardLogger(out, name=str(folder.parent), version=folder.name, default_hp_metric=False)
    csv = CSVLogger(out, name=tensorboard.name, version=tensorboard.version)
    checkpoint = ModelCheckpoint(
        monitor=monitor, mode="max", filename=f"{{epoch}}-{{{monitor}:.3f}}", save_weights_only=True
    )
    meter = PePRCallback(monitor, space=space, carbon_intensity=carbon_intensity)
    reporters: list[Callback] = [] if on_progress is None else [_Reporter(on_progress, monitor)]
    if group or settings:
        reporters.append(_Label(meter, group, dict(settings or {})))
    with isolate_rng(), quiet(), _denormals_flushed():
        seed_everything(seed, verbose=False)
        trainer = Trainer(
            accelerator=accelerator,
            devices=1,
            max_epochs=epochs,
            precision=precision,
            logger=[tensorboard, csv],
            callbacks=[meter, checkpoint, *reporters, *callbacks],
            default_root_dir=out,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        module = TimmClassifier(
            model_name,
            num_classes=num_classes,
            lr=lr,
            optimizer=optimizer,
            weight_decay=weight_decay,
            pretrained=pretrained,
            weights=weights,
        )
        with _interruptible(trainer):
            trainer.fit(module, datamodule=data)
            trainer.test(module, datamodule=data, ckpt_path="best", verbose=False)
    assert trainer.log_dir is not None
    return Path(trainer.log_dir)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep from the terminal what Lightning says on every run; warnings that tell of trouble are still shown."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message in (
            r"The '\w+_dataloader' does not have many workers",  # the images are in memory
            r"Experiment logs directory .* exists and is not empty",  # TensorBoard's logs, of this run
            r".*LeafSpec.* is deprecated",  # between Lightning and torch
        ):
            warnings.filterwarnings("ignore", message=message)
        try:
            for logger in loggers:
                logger.setLevel(logging.WARNING)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def _denormals_flushed() -> Iterator[None]:
    """Flush denormal floats to zero in this thread, and in those that it starts."""
    flushed_before = bool(torch.tensor(2e-38) * 0.25 == 0)  # there is no other way to ask
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed_before)


@contextlib.contextmanager
def _interruptible(trainer: Trainer) -> Iterator[None]:
    """Make of Ctrl-C a `KeyboardInterrupt` again: Lightning ignores the signal from then on, and exits."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, before)
        raise KeyboardInterrupt from error


def _give_memory_back() -> None:
    """Return what the last model has freed, or the peak memory of the next would hold it, too."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # a C library other than glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class _Label(Callback):
    """Writes into the record what it is a record of, before anything can go wrong."""

    def __init__(self, meter: PePRCallback, group: str, settings: dict[str, Any]) -> None:
        self.meter = meter
        self.group = group
        self.settings = settings

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert self.meter.run is not None
        self.meter.run.group = self.group
        self.meter.run.settings = self.settings


class _Reporter(Callback):
    """Counts batches, and tells how far the run is."""

    def __init__(self, report: Callable[[Progress], None], monitor: str) -> None:
        self.report = report
        self.monitor = monitor
        self.done = 0
        self.total = 0.0
        self.performance: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        test_batches = len(trainer.datamodule.test_dataloader())  # type: ignore[attr-defined]
        each = trainer.num_training_batches + sum(trainer.num_val_batches)
        self.total = (trainer.max_epochs or 1) * each + test_batches
        self._tell(trainer, batches=0)

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        self._tell(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        self._tell(trainer)

    def on_test_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        self._tell(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.performance = float(trainer.callback_metrics[self.monitor])

    def _tell(self, trainer: Trainer, batches: int = 1) -> None:
        self.done += batches
        epochs = trainer.max_epochs or 1
        self.report(
            Progress(
                share=min(self.done / self.total, 1.0),
                epoch=min(trainer.current_epoch + 1, epochs),
                epochs=epochs,
                performance=self.performance,
            )
        )
