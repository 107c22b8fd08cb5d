"""The score of one run at each evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightning_pepr.cost import Cost, Resource
from lightning_pepr.errors import PePRError
from lightning_pepr.functional import check_never_falls, pepr, to_numpy
from lightning_pepr.space import ModelSpace


class PePRCurve(NamedTuple):
    """The score of one run at each evaluation.

    Attributes:
        resource: R at each evaluation, shape (n,), without a unit, never falling.
        score: PePR at each evaluation, shape (n,), in [0, 1].
        best: The largest score.
        best_index: At which evaluation it was first reached, from 0.
        area: The integral over R from 0 to 1 of the best score so far, in [0, 1]; before the first evaluation
            the best so far is 0. Spending more cannot raise it unless the score rises.
    """

    resource: NDArray[np.float64]
    score: NDArray[np.float64]
    best: float
    best_index: int
    area: float


def pepr_curve(
    performance: ArrayLike,
    cost: Sequence[float | Cost] | ArrayLike,
    space: ModelSpace,
    resource: str | Resource = "energy",
) -> PePRCurve:
    """Score every evaluation of one run: what it reached, for what it had spent by then.

    Args:
        performance: P after each evaluation, shape (n,), each in [0, 1]; less than 0, where some measures begin, counts
            as 0.
        cost: All that was spent up to each evaluation, shape (n,): numbers in the resource's unit, or a list
            of `Cost`s.
        space: The space over which the cost is normalised.
        resource: Which resource: its name, letter or field ("energy", "E", "energy_kwh").

    Returns:
        R and score at each evaluation, the best score and where it is, and the area under the best so far.

    Raises:
        PePRError: If the two differ in length or are empty, a cost falls from one evaluation to the next or
            was not measured, or a value is out of its range.

    >>> from lightning_pepr import ModelSpace
    >>> curve = pepr_curve([0.6, 0.9, 0.91], [0.1, 0.2, 0.4], ModelSpace.budget(energy_kwh=0.4))
    >>> curve.best_index, round(curve.best, 3), round(curve.area, 3)
    (1, 0.6, 0.42)
    """
    if isinstance(cost, (list, tuple)):  # the only ones that can hold a `Cost`
        cost = [space.amount(value, resource) for value in cost]
    performances, costs = to_numpy(performance), to_numpy(cost)
    if performances.ndim != 1 or performances.shape != costs.shape or performances.size == 0:
        raise PePRError(
            f"performance has shape {performances.shape} and cost {costs.shape}; expected two sequences of the "
            "same length, one value for each evaluation, and at least one."
        )
    check_never_falls(costs, "cost", "evaluation", "each evaluation")
    r = space.normalize(costs, resource)
    score = pepr(np.where(np.isfinite(performances), performances.clip(0.0), performances), r)
    best_so_far = np.maximum.accumulate(score)
    edges = np.clip(np.append(r, max(1.0, r[-1])), 0.0, 1.0)
    best = float(score.max())
    return PePRCurve(
        resource=r,
        score=score,
        best=best,
        best_index=int(score.argmax()),
        area=min(float(np.sum(best_so_far * np.diff(edges))), best),  # rounding aside
    )
