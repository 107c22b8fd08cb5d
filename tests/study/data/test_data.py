"""The data module: no patient in two parts, and the same split everywhere."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lightning_pepr.study.data.modules import DigitsData, NoduleData, check_data, choose, make_data, split_by_patient
from lightning_pepr.study.data.outlines import load_outlines


def loaded(cache: Path, **options: float) -> NoduleData:
    data = NoduleData(32, 64, cache=cache, **options)
    data.prepare_data()
    data.setup()
    return data


def test_no_patient_is_in_two_parts(cache: Path) -> None:
    patients = load_outlines(32, cache=cache).patients
    part = split_by_patient(patients.tolist())
    groups = {name: set(patients[part == name].tolist()) for name in ("train", "val", "test")}
    assert {name: len(group) for name, group in groups.items()} == {"train": 580, "val": 124, "test": 124}
    assert not groups["train"] & groups["val"]
    assert not groups["train"] & groups["test"]
    assert not groups["val"] & groups["test"]


def test_the_parts_make_up_the_whole(cache: Path) -> None:
    data = loaded(cache)
    sizes = [len(loader.dataset) for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())]
    assert sum(sizes) == 4253
    assert sizes == [3065, 689, 499]  # the same on every machine, for results that compare
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        positive = torch.cat([classes for _, classes in loader]).float().mean()
        assert 0.3 < positive < 0.5


def test_the_split_is_seeded_and_does_not_depend_on_order() -> None:
    patients = [f"P{i % 50}" for i in range(200)]
    of_patient = dict(zip(patients, split_by_patient(patients), strict=True))
    assert of_patient == dict(zip(patients[::-1], split_by_patient(patients[::-1]), strict=True))
    assert of_patient != dict(zip(patients, split_by_patient(patients, seed=1), strict=True))


def test_batches_are_floats_once_on_the_device(cache: Path) -> None:
    data = loaded(cache)
    batch = next(iter(data.val_dataloader()))
    assert batch[0].dtype == torch.uint8
    images, classes = data.on_after_batch_transfer(batch, 0)
    assert images.shape == (64, 3, 32, 32)
    assert images.dtype == torch.float32
    assert 0 < images.max() <= 1
    assert classes.dtype == torch.int64
    assert set(classes.tolist()) == {0, 1}


def test_training_is_shuffled_by_the_seed_and_evaluation_is_not(cache: Path) -> None:
    data = loaded(cache)
    val, test = (next(iter(loader))[0] for loader in (data.val_dataloader(), data.test_dataloader()))
    assert torch.equal(val, next(iter(data.val_dataloader()))[0])
    assert torch.equal(test, next(iter(data.test_dataloader()))[0])
    first = {}
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        batch = next(iter(data.train_dataloader()))[0]
        assert torch.equal(first.setdefault(seed, batch), batch)
    assert not torch.equal(first[0], first[1])


def test_a_last_batch_of_one_is_dropped_in_training_only(cache: Path) -> None:
    data = NoduleData(32, 64, cache=cache)  # 3065 = 47 × 64 + 57
    data.setup()
    assert sum(len(classes) for _, classes in data.train_dataloader()) == 3065
    data.batch_size = 8  # 3065 = 383 × 8 + 1
    assert sum(len(classes) for _, classes in data.train_dataloader()) == 3064
    data.batch_size = 4  # 689 = 172 × 4 + 1
    assert sum(len(classes) for _, classes in data.val_dataloader()) == 689


@pytest.mark.slow
def test_without_a_cache_it_draws_by_itself() -> None:
    data = NoduleData(8, cache=False)
    data.prepare_data()
    data.setup()
    assert next(iter(data.test_dataloader()))[0].shape == (32, 3, 8, 8)


@pytest.mark.parametrize("shares", [(0.0, 0.2), (0.2, 0.0), (0.5, 0.5), (-0.1, 0.2)])
def test_shares_that_leave_nothing_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="leave something for training"):
        NoduleData(val_fraction=shares[0], test_fraction=shares[1])


def test_loading_before_setup_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="setup"):
        NoduleData().train_dataloader()


def test_the_digits_are_whole_and_enlarged() -> None:
    from sklearn.datasets import load_digits

    data = DigitsData(32, 64)
    data.setup()
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    assert [len(loader.dataset) for loader in loaders] == [1257, 270, 270]
    images, classes = data.on_after_batch_transfer(next(iter(loaders[1])), 0)
    assert images.shape == (64, 3, 32, 32)
    assert 0.0 <= float(images.min()) < 0.05
    assert 0.9 < float(images.max()) <= 1.0
    assert sorted(set(classes.tolist())) == list(range(10))
    original, labels = load_digits(return_X_y=True)
    assert sum(torch.bincount(loader.dataset.tensors[1], minlength=10) for loader in loaders).tolist() == (
        torch.bincount(torch.tensor(labels)).tolist()
    )
    small = torch.nn.functional.adaptive_avg_pool2d(torch.cat([loader.dataset.tensors[0] for loader in loaders]) / 1, 8)
    assert float(small[:, 0].mean()) == pytest.approx(original.mean() * 255 / 16, rel=0.01)


# Shares and limits ---------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200), st.data())
def test_a_choice_has_every_class_and_smaller_ones_are_part_of_larger_ones(
    classes: list[int], data: st.DataObject
) -> None:
    labels = np.array(classes)
    count = data.draw(st.integers(1, len(labels)))
    chosen = choose(labels, count, seed=1)
    assert len(set(chosen.tolist())) == count
    assert set(choose(labels, max(1, count // 2), seed=1).tolist()) <= set(chosen.tolist())
    distinct, counts = np.unique(labels, return_counts=True)
    if count >= len(distinct):
        assert set(labels[chosen].tolist()) == set(distinct.tolist())
    for each, size in zip(distinct, counts, strict=True):
        assert abs((labels[chosen] == each).sum() - count * size / len(labels)) <= len(distinct)


def test_a_fraction_is_of_the_training_part_alone_and_follows_its_seed() -> None:
    whole, tenth, again, other = (
        make_data("digits", 8, fraction=fraction, subset_seed=seed)
        for fraction, seed in ((1, 0), (0.1, 0), (0.1, 0), (0.1, 1))
    )
    for data in (whole, tenth, again, other):
        data.setup()
    assert whole.sizes() == {"train": 1257, "val": 270, "test": 270}
    assert tenth.sizes() == {"train": 126, "val": 270, "test": 270}
    assert set(tenth.classes_of("train").tolist()) == set(range(10))
    images = [data.train_dataloader().dataset.tensors[0] for data in (tenth, again, other)]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
    with pytest.raises(ValueError, match="fraction is 0"):
        make_data("digits", 8, fraction=0)


def test_limits_come_before_the_fraction() -> None:
    data = make_data("digits", 8, train_samples=100, fraction=0.5, eval_samples=40, subset_seed=3)
    data.setup()
    assert data.sizes() == {"train": 50, "val": 40, "test": 40}
    other = make_data("digits", 8, eval_samples=40)
    other.setup()
    for part in ("val", "test"):  # all runs are tested on the same images
        assert torch.equal(
            getattr(data, f"{part}_dataloader")().dataset.tensors[0],
            getattr(other, f"{part}_dataloader")().dataset.tensors[0],
        )


# MedMNIST -----------------------------------------------------------------------------------------------------------


def medmnist(path: Path, *, channels: int = 3, classes: int = 7, **replaced: np.ndarray) -> Path:
    """A file in the format of MedMNIST, whose images tell their class by their brightness."""
    random = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 70), ("val", 21), ("test", 35)):
        labels = (np.arange(count) % classes).astype(np.uint8)
        noise = random.integers(0, 8, (count, 28, 28, channels) if channels > 1 else (count, 28, 28))
        arrays[f"{part}_images"] = (noise + labels.reshape(-1, *[1] * (noise.ndim - 1)) * 30).astype(np.uint8)
        arrays[f"{part}_labels"] = labels.reshape(-1, 1)
    np.savez(path, **(arrays | replaced))
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_of_medmnist_is_read_whole(channels: int, tmp_path: Path) -> None:
    data = make_data(str(medmnist(tmp_path / "derma.npz", channels=channels)), 32)
    data.prepare_data()
    data.setup()
    assert data.num_classes == 7
    assert data.sizes() == {"train": 70, "val": 21, "test": 35}
    images, classes = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    assert images.shape == (32, 3, 32, 32)
    brightness = images.mean(dim=(1, 2, 3)) * 255
    assert torch.equal((brightness / 30).floor().long(), classes)
    check_data(data, "derma")


def test_a_named_data_set_is_found_in_the_packages_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("medmnist")
    monkeypatch.setattr(package.dataset, "DEFAULT_ROOT", str(tmp_path))
    medmnist(tmp_path / "dermamnist_64.npz")
    data = make_data("medmnist:dermamnist", 48)  # the smallest published size from there on is 64
    data.prepare_data()
    data.setup()
    assert data.sizes()["test"] == 35


def test_a_named_data_set_that_cannot_be_had_says_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = pytest.importorskip("medmnist")
    monkeypatch.setattr(package.dataset, "DEFAULT_ROOT", str(tmp_path / "none"))  # not there, so nothing is downloaded
    with pytest.raises(
        FileNotFoundError, match=r"pneumoniamnist\.npz is not there and cannot be downloaded.*--data PATH"
    ):
        make_data("medmnist:pneumoniamnist", 28).prepare_data()
    with pytest.raises(ValueError, match=r"no data set 'pneumoniamnst'\. Did you mean 'pneumoniamnist'"):
        make_data("medmnist:pneumoniamnst", 28).prepare_data()


@pytest.mark.parametrize(
    ("replaced", "told"),
    [
        ({"val_labels": np.full((21, 1), 0.5)}, r"not classes: one is 0\.5; expected whole numbers from 0"),
        ({"val_labels": np.full((21, 1), -1)}, r"not classes: one is -1"),
        (
            {
                "train_labels": np.zeros((70, 14), int),
                "val_labels": np.zeros((21, 14), int),
                "test_labels": np.zeros((35, 14), int),
            },
            r"\(126, 14\), several for each image",
        ),
        ({"train_labels": np.arange(70).reshape(-1, 1)}, "70 different ones for 126 images"),
        (
            {f"{part}_labels": np.full((n, 1), "benign") for part, n in (("train", 70), ("val", 21), ("test", 35))},
            "not classes but such as 'benign'",
        ),
        ({"test_images": np.zeros((35, 28, 28, 28), np.uint8)}, r"volumes \(3D\) cannot be used"),
        ({"test_images": np.zeros((35, 28, 28, 3))}, r"float64 of shape .*; expected bytes"),
    ],
)
def test_files_that_hold_no_classes_of_images_are_refused(
    replaced: dict[str, np.ndarray], told: str, tmp_path: Path
) -> None:
    data = make_data(str(medmnist(tmp_path / "derma.npz", **replaced)), 32)
    with pytest.raises(ValueError, match=told):
        data.setup()


def test_files_that_are_no_medmnist_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 cut short")
    (tmp_path / "empty.npz").touch()
    for name in ("other", "broken", "empty"):
        with pytest.raises(ValueError, match=rf"{name}\.npz is no data set of MedMNIST"):
            make_data(str(tmp_path / f"{name}.npz"), 32).setup()
    with pytest.raises(FileNotFoundError, match="there is no file"):
        make_data("nowhere.npz", 32).setup()


# Folders ------------------------------------------------------------------------------------------------------------


def folder(
    root: Path, parts: tuple[str, ...] = ("",), classes: tuple[str, ...] = ("cat", "dog"), count: int = 20
) -> Path:
    for part, each in itertools.product(parts, classes):
        place = root / part / each
        place.mkdir(parents=True)
        for number in range(count):
            shade = 255 * classes.index(each)
            Image.new("RGB", (40 + number, 30), (shade, shade, shade)).save(place / f"{number}.png")
    return root


def test_a_folder_of_classes_is_split_and_read_as_it_is_needed(tmp_path: Path) -> None:
    data = make_data(str(folder(tmp_path / "pets")), 24, 8, num_workers=0)
    data.prepare_data()
    data.setup()
    assert data.num_classes == 2
    assert data.sizes() == {"train": 28, "val": 6, "test": 6}
    files = {
        name: {data._parts[name].dataset.samples[i][0] for i in data._parts[name].indices} for name in data.sizes()
    }
    assert len(set.union(*files.values())) == 40
    images, classes = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert images.shape == (8, 3, 24, 24)
    assert torch.equal(images.mean(dim=(1, 2, 3)), classes.float())
    check_data(data, "pets")


def test_parts_that_are_there_are_used_and_others_are_held_out(tmp_path: Path) -> None:
    data = make_data(str(folder(tmp_path / "pets", parts=("train", "test"))), 24, fraction=0.5)
    data.setup()
    assert data.sizes() == {"train": 17, "val": 6, "test": 40}
    assert {"train", "val"} == {
        name for name in ("train", "val") if "/train/" in data._parts[name].dataset.samples[0][0]
    }


def test_folders_without_images_or_classes_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        make_data(str(tmp_path / "nowhere"), 24).setup()
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="class"):
        make_data(str(tmp_path / "empty"), 24).setup()
    folder(tmp_path / "pets", parts=("train",))
    folder(tmp_path / "pets", parts=("test",), classes=("cat", "cow"))
    with pytest.raises(ValueError, match=r"train and in test differ in \['cow', 'dog'\]"):
        make_data(str(tmp_path / "pets"), 24).setup()


# What no performance can be had of -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "measure", "told"),
    [
        ({"test": [0] * 35}, "auroc", "the test part of derma cannot be used: all 35 images are of class 0"),
        ({"test": [0] * 35}, "acc", "all 35 images are of class 0"),
        (
            {"val": [0, 1, 2] * 7},
            "auroc",
            r"the val part of derma \(21 images\) has none of class 3, 4, 5, 6 of 7.*--measure acc",
        ),
        ({"train": [0, 1] * 35}, "acc", r"the train part of derma \(70 images\) has none of class 2"),
    ],
)
def test_a_part_of_too_few_classes_is_refused(
    labels: dict[str, list[int]], measure: str, told: str, tmp_path: Path
) -> None:
    replaced = {f"{part}_labels": np.array(values).reshape(-1, 1) for part, values in labels.items()}
    data = make_data(str(medmnist(tmp_path / "derma.npz", **replaced)), 32)
    data.setup()
    with pytest.raises(ValueError, match=told):
        check_data(data, "derma", measure)


def test_accuracy_does_without_some_classes(tmp_path: Path) -> None:
    data = make_data(str(medmnist(tmp_path / "derma.npz", val_labels=np.array([0, 1, 2] * 7).reshape(-1, 1))), 32)
    data.setup()
    check_data(data, "derma", "acc")
