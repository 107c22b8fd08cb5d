"""Batches that say how many samples they have: of PyTorch Geometric, of MONAI, and of the kinds that others make."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lightning_pepr import PePRCallback
from lightning_pepr.callbacks._batches import BatchCounter
from tests.helpers.fits import record_of
from tests.helpers.training import Worker, WorkMeter, trainer

DEV = "comes with lightning-pepr[dev], which CI installs"


class Loading(Worker):
    """Trains and validates on a loader that is given."""

    def __init__(self, loader: Any) -> None:
        super().__init__()
        self.loader = loader
        self.batches: set[type] = set()

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        self.batches.add(type(batch))
        loss: torch.Tensor = self.layer(torch.ones(2, 2)).square().mean()
        return loss

    def train_dataloader(self) -> Any:
        return self.loader

    val_dataloader = train_dataloader


def counted(root: Path, loader: Any) -> tuple[float | None, int | None]:
    """The samples of one epoch of training, and of validation."""
    module = Loading(loader)
    callback = PePRCallback("val_acc", meter=WorkMeter(module))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's own guess is ambiguous
        trainer(callback, root=root, max_epochs=1, num_sanity_val_steps=0).fit(module)
    record = record_of(callback)
    assert module.batches - {type(None)}
    return record.costs["data_samples"].value, record.val_samples


# PyTorch Geometric --------------------------------------------------------------------------------------------------


def graphs(count: int, target: bool = True) -> list[Any]:
    data = pytest.importorskip("torch_geometric.data", reason=DEV)
    made = []
    for nodes in range(3, 3 + count):
        edges = torch.stack([torch.arange(nodes), torch.arange(nodes).roll(1)])
        made.append(data.Data(edge_index=edges, x=torch.randn(nodes, 4), y=torch.tensor([1.0]) if target else None))
    return made


@pytest.mark.parametrize("target", [True, False])
def test_pyg_counts_graphs_not_nodes(tmp_path: Path, target: bool) -> None:
    loader = pytest.importorskip("torch_geometric.loader", reason=DEV)
    assert counted(tmp_path, loader.DataLoader(graphs(11, target), batch_size=4)) == (11, 11)


def test_pyg_counts_heterogeneous_graphs(tmp_path: Path) -> None:
    data = pytest.importorskip("torch_geometric.data", reason=DEV)
    loader = pytest.importorskip("torch_geometric.loader", reason=DEV)
    made = []
    for nodes in range(2, 13):
        graph = data.HeteroData()
        graph["atom"].x, graph["residue"].x = torch.randn(nodes, 3), torch.randn(2, 5)
        graph["atom", "in", "residue"].edge_index = torch.zeros(2, nodes, dtype=torch.long)
        made.append(graph)
    assert counted(tmp_path, loader.DataLoader(made, batch_size=4)) == (11, 11)


def test_pyg_counts_graphs_beside_other_things(tmp_path: Path) -> None:
    """A pair of graphs and a target; a dictionary with a tensor that has a row for each node."""
    loader = pytest.importorskip("torch_geometric.loader", reason=DEV)
    pairs = [(one, two, float(i)) for i, (one, two) in enumerate(zip(graphs(11), graphs(11), strict=True))]
    assert counted(tmp_path, loader.DataLoader(pairs, batch_size=4)) == (11, 11)
    dicts = [{"graph": graph, "weight": 1.0} for graph in graphs(11)]
    assert counted(tmp_path, loader.DataLoader(dicts, batch_size=4)) == (11, 11)


def test_pyg_counts_a_list_of_graphs(tmp_path: Path) -> None:
    loader = pytest.importorskip("torch_geometric.loader", reason=DEV)
    assert counted(tmp_path, loader.DataListLoader(graphs(11), batch_size=4)) == (11, 11)


def test_pyg_does_not_count_the_fields_of_one_graph(tmp_path: Path) -> None:
    """Its length is the number of its attributes."""
    graph = graphs(1)[0]
    assert len(graph) == 3
    loader: Any = DataLoader([graph], batch_size=None)  # type: ignore[arg-type]
    assert counted(tmp_path, loader) == (None, None)


@pytest.mark.parametrize("hetero", [False, True])
def test_pyg_counts_the_seeds_that_neighbours_are_sampled_for(tmp_path: Path, hetero: bool) -> None:
    data = pytest.importorskip("torch_geometric.data", reason=DEV)
    loader = pytest.importorskip("torch_geometric.loader", reason=DEV)
    typing = pytest.importorskip("torch_geometric.typing", reason=DEV)
    if not (typing.WITH_PYG_LIB or typing.WITH_TORCH_SPARSE):
        # What the loader gives then has this form; sampling needs pyg-lib or torch-sparse.
        sampled: Any = data.HeteroData() if hetero else data.Data(x=torch.randn(40, 3))
        store = sampled["paper"] if hetero else sampled
        store.x, store.batch_size = torch.randn(40, 3), 4
        assert BatchCounter().size(sampled) == 4
        return
    edges = torch.randint(30, (2, 90))
    graph: Any = data.HeteroData() if hetero else data.Data(x=torch.randn(30, 3), edge_index=edges)
    if hetero:
        graph["paper"].x, graph["paper", "cites", "paper"].edge_index = torch.randn(30, 3), edges
        graph["author"].x = torch.randn(5, 3)
    seeds: Any = torch.arange(11)
    nodes = ("paper", seeds) if hetero else seeds
    sampling = loader.NeighborLoader(graph, num_neighbors=[3, 3], batch_size=4, input_nodes=nodes)
    assert counted(tmp_path, sampling) == (11, 11)


# MONAI --------------------------------------------------------------------------------------------------------------


def volumes(count: int) -> list[dict[str, Any]]:
    data = pytest.importorskip("monai.data", reason=DEV)
    made = []
    for index in range(count):
        meta = {"affine": torch.eye(4), "filename_or_obj": f"{index}.nii", "spacing": np.ones(3)}
        image, label = torch.randn(1, 12, 12, 12), torch.ones(1, 12, 12, 12)
        made.append(
            {"image": data.MetaTensor(image, meta=dict(meta)), "label": data.MetaTensor(label, meta=dict(meta))}
        )
    return made


def test_monai_counts_volumes(tmp_path: Path) -> None:
    data = pytest.importorskip("monai.data", reason=DEV)
    loader = data.DataLoader(data.Dataset(volumes(11)), batch_size=4)
    assert isinstance(next(iter(loader))["image"], data.MetaTensor)
    assert counted(tmp_path, loader) == (11, 11)


def test_monai_counts_each_crop_of_a_volume(tmp_path: Path) -> None:
    """Which are what the network sees."""
    data = pytest.importorskip("monai.data", reason=DEV)
    transforms = pytest.importorskip("monai.transforms", reason=DEV)
    crop = transforms.RandCropByPosNegLabeld(["image", "label"], "label", (4, 4, 4), num_samples=3)
    loader = data.DataLoader(data.Dataset(volumes(5), transform=crop), batch_size=2)
    assert counted(tmp_path, loader) == (15, 15)


def test_monai_counts_decollated_volumes(tmp_path: Path) -> None:
    data = pytest.importorskip("monai.data", reason=DEV)

    def decollated(samples: list[Any]) -> list[Any]:
        parts: list[Any] = data.decollate_batch(data.list_data_collate(samples))
        return parts

    assert counted(tmp_path, DataLoader(volumes(11), batch_size=4, collate_fn=decollated)) == (11, 11)  # type: ignore[arg-type]
    assert counted(tmp_path, DataLoader(volumes(11), batch_size=4, collate_fn=list)) == (11, 11)  # type: ignore[arg-type]


# What others' batches look like -------------------------------------------------------------------------------------


@dataclass
class Molecules:
    """A batch of graphs that has a row for each atom, and the molecules as its length, as chemprop's."""

    atoms: torch.Tensor
    edge_index: torch.Tensor
    molecules: int

    def __len__(self) -> int:
        return self.molecules


class Training(NamedTuple):
    """A batch of molecules with their targets, and what describes atoms, or none."""

    graph: Molecules
    of_atoms: torch.Tensor | None
    targets: torch.Tensor
    weights: torch.Tensor


@dataclass
class Images:
    """A batch of images that says how many they are, as anomalib's."""

    image: torch.Tensor
    gt_label: torch.Tensor | None = None
    paths: list[str] | None = None

    @property
    def batch_size(self) -> int:
        return len(self.image)


class Fields(dict[str, Any]):
    """A dictionary of tensors that has a size of its own, as a TensorDict has."""

    batch_size = torch.Size([8, 5])


class Encoding(Mapping[str, Any]):
    """A mapping that is no dictionary, as the tokens of transformers."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


class Opaque:
    """A batch that says nothing."""


class Raising(Opaque):
    """A batch whose size cannot be asked for."""

    @property
    def batch_size(self) -> int:
        raise ValueError("no image")


MOLECULES = Molecules(torch.zeros(56, 7), torch.zeros(2, 110), 8)


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        (torch.zeros(5, 2), 5),
        (np.zeros((5, 2)), 5),
        (torch.tensor(1.0), 1),
        (torch.nested.nested_tensor([torch.zeros(2, 3), torch.zeros(4, 3)], layout=torch.jagged), 2),
        (torch.eye(6).to_sparse(), 6),
        ([torch.zeros(4, 2), torch.zeros(4)], 4),
        ({"x": torch.zeros(3), "y": 1}, 3),
        ({"x": {"deep": [torch.zeros(2)]}}, 2),
        ({"x": torch.zeros(3, 2), "step": torch.tensor(7)}, 3),
        (Encoding({"ids": torch.zeros(8, 128), "mask": torch.zeros(8, 128), "labels": torch.zeros(8)}), 8),
        (MOLECULES, 8),
        (Training(MOLECULES, None, torch.zeros(8, 1), torch.ones(8, 1)), 8),
        (Training(MOLECULES, torch.zeros(56, 3), torch.zeros(8, 1), torch.ones(8, 1)), 8),
        ([[MOLECULES, MOLECULES], torch.zeros(8, 1)], 8),
        (Images(torch.zeros(8, 3, 6, 6)), 8),
        (Fields(x=torch.zeros(8, 5, 2), index=torch.zeros(3)), 8),
        (torch.nn.utils.rnn.pack_sequence([torch.zeros(4, 2), torch.zeros(3, 2), torch.zeros(1, 2)]), 3),
        ({"temporal": torch.zeros(8, 30, 4), "names": np.array(["a", "b"]), "static": None}, 8),
        (["a", "b"], None),
        ("ab", None),
        ((), None),
        ({}, None),
        (Opaque(), None),
        (Raising(), None),
        (torch.nn.ModuleList([torch.nn.Linear(1, 1)]), None),
        ([torch.zeros(50, 8, 3), torch.zeros(8)], None),  # time first
        ({"edge_index": torch.zeros(2, 40), "x": torch.zeros(24, 3)}, None),
        ((MOLECULES, torch.zeros(56)), None),
        ({"t1": {"data": torch.zeros(4, 1, 8, 8), "path": ["a.nii"] * 4}, "name": ["a", "b", "c", "d"]}, 4),
    ],
)
def test_what_a_batch_says_without_a_word_of_its_loader(batch: Any, size: int | None) -> None:
    assert BatchCounter().size(batch) == size


def test_names_of_columns_are_no_samples() -> None:
    pandas = pytest.importorskip("pandas")
    columns = pandas.Index(["y", "mask", "trend"])
    assert BatchCounter().size({"temporal": torch.zeros(8, 30, 4), "temporal_cols": columns}) == 8
