"""Images in files, in one folder for each class."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch.utils.data import Subset

from lightning_pepr.errors import PePRError
from lightning_pepr.study.data.images import PARTS, ImageData, split_by_patient
from lightning_pepr.utilities.imports import require

if TYPE_CHECKING:
    from torchvision.datasets import ImageFolder
_PART_FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}


@dataclass(eq=False)
class FolderData(ImageData):
    """Images in files, in one folder for each class, as torchvision's `ImageFolder` reads them.

    With folders "train", "val" and "test" (or some of these) these are the parts, and what is missing is held out from
    "train"; else the folders are the classes, and both are held out. Images are read as they are needed, their shorter
    side is brought to `image_size`, and the middle is cut out.
    """

    root: Path = field(kw_only=True)

    def setup(self, stage: str = "fit") -> None:
        """List the files."""
        if self._parts:
            return
        folders = self._folders()
        self.num_classes = len(folders["train"].classes)
        for name, folder in folders.items():
            if folder.class_to_idx != folders["train"].class_to_idx:
                other = sorted(set(folder.classes) ^ set(folders["train"].classes))
                raise PePRError(f"{self.root}: the folders of classes in train and in {name} differ in {other}.")
        files = [str(Path(path).relative_to(self.root)) for path, _ in folders["train"].samples]
        part = split_by_patient(  # each file is its own "patient"
            files,
            0.0 if "val" in folders else self.val_fraction,
            0.0 if "test" in folders else self.test_fraction,
            seed=self.split_seed,
        )
        for name in PARTS:
            folder = folders.get(name, folders["train"])
            classes = np.array(folder.targets, dtype=np.int64)
            inside = part if folder is folders["train"] else np.full(len(classes), name)
            rows = self._rows(name, classes, inside)
            self._parts[name] = Subset(folder, rows.tolist())
            self._classes[name] = classes[rows]

    def _folders(self) -> dict[str, ImageFolder]:
        if not self.root.is_dir():
            raise FileNotFoundError(f"there is no folder {str(self.root)!r}; expected images in one folder a class.")
        transforms = require("torchvision.transforms", "study", "reading folders of images")
        from torchvision.datasets import ImageFolder

        transform = transforms.Compose(
            [transforms.Resize(self.image_size), transforms.CenterCrop(self.image_size), transforms.PILToTensor()]
        )
        inside = {child.name.lower(): child for child in self.root.iterdir() if child.is_dir()}
        names = {part: next((n for n in _PART_FOLDERS[part] if n in inside), None) for part in PARTS}
        if names["train"] is None:
            return {"train": ImageFolder(str(self.root), transform)}
        return {part: ImageFolder(str(inside[name]), transform) for part, name in names.items() if name is not None}
