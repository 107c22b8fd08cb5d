"""Metrics of torchmetrics whose `compute` does what it should not, or what one must know of."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import torch
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat


class Kept(Metric):
    """The mean of all values, each of which is kept; without one it raises, as AUROC does."""

    full_state_update = False
    values: list[torch.Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("values", [], dist_reduce_fx="cat")

    def update(self, value: Any) -> None:
        self.values.append(torch.as_tensor(value, dtype=torch.float32).reshape(1))

    def compute(self) -> torch.Tensor:
        if len(self.values) == 0:
            raise ValueError("No samples to concatenate")
        return dim_zero_cat(self.values).mean()


class Restless(Kept):
    """Draws random numbers, warns, and changes its own state and that of a part when it is computed."""

    total: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.part = Kept()
        self.hidden = {"parts": [Kept()]}
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.computed_so_often: Any = 0

    def update(self, value: Any) -> None:
        super().update(value)
        self.total += value
        for part in (self.part, self.hidden["parts"][0]):
            part.update(value)

    def compute(self) -> torch.Tensor:
        warnings.warn("restless", stacklevel=1)
        self.computed_so_often += 1
        self.total += 1
        noise = float(torch.rand(())) + random.random() + float(np.random.random())
        means = super().compute() + self.part.compute() + self.hidden["parts"][0].compute()
        if isinstance(self.values, list):  # and not the one tensor that ranks have exchanged
            self.values.append(torch.zeros(1))
        return torch.as_tensor(means / 3 + noise / 300)
