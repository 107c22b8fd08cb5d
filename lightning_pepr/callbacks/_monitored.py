"""A performance that a callback scores: when it is logged, of how many samples it is, and what its scores are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lightning.pytorch import Trainer

from lightning_pepr.accounting.ranks import Performance
from lightning_pepr.callbacks import _checks, _lightning
from lightning_pepr.callbacks._base import WarnOnce
from lightning_pepr.callbacks._batches import BatchCounter, SampleCount
from lightning_pepr.callbacks._scorer import Scorer
from lightning_pepr.cost import Cost, Resource
from lightning_pepr.errors import PePRError
from lightning_pepr.functional import PERFORMANCE_RANGE, is_performance


@dataclass
class Monitored:
    """A performance that one callback of a Trainer scores. Without a key there is none, and only costs are logged."""

    key: str
    test_key: str
    prefix: str  # of all keys that are logged for it
    scorer: Scorer
    requested: tuple[Resource, ...]  # by the user
    prog_bar: bool
    warn_once: WarnOnce
    seen: bool = False  # whether it has ever been logged in the run
    known: bool = False  # whether that was a number
    served: bool = False  # whether it has been logged in the running epoch
    evaluated: SampleCount = field(default_factory=SampleCount)
    _at_epoch_start: Any = None  # the value then,
    _at_validation_start: Any = None  # and then

    def begin_epoch(self, trainer: Trainer) -> None:
        """Remember the value of the epoch before."""
        self.served = False
        self._at_epoch_start = _lightning.published(trainer).get(self.key)

    def begin_validation(self, trainer: Trainer, counter: BatchCounter) -> None:
        """Remember the value of the validation before, and count anew."""
        self.evaluated = SampleCount(self.key, len(trainer.num_val_batches), counter)
        self._at_validation_start = _lightning.published(trainer).get(self.key)

    def begin_test(self, trainer: Trainer, counter: BatchCounter) -> None:
        """Count anew."""
        self.evaluated = SampleCount(self.test_key, len(trainer.num_test_batches), counter)

    def validated(self, trainer: Trainer) -> Performance | None:
        """The value that a validation has logged; None if it has logged none."""
        value = _lightning.published(trainer).get(self.key)
        # Lightning never clears a value, so one that is the very object of before is of a validation before.
        if value is None or value is self._at_validation_start:
            return None
        return Performance(float(value), self.evaluated.samples)

    def trained(self, trainer: Trainer) -> Performance | None:
        """The value that the training epoch, now at its end, has logged; None if it has logged none."""
        if not self.key:
            return None
        value = _lightning.published(trainer).get(self.key)
        value = _lightning.pending(trainer, self.key, otherwise=None if value is self._at_epoch_start else value)
        return None if value is None else Performance(float(value))

    def check_sanity(self, trainer: Trainer) -> None:
        """Raise a `PePRError` if the sanity check's value is no performance: here it costs nothing."""
        value = _lightning.pending(trainer, self.key) if self.key else None
        if value is not None and float(value) > PERFORMANCE_RANGE[1]:
            raise PePRError(_checks.not_a_performance(self.key, float(value)))

    def check(self, performance: float) -> float:
        """The value that is scored: 0 for one below, NaN for one above; at the first evaluation an error for that.

        A callback that logs must not end a run at epoch 50, and `EarlyStopping` would end it at a NaN.
        """
        first, self.seen, self.known = not self.known, True, self.known or performance == performance
        if is_performance(performance):
            return performance
        message = _checks.not_a_performance(self.key, performance)
        if performance < 0.0:
            self.warn_once("below 0", f"{message} It counts as 0 in the score.")
            return 0.0
        if first and performance == performance:
            raise PePRError(message)
        self.warn_once("outside", f"{message} The score is NaN in such epochs.")
        return math.nan

    def check_watchers(self, trainer: Trainer, missing: Mapping[str, str]) -> None:
        """Raise a `PePRError` if another callback monitors what will not be there."""
        _checks.check_watchers(trainer, self.key, self.prefix, self.scorer, missing)
        for name, (low, high) in (self.scorer.space.ranges if self.scorer.space else {}).items():
            if low == high:
                self.warn_once(f"range {name}", f"low and high of {name} are equal ({low}): R is 0 for every cost.")

    def check_in_time(self, trainer: Trainer) -> None:
        """Raise a `PePRError` if another callback acts on the score before it is there."""
        _checks.check_in_time(trainer, self.key, self.prefix, _lightning.logged_keys(trainer))

    def check_logged(self, trainer: Trainer, due: bool) -> None:
        """Wait for a value that was not logged yet; raise a `PePRError` if a callback acts on its score."""
        if self.seen or not self.key or not due or trainer.barebones:  # in which self.log does nothing
            return
        message = _checks.not_logged(self.key, _lightning.logged_keys(trainer))
        if _checks.acts_on_score(trainer, self.prefix):
            raise PePRError(message)
        self.warn_once("missing", f"{message} Until it is, only costs are logged.")

    def scores(self, performance: float, cost: Cost) -> dict[str, float]:
        """Score by key, without the prefix."""
        return self.scorer.scores(performance, cost)

    def named(self, values: Mapping[str, float]) -> dict[str, float]:
        """The values by the keys under which they are logged."""
        return {self.prefix + key: value for key, value in values.items()}
