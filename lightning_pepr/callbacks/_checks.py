"""Checks what is monitored, and by whom, so that a mistake is reported before it costs a training."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lightning.fabric.utilities import rank_zero_warn
from lightning.pytorch import Callback, Trainer

from lightning_pepr.callbacks._lightning import acts_after_validation, callbacks_of
from lightning_pepr.callbacks._scorer import Scorer
from lightning_pepr.cost import RESOURCES, Resource
from lightning_pepr.errors import PePRError

BUDGET_USED = "budget_used"  # the key of the used share of a budget
FORECAST = "forecast_"  # the prefix of a cost's field where the whole run's is forecast
OWN_KEYS = frozenset([BUDGET_USED, *(k for r in RESOURCES for k in (r.field, r.score_key, FORECAST + r.field))])

LOWER_IS_BETTER = re.compile(
    r"(?<![a-z0-9])(loss|losses|error|err|mse|rmse|mae|mape|nll|perplexity|ppl|wer|cer|fid|hausdorff|brier|ece|fpr|fnr)"
    r"(?![a-z0-9])",
    re.IGNORECASE,
)
EXAMPLES = {"energy_kwh": 0.5, "carbon_g": 100, "time_s": 3600, "memory_gb": 16, "data_samples": 10**6, "params": 10**7}


def key_in_testing(monitor: str) -> str:
    """The key of the test performance that goes with one on validation data.

    >>> key_in_testing("val_acc"), key_in_testing("validation/acc"), key_in_testing("valid_f1"), key_in_testing("acc")
    ('test_acc', 'test/acc', 'test_f1', 'acc')
    """
    return re.sub(r"(?<![a-z])(valid|validation|eval)(?![a-z])|val(?![a-z])", "test", monitor)


def check_key(monitor: str) -> str:
    """Return the key of a performance, or raise a `PePRError` if it cannot be one."""
    if not isinstance(monitor, str) or not monitor:
        raise PePRError(f'monitor is {monitor!r}; expected the key of a performance, such as "val_acc".')
    if monitor in OWN_KEYS:
        raise PePRError(f"monitor is {monitor!r}, which PePRCallback logs itself; expected the key of a performance.")
    if LOWER_IS_BETTER.search(monitor):
        raise PePRError(
            f"monitor is {monitor!r}, which is better the lower it is; PePR needs a performance in [0, 1] where higher "
            "is better, such as accuracy, AUROC or Dice."
        )
    return monitor


def check_text(name: str, value: object) -> str:
    """Return an argument that is a text, or raise a `PePRError`."""
    if not isinstance(value, str):
        raise PePRError(f"{name} is {value!r}; expected a text.")
    return value


def check_settings(settings: object) -> dict[str, Any]:
    """Return what was given as settings, or raise a `PePRError` if a record cannot hold it."""
    if not isinstance(settings, Mapping) and settings is not None:
        raise PePRError(f'settings is {settings!r}; expected names and plain values, such as {{"seed": 0}}.')
    plain = {str(name): value for name, value in (settings or {}).items()}
    try:
        json.dumps(plain)
    except (TypeError, ValueError) as error:
        raise PePRError(f"settings is {settings!r}; expected plain values, as JSON has them ({error}).") from None
    return plain


def watchers(trainer: Trainer) -> Iterator[tuple[Callback, str, Resource]]:
    """The callbacks that monitor a score or a cost of ours, with the key and its resource."""
    for callback in callbacks_of(trainer):
        key = getattr(callback, "monitor", None)
        for resource in RESOURCES:
            if key in (resource.score_key, resource.field):
                yield callback, str(key), resource


def check_watchers(trainer: Trainer, monitor: str, scorer: Scorer, missing: Mapping[str, str]) -> None:
    """Raise a `PePRError` if a callback monitors what will not be there; `missing` are fields and the reasons."""
    for callback, key, resource in watchers(trainer):
        watches = f"{type(callback).__name__} monitors {key!r}"
        if resource not in scorer.resources:
            kept = listing(r.name for r in scorer.resources)
            raise PePRError(f"{watches}, but PePRCallback(resources=…) leaves {resource.name} out; it has {kept}.")
        if key == resource.score_key:
            if scorer.space is None:
                example = f"ModelSpace.budget({resource.field}={EXAMPLES[resource.field]})"
                raise PePRError(
                    f"{watches}, but a score needs a space, and PePRCallback has none. Give it one, such as "
                    f"PePRCallback({monitor!r}, space={example})."
                )
            try:
                scorer.space.range(resource)
            except ValueError as error:
                raise PePRError(f"{watches}, but {error}") from None
            if getattr(callback, "mode", "max") == "min":
                rank_zero_warn(f'{watches} with mode="min", but a higher score is better: pass mode="max".')
        if resource.field in missing:
            raise PePRError(f"{watches}, but {not_measured(resource.field, missing[resource.field])}")
    for callback in callbacks_of(trainer):
        for field in getattr(callback, "cost_limits", ()):  # of a CostBudget
            if field in missing:
                raise PePRError(f"{type(callback).__name__} limits {field}, but {not_measured(field, missing[field])}")
        if getattr(callback, "monitor", None) == monitor and getattr(callback, "mode", None) == "min":
            raise PePRError(
                f'{type(callback).__name__} monitors {monitor!r} with mode="min", as if lower were better; PePRCallback'
                " needs a performance in [0, 1] where higher is better. Change the mode, or monitor another key."
            )


def check_in_time(trainer: Trainer, monitor: str, keys: Iterable[str]) -> None:
    """Raise a `PePRError` if a callback acts on a score after validation, by when only other `keys` are logged."""
    for callback, key, _ in watchers(trainer):
        if acts_after_validation(trainer, callback):
            raise PePRError(
                f"{type(callback).__name__} acts on {key!r} after each validation, but {monitor!r} is not logged in "
                f"validation. Logged by then are {listing(keys)}. Log it in validation_step or "
                "on_validation_epoch_end; or, if it is a training metric, leave val_check_interval and "
                "check_val_every_n_epoch as they are, or pass check_on_train_epoch_end=True (EarlyStopping) or "
                "save_on_train_epoch_end=True (ModelCheckpoint)."
            )


def not_logged(monitor: str, keys: Iterable[str]) -> str:
    return (
        f"PePRCallback monitors {monitor!r}, which was not logged by the end of the first epoch. Logged are "
        f"{listing(keys)}. Log it with self.log in validation_step or on_validation_epoch_end, or in training_step "
        "with on_epoch=True (the module's on_train_epoch_end is too late); or monitor another key."
    )


def not_a_performance(monitor: str, value: float) -> str:
    return (
        f"{monitor} is {value!r}; PePR needs a performance in [0, 1] where higher is better (accuracy, AUROC, Dice, "
        "…). Divide percentages by 100, and monitor no loss."
    )


def not_measured(field: str, reason: str) -> str:
    """The end of a sentence that says why a cost is missing."""
    return f"{field} cannot be measured: {reason.rstrip('.')}."


def listing(keys: Iterable[str]) -> str:
    """Keys in words, without our own."""
    return ", ".join(sorted(set(keys) - OWN_KEYS)) or "none"
