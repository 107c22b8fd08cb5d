"""Whatever the data: several loaders, streams without a length or an end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import (
    EarlyStopping,
)
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lightning_pepr import PePRCallback
from tests.helpers.counting import SPACE, Counting, fit
from tests.helpers.fits import check_stages, record_of
from tests.helpers.training import TRAIN_UJ, VALIDATE_UJ, WorkMeter, trainer


class TwoSets(Counting):
    """Two validation loaders, whose keys Lightning tells apart."""

    key = "val_acc/dataloader_idx_0"

    def val_dataloader(self) -> Any:
        return [super().val_dataloader(), DataLoader(TensorDataset(torch.randn(4, 2)), batch_size=1)]


def test_several_validation_loaders(tmp_path: Path) -> None:
    stop = EarlyStopping("pepr_e", mode="max", patience=5)
    _, record = fit(TwoSets(), tmp_path, stop)
    check_stages(record, train=3 * 4 * TRAIN_UJ, validate=3 * (3 + 4) * VALIDATE_UJ)
    assert [e.performance for e in record.epochs] == [0.25, 0.5, 0.625], "that of the first loader"
    assert record.monitor == "val_acc/dataloader_idx_0"
    assert record.test_monitor == "test_acc/dataloader_idx_0"
    assert record.val_samples == 6, "of the first loader alone"


def test_a_key_of_several_loaders_does_not_tell_of_how_many_samples_it_is(tmp_path: Path) -> None:
    class Together(TwoSets):
        def on_validation_epoch_end(self) -> None:
            self.log("val_both", 0.5)

    module = Together()
    callback = PePRCallback("val_both", space=SPACE, meter=WorkMeter(module))
    trainer(callback, root=tmp_path).fit(module)
    assert record_of(callback).performance == 0.5
    assert record_of(callback).val_samples is None


def test_several_validation_loaders_and_a_key_without_the_index(tmp_path: Path) -> None:
    module = TwoSets()
    with pytest.warns(UserWarning, match="Logged are val_acc/dataloader_idx_0, val_acc/dataloader_idx_1"):
        trainer(PePRCallback("val_acc", space=SPACE), root=tmp_path).fit(module)


class Stream(IterableDataset[torch.Tensor]):
    """Samples without a length; without an end, if `length` is None."""

    def __init__(self, length: int | None) -> None:
        self.length = length

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (torch.ones(2) for _ in (itertools.count() if self.length is None else range(self.length)))


class Streaming(Counting):
    def __init__(self, length: int | None) -> None:
        super().__init__()
        self.length = length

    def work_on(self, batch: Any) -> torch.Tensor:
        return super().work_on([batch])

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(Stream(self.length), batch_size=4)


def test_data_without_a_length(tmp_path: Path) -> None:
    _, record = fit(Streaming(14), tmp_path)
    assert record.costs["data_samples"].value == 42
    assert [(e.epoch, e.step) for e in record.epochs] == [(0, 3), (1, 7), (2, 11)]


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"limit_train_batches": 5}, [4, 9, 14]),
        ({"max_epochs": -1, "max_steps": 10, "val_check_interval": 4}, [3, 7]),
        (
            {"max_epochs": -1, "max_steps": 10, "val_check_interval": 4, "check_val_every_n_epoch": None},
            [3, 7],
        ),
    ],
)
def test_data_without_an_end(tmp_path: Path, options: dict[str, Any], steps: list[int]) -> None:
    _, record = fit(Streaming(None), tmp_path, **options)
    assert [e.step for e in record.evaluations] == steps
    assert record.costs["data_samples"].value == 4 * (15 if "limit_train_batches" in options else 10)


class Paired(Counting):
    """Two training loaders, of which the first ends first."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode: Any = mode

    def work_on(self, batch: Any) -> torch.Tensor:
        return super().work_on(batch["short"] or batch["long"])

    def train_dataloader(self) -> Any:
        short, long = (DataLoader(TensorDataset(torch.randn(n, 2)), batch_size=4) for n in (6, 14))
        return CombinedLoader({"short": short, "long": long}, self.mode)


@pytest.mark.parametrize(("mode", "samples"), [("min_size", 6), ("max_size_cycle", 12), ("max_size", 12)])
def test_the_first_of_several_loaders_counts(tmp_path: Path, mode: str, samples: int) -> None:
    _, record = fit(Paired(mode), tmp_path)
    assert record.costs["data_samples"].value == 3 * samples
