"""The data set that a study names, and whether it can be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lightning_pepr.errors import PePRError
from lightning_pepr.study.data.digits import DigitsData
from lightning_pepr.study.data.folders import FolderData
from lightning_pepr.study.data.images import PARTS, ImageData
from lightning_pepr.study.data.medmnist import MedMNISTData
from lightning_pepr.study.data.nodules import NoduleData
from lightning_pepr.study.settings import MEDMNIST, Settings


def make_data(settings: Settings, image_size: int, *, fraction: float = 1.0, seed: int = 0) -> ImageData:
    """The data set that a study names, with its limits."""
    same = ("batch_size", "num_workers", "train_samples", "eval_samples")
    options: dict[str, Any] = {name: getattr(settings, name) for name in same}
    options |= {"image_size": image_size, "fraction": fraction, "subset_seed": seed}
    source = settings.data
    if source == "lidc":
        return NoduleData(**options)
    if source == "digits":
        return DigitsData(**options)
    if source.startswith(MEDMNIST) or source.endswith(".npz"):
        return MedMNISTData(**options, source=source.removeprefix(MEDMNIST))
    return FolderData(**options, root=Path(source))


def check_data(data: ImageData, source: str, measure: str = "auroc") -> None:
    """Refuse data, set up, on which a performance would mean nothing."""
    for part in PARTS:
        classes = data.classes_of(part)
        found = np.unique(classes)
        if len(found) < 2:
            what = f"all {len(classes)} images are of class {found[0]}" if len(found) else "it has no image"
            raise PePRError(
                f"the {part} part of {source} cannot be used: {what}; expected at least two classes in each part."
            )
        missing = sorted(set(range(data.num_classes)) - set(found.tolist()))
        if missing and (part == "train" or measure == "auroc"):  # which needs every class where it is measured
            use = "" if part == "train" else ", or --measure acc, which does not need all"
            raise PePRError(
                f"the {part} part of {source} ({len(classes)} images) has none of class "
                f"{', '.join(map(str, missing[:5]))} of {data.num_classes}; more images are needed there{use}."
            )
