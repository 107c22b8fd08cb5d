"""Train one model and leave its record."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import LambdaCallback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.seed import isolate_rng

from lightning_pepr.callbacks.pepr import PePRCallback
from lightning_pepr.study.classifier import TimmClassifier
from lightning_pepr.study.data.images import ImageData
from lightning_pepr.study.runs import Run

OnProgress = Callable[[float, int, int], None]
"""Called after each batch with the share of all batches that is done, the epoch from 1, and how many there will be."""


def train(
    run: Run,
    data: ImageData,
    out: Path,
    *,
    in_study: bool = False,
    callbacks: Sequence[Callback] = (),
    on_progress: OnProgress | None = None,
) -> Path:
    """Train a timm model on one device, test its best epoch, and leave its record.

    Weights and order of the batches follow the seed; the random state of the process is as before afterwards.
    Denormal floats are flushed to zero: on images that are mostly black some architectures run into them, train
    several times as long on a CPU, and would be ranked by that.

    Returns the folder of the run: `<model>/version_<n>` below `out`, or in a study's folder `run.folder`, and then the
    record has its group and settings.
    """
    settings = run.settings
    name, version = (str(run.folder.parent), run.folder.name) if in_study else (run.model.name, None)
    tensorboard = TensorBoardLogger(out, name=name, version=version, default_hp_metric=False)
    csv = CSVLogger(out, name=name, version=tensorboard.version)
    checkpoint = ModelCheckpoint(
        monitor=settings.monitor, mode="max", filename=f"{{epoch}}-{{{settings.monitor}:.3f}}", save_weights_only=True
    )
    meter = PePRCallback(settings.monitor, space=settings.space, carbon_intensity=settings.carbon_intensity)
    reporters: list[Callback] = [] if on_progress is None else [_Reporter(on_progress)]

    def label(*_: Any) -> None:
        """Write into the record which run it is of, before anything can go wrong."""
        assert meter.run is not None
        meter.run.group, meter.run.settings = run.group, run.to_dict()

    if in_study:
        reporters.append(LambdaCallback(on_fit_start=label))
    _give_memory_back()
    with isolate_rng(), quiet(), _denormals_flushed():
        seed_everything(run.seed, verbose=False)
        trainer = Trainer(
            accelerator=settings.accelerator,
            devices=1,
            max_epochs=settings.epochs,
            precision=settings.precision,  # type: ignore[arg-type]  # Lightning says what is wrong with it
            logger=[tensorboard, csv],
            callbacks=[meter, checkpoint, *reporters, *callbacks],
            default_root_dir=out,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        module = TimmClassifier(
            run.model.name,
            num_classes=data.num_classes,
            lr=settings.lr,
            optimizer=settings.optimizer,
            weight_decay=settings.weight_decay,
            pretrained=run.pretrained,
            weights=run.weights,
        )
        with _interruptible(trainer):
            trainer.fit(module, datamodule=data)
            trainer.test(module, datamodule=data, ckpt_path="best", verbose=False)
    assert trainer.log_dir is not None
    return Path(trainer.log_dir)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep from the terminal what Lightning says on every run; warnings of trouble are still shown."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        for message in (
            r"The '\w+_dataloader' does not have many workers",  # the images are in memory
            r"Experiment logs directory .* exists and is not empty",  # TensorBoard's logs, of this run
            r".*LeafSpec.* is deprecated",  # between Lightning and torch
        ):
            warnings.filterwarnings("ignore", message=message)
        logging.disable(logging.INFO)
        try:
            yield
        finally:
            logging.disable(before)


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
    """Return what the last model has freed, or the peak memory of the next would include it."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # a C library other than glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class _Reporter(Callback):
    """Count batches, and report how far the run is."""

    def __init__(self, report: OnProgress) -> None:
        self.report = report
        self.done = 0
        self.total = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        test_batches = len(trainer.datamodule.test_dataloader())  # type: ignore[attr-defined]
        each = trainer.num_training_batches + sum(trainer.num_val_batches)
        self.total = (trainer.max_epochs or 1) * each + test_batches
        self._report(trainer, batches=0)

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        self._report(trainer)

    on_validation_batch_end = on_test_batch_end = on_train_batch_end

    def _report(self, trainer: Trainer, batches: int = 1) -> None:
        self.done += batches
        epochs = trainer.max_epochs or 1
        self.report(min(self.done / self.total, 1.0), min(trainer.current_epoch + 1, epochs), epochs)
