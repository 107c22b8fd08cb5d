"""The score as a torchmetrics metric: it is logged, collected, synchronised and plotted as any other."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_pepr import functional
from lightning_pepr.cost import Cost, Resource
from lightning_pepr.errors import PePRError
from lightning_pepr.space import ModelSpace

if TYPE_CHECKING:
    from torchmetrics.utilities.plot import _AX_TYPE, _PLOT_OUT_TYPE


class PePR(Metric):
    """Performance per resource unit, P / (1 + R), of one resource over a model space.

    The latest update counts: it says how good the model is now, and all that it has cost so far. Updates do not
    add up, because a logged metric is reset every epoch and a resumed run starts without metric states.

    Over the ranks of a distributed run, performance is averaged and costs merge as the resource asks for: energy,
    carbon and data are summed, time and memory are those of the largest rank, parameters are counted once. Ranks
    that have not been updated have no part in it.

    The states are single precision, or double after `set_dtype(torch.float64)`, and never half, in which energies in
    kWh vanish and numbers of samples overflow. So is the score. A model in half precision moves its metrics
    along; costs that come in half precision have lost what they lost before they came.

    Args:
        space: The space over which the cost is normalised.
        resource: Which resource it scores: its name, letter or field ("energy", "E", "energy_kwh").
        baseline: The performance P0 of a trivial predictor; (P - P0) / (1 - P0), floored at 0, is then scored instead
            of P. The paper's score has none.
        **kwargs: What every torchmetrics metric takes, such as `sync_on_compute`.

    Raises:
        PePRError: If the space does not have the resource, or `baseline` is outside [0, 1).
        TypeError: If `space` is no `ModelSpace`.

    Source:
        Equation 1 of https://arxiv.org/abs/2403.12562.

    >>> from lightning_pepr import Cost, ModelSpace, PePR
    >>> metric = PePR(ModelSpace.budget(energy_kwh=0.5, time_s=3600), resource="energy")
    >>> metric.update(0.75, 0.25)  # P, and kWh so far
    >>> metric.compute()
    tensor(0.5000)
    >>> metric.update(0.75, Cost(energy_kwh=0.5, time_s=600))  # it takes its own resource
    >>> metric.compute()
    tensor(0.3750)
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = True  # the other way of `forward` adds updates up
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(
        self, space: ModelSpace, resource: str | Resource = "energy", baseline: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(space, ModelSpace):
            raise TypeError(f"space is {space!r}; expected a ModelSpace, such as ModelSpace.budget(energy_kwh=0.5).")
        self.space = space
        self.resource = Resource.of(resource)
        space.range(self.resource)
        if baseline is not None:
            functional.above_baseline(1.0, baseline)
        self.baseline = baseline
        # A MetricCollection lets metrics with equal states share one, unless the states' names differ.
        self._p, self._c = f"performance_{self.resource.field}", f"cost_{self.resource.field}"
        kind = torch.promote_types(torch.get_default_dtype(), torch.float32)
        unknown = torch.tensor(torch.nan, dtype=kind, device=self.device)
        # A rank that has not been updated holds NaN, which these leave out.
        self.add_state(self._p, unknown, dist_reduce_fx=torch.nanmean)
        merge = torch.nansum if self.resource.merge == "sum" else _max
        self.add_state(self._c, unknown.clone(), dist_reduce_fx=merge)

    def update(self, performance: float | Tensor, cost: float | Tensor | Cost) -> None:
        """Say how good the model is now, and what it has cost so far.

        Args:
            performance: P in [0, 1] of the model as it is now: one number, or a tensor of one element.
            cost: All that this rank has spent since training began, in the unit of the resource: one number, a
                tensor of one element, or a `Cost`, from which the metric takes its own resource.

        Raises:
            PePRError: If `performance` is NaN or outside [0, 1], `cost` is negative, NaN or infinite or has not
                measured the resource, or either has more than one element.
        """
        p = functional.check_performance(_number(performance, "performance"))
        c = functional.check_cost(_number(self.space.amount(cost, self.resource), "cost"))
        state = getattr(self, self._p)
        setattr(self, self._p, torch.as_tensor(p, dtype=state.dtype, device=state.device))
        setattr(self, self._c, torch.as_tensor(c, dtype=state.dtype, device=state.device))

    def compute(self) -> Tensor:
        """The score; NaN if there was no update on any rank."""
        p: Tensor = getattr(self, self._p)
        c: Tensor = getattr(self, self._c)
        if torch.isnan(p):
            return p.clone()
        if self.baseline is not None:
            p = functional.above_baseline(p, self.baseline)
        return functional.pepr(p, self.space.normalize(c, self.resource))

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Merge with another metric, or its state, as with another rank.

        Raises:
            PePRError: If it is of another resource.
        """
        state = incoming_state.metric_state if isinstance(incoming_state, Metric) else incoming_state
        self._reduce_states(state)
        self._update_count = max(self._update_count, 1)
        self._computed = None

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: _AX_TYPE | None = None) -> _PLOT_OUT_TYPE:
        """Plot one score, or several as a line; needs matplotlib.

        Args:
            val: What `compute` or `forward` returned, or a list of these; by default the score as it is now.
            ax: The matplotlib axes to draw in.

        Returns:
            The figure and the axes.
        """
        return self._plot(val, ax)

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = "") -> Any:
        """Move the states along with the module, but never to half precision."""

        @functools.wraps(fn)  # the base class tells `.half()` from `.to(device)` by the name
        def keep_wide(tensor: Tensor) -> Tensor:
            moved: Tensor = fn(tensor)
            return tensor.to(moved.device) if moved.dtype.itemsize < torch.float32.itemsize else moved

        return super()._apply(keep_wide, exclude_state)


def _number(value: Any, name: str) -> float:
    """One plain number, or an error that says what came instead."""
    if isinstance(value, Tensor) or hasattr(value, "__array__"):
        if math.prod(value.shape) != 1:
            raise PePRError(
                f"{name} has shape {tuple(value.shape)}; expected one number for the whole model as it is now, "
                "not one for each sample or batch."
            )
        value = value.item()
    if not isinstance(value, str | bytes):
        with contextlib.suppress(TypeError, ValueError):
            return float(value)
    raise PePRError(f"{name} is {value!r}; expected a number.")


def _max(ranks: Tensor) -> Tensor:
    return torch.where(ranks.isnan(), -torch.inf, ranks).max()
