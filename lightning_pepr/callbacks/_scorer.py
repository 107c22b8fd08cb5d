"""Scores a run: pure arithmetic, without a Trainer."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from lightning_pepr.cost import RESOURCES, Cost, Resource
from lightning_pepr.functional import above_baseline, pepr
from lightning_pepr.space import ModelSpace


@dataclass(frozen=True)
class Scorer:
    """Scores a performance, less what a baseline reaches, by each of the resources that the space has.

    >>> Scorer(ModelSpace.budget(energy_kwh=0.5)).scores(0.8, Cost(energy_kwh=0.5, time_s=60.0))
    {'pepr_e': 0.4}
    """

    space: ModelSpace | None
    baseline: float | None = None
    resources: tuple[Resource, ...] = RESOURCES

    @property
    def scored(self) -> list[Resource]:
        """The resources that have a score where they are measured."""
        return [resource for resource in self.resources if self.space is not None and resource in self.space]

    def scores(self, performance: float, cost: Cost) -> dict[str, float]:
        """Score by key ("pepr_e"); a performance of NaN gives scores of NaN, one outside [0, 1] is an error."""
        amounts = {resource: amount for resource, amount in cost.items() if resource in self.scored}
        if self.space is None or performance != performance:
            return {resource.score_key: performance for resource in amounts}
        if self.baseline is not None:
            performance = above_baseline(performance, self.baseline)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that low == high is reported when the fit begins
            normalized = {resource: self.space.normalize(amount, resource) for resource, amount in amounts.items()}
        return {resource.score_key: pepr(performance, r) for resource, r in normalized.items()}
