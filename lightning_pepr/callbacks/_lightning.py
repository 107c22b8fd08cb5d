"""What Lightning keeps private and no public way replaces: each attribute is read in one function, and here only."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, cast

from lightning.fabric.utilities.logger import _convert_params, _flatten_dict, _sanitize_params
from lightning.pytorch import Callback, Trainer


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """The trainer's callbacks, which Lightning sets where type checkers do not look."""
    return cast("list[Callback]", trainer.callbacks)  # type: ignore[attr-defined]


def put_first(trainer: Trainer, callback: Callback) -> None:
    """Put a callback in front of the others, in a new list: Lightning may be iterating over the old one."""
    others = [each for each in callbacks_of(trainer) if each is not callback]
    trainer.callbacks = [callback, *others]  # type: ignore[attr-defined]


def is_debugging(trainer: Trainer) -> bool:
    """Whether this is a `fast_dev_run`, which leaves no files."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def logged_step(trainer: Trainer, epoch_ended: bool) -> int:
    """The step at which `self.log` logs now; Lightning counts one back when the epoch has ended."""
    return trainer.fit_loop.epoch_loop._batches_that_stepped - int(epoch_ended)


def acts_after_validation(trainer: Trainer, callback: Callback) -> bool:
    """Whether an `EarlyStopping` or `ModelCheckpoint` acts after each validation and not at the end of the epoch."""
    waits = getattr(callback, "_should_save_on_train_epoch_end", None)
    return getattr(callback, "_check_on_train_epoch_end", None) is False or (waits is not None and not waits(trainer))


def metric_name(logger: Any, name: str) -> str:
    """The name under which a logger has a metric."""
    prefix = getattr(logger, "_prefix", "")
    return f"{prefix}{logger.LOGGER_JOIN_CHAR}{name}" if prefix else name


def syncs_tensorboard(logger: Any) -> bool:
    """Whether a `WandbLogger` takes its steps from TensorBoard."""
    return bool(getattr(logger, "_wandb_init", {}).get("sync_tensorboard"))


def lists_placeholder(logger: Any) -> bool:
    """Whether a `TensorBoardLogger` lists `hp_metric` alone as the column of its table of hyperparameters."""
    return bool(getattr(logger, "_default_hp_metric", False))


def hyperparameters_of(trainer: Trainer) -> dict[str, Any]:
    """The hyperparameters that Lightning logs when the fit begins, of the module and the data module."""
    params: dict[str, Any] = {}
    for owner in (trainer.lightning_module, getattr(trainer, "datamodule", None)):
        if owner is not None and owner._log_hyperparams:
            params |= dict(owner.hparams_initial)
    params.pop("_class_path", None)  # LightningCLI's own
    return params


def write_hyperparameters(logger: Any, params: Any, columns: Sequence[str] = ()) -> None:
    """Write to a `TensorBoardLogger`'s table of hyperparameters, which are flattened here as Lightning does.

    With `columns` it lists these metrics, without a run; else it adds the run without a list, to which TensorBoard
    then adds every metric there is.
    """
    # The module beside the writer: torch's, or tensorboardX's where there is no TensorBoard.
    package = type(logger.experiment).__module__.removesuffix(".writer")
    hparams = importlib.import_module(f"{package}.summary").hparams
    listed, begin, end = hparams(_sanitize_params(_flatten_dict(_convert_params(params))), dict.fromkeys(columns, 0.0))
    for summary in [listed] if columns else [begin, end]:
        logger.experiment._get_file_writer().add_summary(summary, 0)


def loaders_of(trainer: Trainer) -> tuple[Any, bool]:
    """The loaders that the loop which runs draws from, and whether each of its batches holds one of each."""
    if trainer.training:
        return trainer.train_dataloader, True
    loop = trainer._evaluation_loop
    combined = loop._combined_loader
    if combined is None:
        return None, False
    return (combined.flattened, False) if loop._is_sequential else (combined.iterables, True)


def logged_sizes(trainer: Trainer) -> tuple[dict[str, tuple[int, Any]], int | None]:
    """By each value that is averaged over the epoch, its updates and the sum of the sizes of its batches so far.

    Also the size that Lightning itself took for the batch that runs, where `self.log` was not given one.
    """
    results = trainer._results
    if results is None:
        return {}, None
    averaged = {
        key: (metric._update_count, metric.cumulated_batch_size)
        for key, metric in results.items()
        if metric.is_tensor and metric.meta.is_mean_reduction and metric.meta.on_epoch
    }
    return averaged, results.batch_size
