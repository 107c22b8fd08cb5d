"""How long a run is going to be, by the plan of its Trainer, and what it will have cost by then."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lightning.pytorch import Trainer

from lightning_pepr.callbacks._lightning import callbacks_of
from lightning_pepr.cost import CARBON, ENERGY, TIME, Cost
from lightning_pepr.forecast import WINDOW, Forecast, forecasts

FORECAST_FIELDS = (ENERGY.field, CARBON.field, TIME.field)  # what adds up over epochs, and is not known beforehand
STEPS = "steps"

KEPT = WINDOW + 1
"""How many ends of epochs a forecast needs: those of the epochs that it looks back at, and of the one before."""

End = dict[str, float | None]
"""What had been spent by the end of an epoch, by field, and under `STEPS` how many steps the optimiser had taken."""


def costs_of(cost: Cost) -> End:
    """What is forecast of a cost, by field."""
    return {field: cost.amount(field) for field in FORECAST_FIELDS}


def is_over(trainer: Trainer, epochs: int) -> bool:
    """Whether a run has reached its plan after so many epochs, so that nobody needs to end it."""
    by_epochs = trainer.max_epochs is not None and 0 <= trainer.max_epochs <= epochs
    return by_epochs or 0 <= trainer.max_steps <= trainer.global_step


def note_end(ends_by_epoch: dict[int, End], epoch: int, end: End) -> None:
    """Note what had been spent by the end of an epoch, and forget what forecasts do not look back at any more."""
    ends_by_epoch.pop(epoch, None)  # the latest comes last
    ends_by_epoch[epoch] = end
    while len(ends_by_epoch) > KEPT:
        del ends_by_epoch[next(iter(ends_by_epoch))]


def forecast_run(trainer: Trainer, ends_by_epoch: Mapping[int, End], epoch: int) -> dict[str, Forecast]:
    """Forecast what the whole run will cost, for each field that is known at the end of every epoch.

    There is none after the first epoch, or where the plan (`max_epochs`, `max_steps`, `max_time`) has no end. What was
    spent before a gap in the ends is not known.
    """
    last = max(-1, epoch - KEPT)  # the last epoch of those that are not looked back at
    first = next(each for each in range(epoch, last, -1) if each - 1 not in ends_by_epoch or each - 1 == last)
    ends = [ends_by_epoch[each] for each in range(first, epoch + 1)]
    before = first if len(ends) == KEPT else 0  # the epochs of the run before those; a gap is a run's beginning
    epochs = _planned_epochs(trainer, ends, first - before, before)
    if len(ends) < 2 or epochs is None:
        return {}
    known: dict[str, list[float]] = {}
    for field in FORECAST_FIELDS:
        spent = [amount for end in ends if (amount := end.get(field)) is not None]
        if len(spent) == len(ends) and spent == sorted(spent):
            known[field] = spent
    intensity = _intensity(known)
    apart = {field: spent for field, spent in known.items() if field != CARBON.field or intensity is None}
    period = _period(trainer, first - before)
    found = dict(zip(apart, _forecasts([*apart.values()], epochs, period, before + 1), strict=True))
    if intensity is not None:  # carbon's forecast follows from energy's
        expected, low, high, level = found[ENERGY.field]
        found[CARBON.field] = Forecast(intensity * expected, intensity * low, intensity * high, level)
    return {field: found[field] for field in known}


def _intensity(known: Mapping[str, Sequence[float]]) -> float | None:
    """The one intensity by which carbon is energy at all ends; None if there is none."""
    energy, carbon = known.get(ENERGY.field), known.get(CARBON.field)
    if energy is None or carbon is None or energy[-1] <= 0.0:
        return None
    intensity = carbon[-1] / energy[-1]
    same = (math.isclose(c, intensity * e, rel_tol=1e-9) for e, c in zip(energy, carbon, strict=True))
    return intensity if all(same) else None


def _planned_epochs(trainer: Trainer, ends: Sequence[End], first: int, before: int) -> float | None:
    """How many epochs the run has from `first` on, a part of one included; None if its plan has no end.

    The ends are those of all the epochs from `first` on but so many.
    """
    done = before + len(ends)
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


def _mean(ends: Sequence[End], key: str) -> float | None:
    """How much of it an epoch took since the first one, which is unlike the others; None if that is not known."""
    begin, end = ends[0].get(key), ends[-1].get(key)
    return None if len(ends) < 2 or begin is None or end is None else (end - begin) / (len(ends) - 1)


def _period(trainer: Trainer, first: int) -> int | None:
    """Validation period in epochs; None if irregular."""
    if not trainer.enable_validation:
        return 1
    every = trainer.check_val_every_n_epoch
    return None if every is None or first % every else every


def _forecasts(spent: Sequence[Sequence[float]], epochs: float, period: int | None, first: int) -> list[Forecast]:
    """Same as `forecasts`, for a run that may end within an epoch."""
    part, whole = math.modf(epochs)
    here = forecasts(spent, int(whole), period=period, first=first)
    after = forecasts(spent, int(whole) + 1, period=period, first=first) if part else here
    return [
        Forecast(*(a + part * (b - a) for a, b in zip(one, other, strict=True)))
        for one, other in zip(here, after, strict=True)
        if one is not None and other is not None  # as they are after two epochs or more
    ]
