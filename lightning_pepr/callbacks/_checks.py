"""Checks what is monitored, and by whom, so that a mistake is reported before it costs a training."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lightning.fabric.utilities import rank_zero_warn
from lightning.pytorch import Callback, Trainer

from lightning_pepr.callbacks._lightning import acts_after_validation, acts_in_epoch, callbacks_of
from lightning_pepr.callbacks._losses import is_lower_better, is_r_squared
from lightning_pepr.callbacks._scorer import Scorer
from lightning_pepr.cost import RESOURCES, Resource
from lightning_pepr.errors import PePRError

BUDGET_USED = "budget_used"  # the key of the used share of a budget
FORECAST = "forecast_"  # the prefix of a cost's field where the whole run's is forecast
OWN_KEYS = frozenset([BUDGET_USED, *(k for r in RESOURCES for k in (r.field, r.score_key, FORECAST + r.field))])

VALIDATION = ("val", "validation", "valid", "evaluation", "eval")  # words of keys, first those that say nothing else
STAGE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # a word, which may also begin with a capital alone
EXAMPLES = {"energy_kwh": 0.5, "carbon_g": 100, "time_s": 3600, "memory_gb": 16, "data_samples": 10**6, "params": 10**7}


def key_in_testing(monitor: str) -> str:
    """The key of the test performance that goes with one on validation data.

    >>> key_in_testing("val_acc"), key_in_testing("Validation/acc"), key_in_testing("validF1"), key_in_testing("acc")
    ('test_acc', 'Test/acc', 'testF1', 'acc')
    >>> key_in_testing("val_retrieval_map"), key_in_testing("val_valid_molecules")
    ('test_retrieval_map', 'test_valid_molecules')
    """
    found = {word.lower() for word in STAGE.findall(monitor)}
    stage = next((word for word in VALIDATION if word in found), None)

    def in_testing(word: re.Match[str]) -> str:
        if word[0].lower() != stage:
            return word[0]
        return "TEST" if word[0].isupper() else "Test" if word[0].istitle() else "test"

    return STAGE.sub(in_testing, monitor)


def check_key(monitor: str, name: str = "monitor") -> str:
    """Return the key of a performance, or raise a `PePRError` if it cannot be one."""
    if not isinstance(monitor, str) or not monitor:
        raise PePRError(f'{name} is {monitor!r}; expected the key of a performance, such as "val_acc".')
    if monitor in OWN_KEYS:
        raise PePRError(f"{name} is {monitor!r}, which PePRCallback logs itself; expected the key of a performance.")
    if is_lower_better(monitor):
        raise PePRError(
            f"{name} is {monitor!r}, which is better the lower it is; PePR needs a performance in [0, 1] where higher "
            "is better, such as accuracy, AUROC or Dice. If this metric is better the higher it is, log it under "
            "another name, without the word for a loss."
        )
    return monitor


def check_counter(batch_size: object) -> None:
    """Raise a `PePRError` if what is to count samples cannot be called."""
    if batch_size is not None and not callable(batch_size):
        raise PePRError(
            f"batch_size is {batch_size!r}; expected a function that counts the samples of a batch, such as "
            "lambda batch: len(batch[0])."
        )


def ignored(prefix: str, of_run: Mapping[str, Any]) -> str:
    """Say which arguments of a further callback have no effect, of those that are of the run; empty if none was given.

    >>> ignored("auc_", {"name": "unet", "group": ""})
    "name= has no effect with prefix='auc_': give it to the callback that meters the run."
    """
    names = ", ".join(f"{name}=" for name, value in of_run.items() if value)
    return f"{names} has no effect with prefix={prefix!r}: give it to the callback that meters the run." * bool(names)


def check_keys(trainer: Trainer, costs: str, scores: Sequence[str]) -> None:
    """Raise a `PePRError` if a callback monitors a cost or score under a prefix that none is logged with.

    `costs` is the prefix of costs, and `scores` those of scores.
    """
    prefixes = dict.fromkeys(["", costs, *scores])
    for callback in callbacks_of(trainer):
        key = getattr(callback, "monitor", None)
        for resource in RESOURCES:
            for field, known in ((resource.field, [costs]), (resource.score_key, scores)):
                if key in [prefix + field for prefix in prefixes] and key not in [prefix + field for prefix in known]:
                    raise PePRError(
                        f"{type(callback).__name__} monitors {key!r}, which no PePRCallback of this Trainer logs. "
                        f"Logged is {' and '.join(repr(prefix + field) for prefix in known)}: costs are logged once, "
                        "by the callback that meters."
                    )


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


def check_prefixes(prefixes: Sequence[str]) -> None:
    """Raise a `PePRError` if two callbacks of one Trainer would log under the same keys."""
    for prefix in prefixes:
        if prefixes.count(prefix) > 1:
            raise PePRError(
                f"{prefixes.count(prefix)} PePRCallbacks of this Trainer have the prefix {prefix!r}, and would "
                "log different scores under one key. Give all but one a prefix of its own, such as "
                'PePRCallback(…, prefix="auc_").'
            )


def watchers(trainer: Trainer, prefix: str) -> Iterator[tuple[Callback, str, Resource]]:
    """The callbacks that monitor a score or a cost of ours, with the key and its resource."""
    for callback in callbacks_of(trainer):
        key = getattr(callback, "monitor", None)
        for resource in RESOURCES:
            if key in (prefix + resource.score_key, prefix + resource.field):
                yield callback, str(key), resource


def check_watchers(trainer: Trainer, monitor: str, prefix: str, scorer: Scorer, missing: Mapping[str, str]) -> None:
    """Raise a `PePRError` if a callback monitors what will not be there; `missing` are fields and the reasons."""
    for callback, key, resource in watchers(trainer, prefix):
        watches = f"{type(callback).__name__} monitors {key!r}"
        if resource not in scorer.resources:
            kept = listing(r.name for r in scorer.resources)
            raise PePRError(f"{watches}, but PePRCallback(resources=…) leaves {resource.name} out; it has {kept}.")
        if key == prefix + resource.score_key:
            if not monitor:
                raise PePRError(f'{watches}, but PePRCallback has no monitor. Give it one, such as "val_acc".')
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
        if monitor and getattr(callback, "monitor", None) == monitor and getattr(callback, "mode", None) == "min":
            raise PePRError(
                f'{type(callback).__name__} monitors {monitor!r} with mode="min", as if lower were better; PePRCallback'
                " needs a performance in [0, 1] where higher is better. Change the mode, or monitor another key."
            )


def acts_on_score(trainer: Trainer, prefix: str) -> bool:
    """Whether a callback acts on a score at the end of this epoch."""
    return any(
        key == prefix + resource.score_key and acts_in_epoch(trainer, callback)
        for callback, key, resource in watchers(trainer, prefix)
    )


def check_in_time(trainer: Trainer, monitor: str, prefix: str, keys: Iterable[str]) -> None:
    """Raise a `PePRError` if a callback acts on a score after validation, by when only other `keys` are logged."""
    for callback, key, resource in watchers(trainer, prefix):
        if key == prefix + resource.score_key and acts_after_validation(trainer, callback):
            raise PePRError(
                f"{type(callback).__name__} acts on {key!r} after each validation, but {monitor!r} is not logged in "
                f"validation. Logged by then are {listing(keys)}. Log it in validation_step or "
                "on_validation_epoch_end; or, if it is a training metric, leave val_check_interval and "
                "check_val_every_n_epoch as they are, or pass check_on_train_epoch_end=True (EarlyStopping) or "
                "save_on_train_epoch_end=True (ModelCheckpoint)."
            )


def not_logged(monitor: str, keys: Iterable[str]) -> str:
    return (
        f"PePRCallback monitors {monitor!r}, which is not logged yet. Logged are "
        f"{listing(keys)}. Log it with self.log in validation_step or on_validation_epoch_end, or in training_step "
        "with on_epoch=True (the module's on_train_epoch_end is too late); or monitor another key."
    )


def not_a_performance(monitor: str, value: float) -> str:
    """What to do about a value that is no performance."""
    if value < 0 and is_r_squared(monitor):
        return (
            f"{monitor} is {value!r}; R² is below 0 as long as the model is worse than the mean of the targets. If "
            "it stays there, check that predictions and targets have one scale and shape."
        )
    below = "A correlation or kappa may begin below 0."
    return (
        f"{monitor} is {value!r}; PePR needs a performance in [0, 1] where higher is better (accuracy, AUROC, Dice, "
        f"…). {below if value < 0 else 'Divide percentages by 100, and monitor no loss.'}"
    )


def not_measured(field: str, reason: str) -> str:
    """The end of a sentence that says why a cost is missing."""
    return f"{field} cannot be measured: {reason.rstrip('.')}."


def listing(keys: Iterable[str]) -> str:
    """Keys in words, without our own."""
    return ", ".join(sorted(set(keys) - OWN_KEYS)) or "none"
