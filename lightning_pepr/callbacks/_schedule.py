"""How long a run is going to be, by what its Trainer was told, and what it will have cost by then."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from lightning.pytorch import Trainer

from lightning_pepr.callbacks._checks import callbacks_of
from lightning_pepr.cost import CARBON, ENERGY, TIME, Cost, Resource
from lightning_pepr.forecast import Forecast, forecasts

FORESEEN: tuple[Resource, ...] = (ENERGY, CARBON, TIME)
"""What is foreseen: it adds up over epochs, and is not known beforehand."""

STEPS = "steps"
"""Under which key an epoch's end has the optimiser's steps up to there, beside the costs."""

Ends = Sequence[Mapping[str, float | None]]
"""What had been spent, by field, and how many steps had been taken, at the end of each epoch so far."""


def costs_of(cost: Cost) -> dict[str, float | None]:
    """What is foreseen of a cost, by field."""
    return {resource.field: cost.amount(resource) for resource in FORESEEN}


def is_over(trainer: Trainer, epochs: int) -> bool:
    """Whether a run has reached its plan after so many epochs, so that nobody needs to end it."""
    by_epochs = trainer.max_epochs is not None and 0 <= trainer.max_epochs <= epochs
    return by_epochs or 0 <= trainer.max_steps <= trainer.global_step


def foresee(trainer: Trainer, ends: Ends, first: int = 0) -> dict[str, Forecast]:
    """Tell what the whole run will cost, for each field that is known at the end of every epoch.

    Args:
        trainer: Whose plan is looked at: `max_epochs`, `max_steps`, `max_time`, `check_val_every_n_epoch`.
        ends: The ends of the epochs so far.
        first: The epoch of the first of them: what was spent before it is not known.

    Returns:
        The forecasts; none after the first epoch, or where the plan has no end.
    """
    epochs = _epochs(trainer, ends, first)
    if len(ends) < 2 or epochs is None:
        return {}
    known: dict[Resource, list[float]] = {}
    for resource in FORESEEN:
        spent = [amount for end in ends if (amount := end.get(resource.field)) is not None]
        if len(spent) == len(ends) and all(a <= b for a, b in itertools.pairwise(spent)):
            known[resource] = spent
    factor = _factor(known[ENERGY], known[CARBON]) if {ENERGY, CARBON} <= known.keys() else None
    if factor is not None:
        del known[CARBON]
    told = dict(zip(known, _forecasts(list(known.values()), epochs, _period(trainer, first)), strict=True))
    if factor is not None:
        expected, low, high, level = told[ENERGY]
        told[CARBON] = Forecast(factor * expected, factor * low, factor * high, level)
    return {resource.field: told[resource] for resource in FORESEEN if resource in told}


def _factor(energy: Sequence[float], carbon: Sequence[float]) -> float | None:
    """By what carbon is energy times an intensity, which spares a forecast; None if it is not."""
    if energy[-1] <= 0.0:
        return None
    factor = carbon[-1] / energy[-1]
    return (
        factor if all(math.isclose(c, factor * e, rel_tol=1e-9) for e, c in zip(energy, carbon, strict=True)) else None
    )


def _epochs(trainer: Trainer, ends: Ends, first: int) -> float | None:
    """How many epochs the run has from `first` on, a part of one included; None if its plan has no end."""
    done = len(ends)
    plans: list[float] = []
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        plans.append(trainer.max_epochs - first)
    if trainer.max_steps >= 0 and (each := _mean(ends[-2:], STEPS)):
        # By the last epoch: accumulation may have changed, and each of several optimisers counts its steps.
        plans.append(done + (trainer.max_steps - trainer.global_step) / each)
    for callback in callbacks_of(trainer):
        ask = getattr(callback, "time_remaining", None)  # of a Timer, which is also what `max_time` makes
        left = ask() if callable(ask) else None
        if left is not None and (each := _mean(ends, TIME.field)):
            plans.append(done + left / each)
    return max(min(plans), done) if plans else None


def _mean(ends: Ends, key: str) -> float | None:
    """How much of it an epoch took since the first one, which is unlike the others; None if that is not known."""
    begin, end = ends[0].get(key), ends[-1].get(key)
    return None if len(ends) < 2 or begin is None or end is None else (end - begin) / (len(ends) - 1)


def _period(trainer: Trainer, first: int) -> int | None:
    """In every how manieth epoch there is validation; None if it keeps no such time."""
    if not trainer.enable_validation:
        return 1
    every = trainer.check_val_every_n_epoch
    return None if every is None or first % every else every


def _forecasts(spent: Sequence[Sequence[float]], epochs: float, period: int | None) -> list[Forecast]:
    """As `forecasts`, for a run that may end within an epoch."""
    part, whole = math.modf(epochs)
    told = forecasts(spent, int(whole), period=period)
    after = forecasts(spent, int(whole) + 1, period=period) if part else told
    found = []
    for one, other in zip(told, after, strict=True):
        assert one is not None  # there are two epochs or more
        assert other is not None
        expected, low, high = (a + part * (b - a) for a, b in zip(one[:3], other[:3], strict=True))
        found.append(Forecast(expected, low, high, one.level))
    return found
