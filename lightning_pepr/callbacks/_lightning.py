"""What Lightning keeps private and no public way replaces: each attribute is read in one function, and here only."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch.distributed as dist
from lightning.fabric.utilities.logger import _convert_params, _flatten_dict, _sanitize_params
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from lightning.pytorch.trainer.connectors.logger_connector.result import _ResultMetric
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from lightning_pepr.callbacks._traceless import without_trace


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


def published(trainer: Trainer) -> dict[str, Tensor]:
    """What callbacks see of what was logged, as far as Lightning has computed it.

    Lightning's own `callback_metrics` computes whatever is pending, and keeps it: a metric that is updated later would
    be wrong.
    """
    return trainer._logger_connector._callback_metrics


def pending(trainer: Trainer, key: str, otherwise: Any = None) -> Any:
    """The value so far of a key that is logged in this epoch and not published; `otherwise`, if it is not logged.

    None, if it cannot be computed: without samples many metrics raise. To be asked when the epoch's batches are over.
    A collective: each rank must ask. Nothing of it can be noticed afterwards, so it does not count as computed.
    """
    result = _waiting(trainer).get(key)
    if not _alike_on_all_ranks(result):
        return otherwise if result is None else None
    if result is None:
        return otherwise
    if result._computed is not None:
        return result._computed
    with without_trace(result):
        try:
            # Past the wrapper of `compute`, which would keep what it computes.
            value = _ResultMetric.compute(result)
        except Exception:  # Lightning raises it anew if it is so still when it computes the metric itself
            if _is_torn(result):
                raise
            return None
    return value.detach() if isinstance(value, Tensor) and _has_samples(result) else None


def logged_keys(trainer: Trainer) -> frozenset[str]:
    """The keys that callbacks see or are about to see."""
    return frozenset([*published(trainer), *_waiting(trainer)])


def put(trainer: Trainer, values: Mapping[str, Tensor], prog_bar: Mapping[str, float], logged: bool) -> None:
    """Put values where callbacks, the progress bar and, if they are logged, loggers' owners find them."""
    connector = trainer._logger_connector
    connector._callback_metrics.update(values)
    connector._progress_bar_metrics.update(prog_bar)
    if logged:
        connector._logged_metrics.update(values)


def _waiting(trainer: Trainer) -> dict[str, _ResultMetric]:
    """What is logged on epochs since the last one, by the names that callbacks will know it by."""
    waiting: dict[str, _ResultMetric] = {}
    results = trainer._results
    if results is not None:
        for result in results.values():
            if result.meta.on_epoch and not result.has_reset:
                waiting.update(dict.fromkeys(results._forked_name(result, on_step=False), result))
    return waiting


def _alike_on_all_ranks(result: _ResultMetric | None) -> bool:
    """Whether all ranks can compute what syncs them: else one would wait for another for ever. A collective."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return True
    shapes: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(shapes, None if result is None else (_syncs(result), _shape_of(result)))
    return not any(shape and shape[0] for shape in shapes) or all(shape == shapes[0] for shape in shapes)


def _syncs(result: _ResultMetric) -> bool:
    sync = result.meta.sync
    return sync.should and not sync.rank_zero_only if result.is_tensor else True


def _shape_of(result: _ResultMetric) -> list[Any]:
    """What must be the same of a metric's states, so that syncing them asks each rank for the same exchanges."""
    shape: list[Any] = []
    for part in [] if result.is_tensor else result.value.modules():
        for name, reduction in part._reductions.items() if isinstance(part, Metric) else ():
            state = getattr(part, name)
            tensors = state if isinstance(state, list) else [state]
            # A list that is concatenated is one tensor by then.
            count = bool(tensors) if reduction is dim_zero_cat else len(tensors)
            kinds = {(str(each.dtype), each.ndim) for each in tensors if isinstance(each, Tensor)}
            shape.append((name, count, sorted(kinds)))
    return shape


def _has_samples(result: _ResultMetric) -> bool:
    """Whether this rank has updated a metric; one that wraps others does not say."""
    metric = result.value
    return result.is_tensor or type(metric)._wrap_compute is not Metric._wrap_compute or metric.update_called


def _is_torn(result: _ResultMetric) -> bool:
    """Whether an error came while the ranks exchanged a metric: they cannot go on together."""
    metric = result.value
    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    if not several or result.is_tensor:
        return several
    wrapped = type(metric)._wrap_compute is Metric._wrap_compute
    return wrapped and metric._to_sync and not metric._is_synced


def acts_after_validation(trainer: Trainer, callback: Callback) -> bool:
    """Whether an `EarlyStopping` or `ModelCheckpoint` acts after each validation and not at the end of the epoch."""
    waits = getattr(callback, "_should_save_on_train_epoch_end", None)
    return getattr(callback, "_check_on_train_epoch_end", None) is False or (waits is not None and not waits(trainer))


def acts_in_epoch(trainer: Trainer, callback: Callback) -> bool:
    """Whether an `EarlyStopping` or `ModelCheckpoint` looks at its key in this epoch."""
    if getattr(callback, "strict", True) is False:  # such an EarlyStopping waits for its key
        return False
    every = getattr(callback, "_every_n_epochs", 1)  # of a ModelCheckpoint; 0 if it goes by steps
    return not every or (trainer.current_epoch + 1) % every == 0


def saves_at_step(trainer: Trainer, step: int) -> bool:
    """Whether a `ModelCheckpoint` saves at this step."""
    periods = (getattr(each, "_every_n_train_steps", 0) for each in callbacks_of(trainer))
    return any(period and step % period == 0 for period in periods)


def searches_first(trainer: Trainer) -> bool:
    """Whether the fit begins with a search for a batch size or a learning rate, which replaces all callbacks."""
    return any(isinstance(each, (BatchSizeFinder, LearningRateFinder)) for each in callbacks_of(trainer))


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
