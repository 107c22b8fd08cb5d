"""The outlines are drawn once for all tests of the study."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch.utils.data import DataLoader, Subset

from lightning_pepr.study.data.images import Batch
from lightning_pepr.study.data.nodules import NoduleData
from lightning_pepr.study.data.outlines import Outlines, load_outlines


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def outlines(cache: Path) -> Outlines:
    return load_outlines(32, cache=cache)


@pytest.fixture
def data(cache: Path) -> NoduleData:
    data = NoduleData(32, 64, cache=cache)
    data.setup()
    return data


class FewNodules(NoduleData):
    """Four batches to train on, and all else as it is."""

    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(Subset(super().train_dataloader().dataset, range(256)), batch_size=64, shuffle=True)


@pytest.fixture
def few(cache: Path) -> NoduleData:
    return FewNodules(32, 64, cache=cache)
