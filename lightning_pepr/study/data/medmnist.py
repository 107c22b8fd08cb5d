"""The data sets of MedMNIST, by name or from a file."""

from __future__ import annotations

import difflib
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_pepr.errors import PePRError
from lightning_pepr.study.data.images import PARTS, ImageData, Names
from lightning_pepr.utilities.imports import require


@dataclass(eq=False)
class MedMNISTData(ImageData):
    """A data set of MedMNIST (https://medmnist.com, CC BY 4.0 for most), which comes with its own three parts.

    `source` is a file as MedMNIST publishes them (.npz), or the name of a data set, such as "dermamnist", which the
    package medmnist then downloads, if it is not there, in the smallest published size from `image_size` on.
    """

    source: str = field(kw_only=True)

    def prepare_data(self) -> None:
        """Download the data set, if it is not there."""
        self._file()

    def load(self) -> tuple[Tensor, Tensor, Names]:
        """The images, enlarged or made smaller to `image_size`; the parts are MedMNIST's."""
        file = self._file()
        images, labels, parts = [], [], []
        try:
            with np.load(file, allow_pickle=False) as arrays:
                for part in PARTS:
                    images.append(arrays[f"{part}_images"])
                    labels.append(arrays[f"{part}_labels"])
                    parts += [part] * len(labels[-1])
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise PePRError(
                f"{file} is no data set of MedMNIST: {error}. Expected an .npz file with train_images, train_labels, "
                "val_images, … as the package medmnist downloads them."
            ) from error
        for of_part in images:
            grey, coloured = of_part.ndim == 3, of_part.ndim == 4 and of_part.shape[-1] == 3
            if not (grey or coloured) or of_part.dtype != np.uint8:
                raise PePRError(
                    f"the images in {file} are {of_part.dtype} of shape {of_part.shape}; expected bytes (uint8) of "
                    "shape (n, height, width) or (n, height, width, 3). MedMNIST's volumes (3D) cannot be used."
                )
        classes = as_classes(np.concatenate(labels), str(file))
        self.num_classes = int(classes.max()) + 1
        resized = torch.cat([_resize(of_part, self.image_size) for of_part in images])
        return resized, torch.from_numpy(classes), np.array(parts)

    def _file(self) -> Path:
        if self.source.endswith(".npz"):
            path = Path(self.source).expanduser()
            if not path.is_file():
                raise FileNotFoundError(f"there is no file {self.source!r}; expected a data set of MedMNIST (.npz).")
            return path
        medmnist = require("medmnist", "study", "reading MedMNIST")
        if self.source not in medmnist.INFO:
            close = difflib.get_close_matches(self.source, medmnist.INFO, n=3)
            hint = f" Did you mean {', '.join(map(repr, close))}?" if close else ""
            raise PePRError(f"MedMNIST has no data set {self.source!r}.{hint}")
        root = Path(medmnist.dataset.DEFAULT_ROOT)
        size = next((size for size in (28, 64, 128, 224) if size >= self.image_size), 224)
        file = root / f"{self.source}{'' if size == 28 else f'_{size}'}.npz"
        if not file.is_file():
            try:
                maker = getattr(medmnist, medmnist.INFO[self.source]["python_class"])
                maker(split="train", download=True, root=str(root), size=size)
            except Exception as error:  # a download may raise anything
                raise FileNotFoundError(
                    f"{file} is not there and cannot be downloaded ({type(error).__name__}). Download {file.name} from "
                    f"https://zenodo.org/records/10519652 and give the file: --data PATH/{file.name}"
                ) from error
        return file


def as_classes(labels: NDArray[Any], source: str) -> NDArray[np.int64]:
    """Labels, shape (n,) or (n, 1), as classes from 0."""
    what = "expected whole numbers from 0, one for each image"
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        shape = f"their shape is {labels.shape}, several for each image"
        raise PePRError(f"the labels in {source} are not classes: {shape}; {what}.")
    if labels.dtype.kind not in "iufb":
        raise PePRError(f"the labels in {source} are not classes but such as {str(labels[0])!r}; {what}.")
    numbers = labels.astype(np.float64)
    bad = ~np.isfinite(numbers) | (numbers != np.floor(numbers)) | (numbers < 0)
    if bad.any():
        raise PePRError(f"the labels in {source} are not classes: one is {labels[bad][0]}; {what}.")
    distinct = len(np.unique(numbers))
    if distinct > max(2, len(numbers) // 2):
        found = f"{distinct} different ones for {len(numbers)} images"
        raise PePRError(f"the labels in {source} are not classes: {found}; {what}.")
    return numbers.astype(np.int64)


def _resize(arrays: NDArray[np.uint8], size: int) -> Tensor:
    """Bring images to shape (n, 3, size, size), bilinearly; one channel is repeated thrice."""
    images = torch.from_numpy(arrays)
    images = images.unsqueeze(1).expand(-1, 3, -1, -1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    if tuple(images.shape[-2:]) == (size, size):
        return images.contiguous()
    done = [
        torch.nn.functional.interpolate(part.float(), (size, size), mode="bilinear", antialias=True).round().byte()
        for part in torch.split(images, 1024)  # so that few are floats at once
    ]
    return torch.cat(done)
