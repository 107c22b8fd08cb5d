"""Counts the samples of batches."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.utilities.data import extract_batch_size


def batch_size(batch: Any) -> int | None:
    """The samples in a batch: the first dimension of its first tensor; None if it has none.

    Same as Lightning's `extract_batch_size`, but without walking over all tensors in every step.
    """
    first = batch
    while not isinstance(first, torch.Tensor):
        if isinstance(first, Mapping) and first:
            first = next(iter(first.values()))
        elif isinstance(first, (list, tuple)) and first:
            first = first[0]
        else:  # such as the None of a loader that has ended before the others
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns where it has a choice
                try:
                    return int(extract_batch_size(batch))
                except Exception:  # a batch of the user's own type may do anything; the record says so
                    return None
    return first.shape[0] if first.ndim else 1


class SampleCount:
    """Counts the samples that one evaluation's performance, of a key, is of; `samples` is None if that is not known."""

    def __init__(self, key: str = "", loaders: int = 1) -> None:
        named = re.search(r"/dataloader_idx_(\d+)$", key)  # of several loaders, the one that the performance is of
        self._loader = None if named is None else int(named[1])
        self.samples: int | None = 0 if loaders == 1 or named is not None else None

    def add(self, batch: Any, loader: int) -> None:
        """Count a batch of a loader."""
        if self.samples is not None and self._loader in (None, loader):
            size = batch_size(batch)
            self.samples = None if size is None else self.samples + size
