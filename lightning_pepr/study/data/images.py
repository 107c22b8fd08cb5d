"""Images in three parts as a LightningDataModule: what all data sets of a study have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lightning_pepr.errors import PePRError
from lightning_pepr.study.runs import check_fraction

PARTS = ("train", "val", "test")

Names = NDArray[np.str_]

Batch = tuple[Tensor, Tensor]
"""Images, shape (batch, 3, size, size), and classes, shape (batch,), int64."""


@dataclass(eq=False)
class ImageData(LightningDataModule):
    """Images in memory, in three parts: what all data sets have in common."""

    image_size: int = 64
    batch_size: int = 32
    _: KW_ONLY
    val_fraction: float = 0.15
    test_fraction: float = 0.15
    split_seed: int = 0  # decides which images are held out, the same on every machine
    num_workers: int = 0  # the images are in memory already, so 0 is fastest
    fraction: float = 1.0  # of the training part, and nearly of each class in it
    train_samples: int | None = None  # at most, before `fraction`
    eval_samples: int | None = None
    subset_seed: int = 0  # decides which images `fraction` takes; with one seed, a smaller share is part of a larger

    num_classes = 0  # until it is set up

    def __post_init__(self) -> None:
        super().__init__()
        if not (self.val_fraction > 0 and self.test_fraction > 0 and self.val_fraction + self.test_fraction < 1):
            given = f"val_fraction is {self.val_fraction!r} and test_fraction {self.test_fraction!r}"
            raise PePRError(f"{given}; expected shares larger than 0 that leave something for training.")
        check_fraction(self.fraction)
        self._parts: dict[str, Dataset[tuple[Tensor, ...]]] = {}
        self._classes: dict[str, NDArray[np.int64]] = {}

    def load(self) -> tuple[Tensor, Tensor, Names]:
        """Images, shape (n, 3, size, size), uint8; classes, shape (n,), int64; and the part of each, shape (n,)."""
        raise NotImplementedError

    def setup(self, stage: str = "fit") -> None:
        """Load all three parts, whatever the stage: one model after another is trained on the same module."""
        if self._parts:
            return
        images, classes, part = self.load()
        for name in PARTS:
            rows = torch.from_numpy(self._rows(name, classes.numpy(), part))
            self._parts[name] = TensorDataset(images[rows], classes[rows])
            self._classes[name] = classes[rows].numpy()

    def sizes(self) -> dict[str, int]:
        """How many images each part has, once it is set up."""
        return {name: len(self.classes_of(name)) for name in PARTS}

    def classes_of(self, part: str) -> NDArray[np.int64]:
        """The class of each image of a part, once it is set up."""
        if not self._parts:
            raise RuntimeError("the data is not loaded yet; call prepare_data() and setup() first, as a Trainer does.")
        return self._classes[part]

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

    def _rows(self, name: str, classes: NDArray[np.int64], part: Names) -> NDArray[np.int64]:
        """Which images make up a part, with its limits."""
        rows = np.flatnonzero(part == name)
        if name == "train":
            most = min(len(rows), self.train_samples or len(rows))
            most, seed = max(len(np.unique(classes[rows])), round(most * self.fraction)), self.subset_seed
        else:  # all runs are tested on the same images
            most, seed = min(len(rows), self.eval_samples or len(rows)), self.split_seed
        return rows if most == len(rows) else np.sort(rows[choose(classes[rows], most, seed=seed)])

    def _loader(self, part: str, *, shuffle: bool = False) -> DataLoader[Batch]:
        size = len(self.classes_of(part))
        return DataLoader(
            self._parts[part],  # type: ignore[arg-type]  # tuples of two
            batch_size=self.batch_size,
            shuffle=shuffle,
            num_workers=self.num_workers,
            drop_last=shuffle and size % self.batch_size == 1 and size > 1,
        )


def split_by_patient(
    patients: Iterable[str], val_fraction: float = 0.15, test_fraction: float = 0.15, *, seed: int = 0
) -> Names:
    """Assign each image to "train", "val" or "test", such that all images of a patient share a part.

    Patients are ordered by a hash, not by a generator of random numbers whose stream may change between versions.

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


def choose(classes: NDArray[np.int64], count: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Choose some images at random, of each class about the same share, and at least one of each if that is possible.

    Returns their positions; with one seed, fewer are part of more.

    >>> classes = np.array([0] * 90 + [1] * 10)
    >>> np.bincount(classes[choose(classes, 20)]).tolist()
    [18, 2]
    """
    shuffled = np.random.RandomState(seed).permutation(len(classes))  # its stream is the same in all versions of numpy
    share = np.empty(len(classes))
    for each in np.unique(classes):
        positions = shuffled[classes[shuffled] == each]
        share[positions] = np.arange(len(positions)) / len(positions)
    return shuffled[np.argsort(share[shuffled], kind="stable")][:count]
