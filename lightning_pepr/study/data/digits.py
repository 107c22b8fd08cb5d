"""Scikit-learn's handwritten digits as a data set of ten classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_pepr.study.data.images import ImageData, Names, split_by_patient
from lightning_pepr.utilities.imports import require


@dataclass(eq=False)
class DigitsData(ImageData):
    """Which digit was written by hand: 1,797 images of 8 x 8 pixels in ten classes, which scikit-learn ships.

    The images are enlarged to `image_size` by bilinear interpolation, and their one channel is repeated thrice.
    """

    image_size: int = 32

    num_classes = 10

    def load(self) -> tuple[Tensor, Tensor, Names]:
        """The digits, each assigned to a part by itself, since the data do not say who wrote it."""
        digits, classes = require("sklearn.datasets", "study", "reading the digits").load_digits(return_X_y=True)
        small = torch.from_numpy(digits).float().view(-1, 1, 8, 8) * (255 / 16)
        images = torch.nn.functional.interpolate(small, size=self.image_size, mode="bilinear", align_corners=False)
        patients = map(str, range(len(classes)))  # each image is its own
        part = split_by_patient(patients, self.val_fraction, self.test_fraction, seed=self.split_seed)
        return images.round().byte().expand(-1, 3, -1, -1).contiguous(), torch.from_numpy(classes).long(), part
