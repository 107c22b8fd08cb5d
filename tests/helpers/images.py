"""Files of images to train on."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def write_medmnist(path: Path, *, channels: int = 3, classes: int = 7, **replaced: NDArray[Any]) -> Path:
    """A file in the format of MedMNIST, whose images tell their class by their brightness."""
    random = np.random.default_rng(0)
    arrays: dict[str, NDArray[Any]] = {}
    for part, count in (("train", 70), ("val", 21), ("test", 35)):
        labels = (np.arange(count) % classes).astype(np.uint8)
        noise = random.integers(0, 8, (count, 28, 28, channels) if channels > 1 else (count, 28, 28))
        arrays[f"{part}_images"] = (noise + labels.reshape(-1, *[1] * (noise.ndim - 1)) * 30).astype(np.uint8)
        arrays[f"{part}_labels"] = labels.reshape(-1, 1)
    np.savez(path, **(arrays | replaced))  # type: ignore[arg-type]  # a key could be called "allow_pickle"
    return path


def write_folder(
    root: Path, parts: tuple[str, ...] = ("",), classes: tuple[str, ...] = ("cat", "dog"), count: int = 20
) -> Path:
    """Images in one folder a class, in some parts, that tell their class by their brightness."""
    for part, each in itertools.product(parts, classes):
        place = root / part / each
        place.mkdir(parents=True)
        for number in range(count):
            shade = 255 * classes.index(each)
            Image.new("RGB", (40 + number, 30), (shade, shade, shade)).save(place / f"{number}.png")
    return root
