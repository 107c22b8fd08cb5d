"""The samples of batches, of every kind that people make: counted right, or not at all."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lightning_pepr import PePRCallback, RunRecord
from lightning_pepr.callbacks._batches import BatchCounter, SampleCount, Source
from tests.helpers.fits import record_of
from tests.helpers.training import Worker, WorkMeter, trainer


def image(channels: int = 3, side: int = 6) -> torch.Tensor:
    return torch.zeros(channels, side, side)


def transposed(samples: list[Any]) -> Any:
    """The collation that detection uses, where images differ in size."""
    return tuple(zip(*samples, strict=True))


class Samples(Dataset[Any]):
    """As many samples as `make` is asked for."""

    def __init__(self, make: Callable[[int], Any], samples: int) -> None:
        self.make, self.samples = make, samples

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


class Loading(Worker):
    """Trains and validates on loaders that are given; what batches hold does not matter to it."""

    def __init__(self, loader: Any, log: Callable[[Any], dict[str, Any]] | None = None) -> None:
        super().__init__()
        self.loader, self.options = loader, log

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        loss: torch.Tensor = self.layer(torch.ones(2, 2)).square().mean()
        if self.options is not None:
            self.log("train_loss", loss, **self.options(batch))
        return loss

    def train_dataloader(self) -> Any:
        return self.loader

    val_dataloader = train_dataloader


def run(root: Path, module: Worker, epochs: int = 2, **options: Any) -> RunRecord:
    callback = PePRCallback("val_acc", meter=WorkMeter(module), **options)
    trainer(callback, root=root, max_epochs=epochs, num_sanity_val_steps=0).fit(module)
    return record_of(callback)


def load(make: Callable[[int], Any], samples: int, size: int = 4, **options: Any) -> DataLoader[Any]:
    return DataLoader(Samples(make, samples), batch_size=size, **options)


def counted(root: Path, loader: Any, **options: Any) -> tuple[float | None, int | None]:
    """The samples of one epoch of training, and of validation."""
    record = run(root, Loading(loader), **options)
    samples = record.costs["data_samples"].value
    return None if samples is None else samples / 2, record.val_samples


CASES: dict[str, tuple[Callable[[int], Any], dict[str, Any]]] = {
    "an image and a label": (lambda i: (image(), i), {}),
    "an image and its mask, of one shape": (lambda i: (image(), image()), {}),
    "two views and a label": (lambda i: ((image(), image()), i), {}),
    "triplets": (lambda i: (image(), image(), image()), {}),
    "a dictionary": (lambda i: {"x": torch.zeros(7), "name": str(i), "deep": {"y": torch.tensor(1.0)}}, {}),
    "lists of strings": (lambda i: {"t1": {"data": image(), "path": "a.nii", "tags": ["a", "b", "c"]}}, {}),
    "tuples of images and targets": (lambda i: (image(), {"boxes": torch.zeros(i, 4)}), {"collate_fn": transposed}),
    "tuples of images and numbers": (lambda i: (image(), i), {"collate_fn": transposed}),
    "tuples of images of several sizes": (lambda i: (image(side=5 + i), i), {"collate_fn": transposed}),
    "a list of images": (lambda i: image(), {"collate_fn": list}),
    "a list of pairs": (lambda i: (image(), i), {"collate_fn": list}),
    "a list of dictionaries": (lambda i: {"image": image(1), "label": image(1)}, {"collate_fn": list}),
    "a list of texts": (lambda i: "text", {"collate_fn": list}),
    "images in a list, labels stacked": (
        lambda i: (image(), i),
        {"collate_fn": lambda samples: ([x for x, _ in samples], torch.tensor([y for _, y in samples]))},
    ),
    "pairs of one shape, by a collation of one's own": (
        lambda i: (torch.zeros(7), torch.zeros(7)),
        {"collate_fn": lambda samples: [torch.stack(each) for each in zip(*samples, strict=True)]},
    ),
    "padded sequences, packed": (
        lambda i: torch.zeros(i + 1, 2),
        {"collate_fn": lambda samples: torch.nn.utils.rnn.pack_sequence(samples, enforce_sorted=False)},
    ),
}


@pytest.mark.parametrize("samples", [8, 11, 10, 9, 2])
@pytest.mark.parametrize("case", CASES)
def test_every_sample_counts_once(tmp_path: Path, case: str, samples: int) -> None:
    """With a last batch of three, two and one, and where all are fewer than a batch."""
    make, options = CASES[case]
    assert counted(tmp_path, load(make, samples, **options)) == (samples, samples)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("case", CASES)
def test_samples_are_right_or_not_counted_at_any_size(tmp_path: Path, case: str, size: int) -> None:
    """A batch of three images has as many samples as channels, one of two pairs as many as things in a pair."""
    make, options = CASES[case]
    loader = load(make, 3 * size + 1, size, **options)
    assert set(counted(tmp_path, loader)) <= {3 * size + 1, None}


def test_lists_as_long_as_images_have_channels_give_no_wrong_number(tmp_path: Path) -> None:
    loader = load(lambda i: image(), 3 + 2, 3, collate_fn=list)
    assert counted(tmp_path, loader) == (None, None)
    assert counted(tmp_path, load(lambda i: image(), 6, 3, collate_fn=list)) == (6, 6)


@pytest.mark.parametrize(
    ("full", "last"),
    [
        ([torch.zeros(5, 2), torch.zeros(2, 1)], [torch.zeros(5, 1), torch.zeros(1, 1)]),  # time first
        ([({"x": torch.zeros(2)}, {"x": torch.zeros(1)})] * 2, [({"x": torch.zeros(2)}, {"x": torch.zeros(1)})]),
    ],
)
def test_a_last_batch_of_one_that_still_holds_two_things(full: Any, last: Any) -> None:
    counter = BatchCounter()
    counter._sources = Source(draws=2)
    assert counter.size(full) in (2, None)
    assert counter.size(last) is None


def disagreeing(samples: list[Any]) -> Any:
    """Sequences with the time first, and a target for each."""
    return torch.zeros(5, len(samples), 3), torch.zeros(len(samples))


def test_parts_that_disagree_are_not_counted_and_the_record_says_why(tmp_path: Path) -> None:
    record = run(tmp_path, Loading(load(float, 10, collate_fn=disagreeing)))
    entry = record.costs["data_samples"]
    assert (entry.value, entry.quality) == (None, "unavailable")
    assert "disagree about its size: (5, 4, 3), (4,); PePRCallback(…, batch_size=…) takes" in entry.reason
    assert record.val_samples is None


def test_a_graph_whose_first_tensor_is_its_edges_is_not_counted() -> None:
    graph = {"edge_index": torch.zeros(2, 40), "x": torch.zeros(24, 3), "y": torch.zeros(8)}
    assert BatchCounter().size(graph) is None


@pytest.mark.parametrize(
    ("log", "samples"),
    [
        (lambda batch: {"on_epoch": True, "batch_size": batch[0].shape[1]}, 20),
        (lambda batch: {"on_epoch": True, "on_step": True, "batch_size": batch[0].shape[1]}, 20),
        (lambda batch: {"batch_size": batch[0].shape[1]}, None),  # of the step alone, Lightning keeps no size
        (lambda batch: {"on_epoch": True}, None),  # Lightning takes the first dimension
        (lambda batch: {"on_epoch": True, "batch_size": 1}, None),  # which is how to weigh all batches alike
        (lambda batch: {"on_epoch": True, "batch_size": 2}, None),  # less than the loader draws
        (lambda batch: {"on_epoch": True, "batch_size": 5 * batch[0].shape[1]}, None),  # more than the loader draws
    ],
)
def test_the_size_given_to_self_log_counts(tmp_path: Path, log: Any, samples: int | None) -> None:
    record = run(tmp_path, Loading(load(float, 10, collate_fn=disagreeing), log))
    assert record.costs["data_samples"].value == samples


def test_two_sizes_that_are_given_to_self_log_are_none(tmp_path: Path) -> None:
    class Twice(Loading):
        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            loss = super().training_step(batch, index)
            self.log_dict({"a": loss, "b": loss}, on_epoch=True, on_step=False, batch_size=batch[0].shape[1])
            self.log("c", loss, on_epoch=True, on_step=False, batch_size=2)
            return loss

    record = run(tmp_path, Twice(load(float, 10, collate_fn=disagreeing)))
    assert record.costs["data_samples"].value is None


def test_the_users_function_counts_before_all_else(tmp_path: Path) -> None:
    record = run(
        tmp_path,
        Loading(load(float, 10, collate_fn=disagreeing)),
        batch_size=lambda batch: batch[0].shape[1],
    )
    assert record.costs["data_samples"].value == 20
    assert record.val_samples == 10


@pytest.mark.parametrize("wrong", [None, -1, 2.5, True, "8", torch.zeros(2)])
def test_a_users_function_that_fails_is_one_warning(tmp_path: Path, wrong: Any) -> None:
    with pytest.warns(UserWarning, match="batch_size= of PePRCallback failed") as warned:
        record = run(tmp_path, Loading(load(lambda i: image(), 10)), batch_size=lambda batch: wrong)
    assert sum("batch_size= of" in str(each.message) for each in warned) == 1
    assert record.status == "finished"
    assert record.costs["data_samples"].value is None
    assert "batch_size= of PePRCallback failed" in record.costs["data_samples"].reason


def test_a_users_function_that_raises_does_not_end_the_training(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="KeyError: 'graphs'"):
        record = run(tmp_path, Loading(load(lambda i: {"x": image()}, 10)), batch_size=lambda batch: batch["graphs"])
    assert (record.status, record.costs["data_samples"].value) == ("finished", None)


def test_samples_that_cannot_be_counted_are_none_never_0(tmp_path: Path) -> None:
    record = run(tmp_path, Loading(load(int, 4, 2, collate_fn=frozenset)))
    assert record.costs["data_samples"].value is None
    assert "no tensor" in record.costs["data_samples"].reason


@pytest.mark.parametrize("both", [list, lambda pair: dict(zip("ab", pair, strict=True)), tuple])
def test_of_several_loaders_the_first_that_has_any_left_counts(tmp_path: Path, both: Any) -> None:
    """Whose batches are alike, so that they look like a list of samples, or like parts that disagree."""
    for mode, samples in {"min_size": 6, "max_size_cycle": 6 + 4, "max_size": 6 + 3}.items():
        loaders = [load(lambda i: image(), 6, 4), load(lambda i: image(), 9, 3)]

        class Several(Loading):
            def val_dataloader(self) -> Any:
                return load(lambda i: image(), 2)

        module = Several(CombinedLoader(both(loaders), mode))  # type: ignore[arg-type]
        assert run(tmp_path, module, epochs=1).costs["data_samples"].value == samples


def test_loaders_that_are_validated_together_are_counted_by_the_first(tmp_path: Path) -> None:
    class Together(Loading):
        def val_dataloader(self) -> Any:
            return CombinedLoader([load(lambda i: image(), 6, 3), load(lambda i: image(), 9, 4)], "max_size")

    module = Together(load(lambda i: image(), 4))
    callback = PePRCallback("val_acc", meter=WorkMeter(module))
    trainer(callback, root=tmp_path, max_epochs=1).fit(module)
    assert record_of(callback).val_samples in (6 + 1, None)


def test_batches_that_are_none_have_no_samples(tmp_path: Path) -> None:
    class Holes(IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter([torch.zeros(4, 2), None, torch.zeros(3, 2)])

    assert counted(tmp_path, DataLoader(Holes(), batch_size=None)) == (7, 7)


def test_batches_that_a_data_set_makes_itself(tmp_path: Path) -> None:
    """No loader tells then how many there are: pairs are taken for pairs, what looks like images is not counted."""

    class Ready(IterableDataset[Any]):
        def __init__(self, *batches: Any) -> None:
            self.batches = batches

        def __iter__(self) -> Any:
            return iter(self.batches)

    pairs = Ready([torch.zeros(8, 5), torch.zeros(8, 1)], [torch.zeros(3, 5), torch.zeros(3, 1)])
    assert counted(tmp_path, DataLoader(pairs, batch_size=None)) == (11, 11)
    images = Ready([image(), image()], [image(), image()])
    assert counted(tmp_path, DataLoader(images, batch_size=None)) == (None, None)
    many = Ready([torch.zeros(5, 2)] * 7)
    assert counted(tmp_path, DataLoader(many, batch_size=None)) == (None, None)


def stacked(sizes: st.SearchStrategy[tuple[int, ...]]) -> st.SearchStrategy[Any]:
    return sizes.map(torch.zeros)


@st.composite
def collated(draw: Any, size: int, depth: int = 3) -> Any:
    """What PyTorch's collation makes of samples, by containers in containers."""
    kind = draw(st.sampled_from(["tensor", "dict", "list", "text"] if depth else ["tensor"]))
    if kind == "tensor":
        return torch.zeros(size, *draw(st.lists(st.integers(1, 5), max_size=3)))
    if kind == "text":
        return ["text"] * size
    parts = draw(st.lists(collated(size, depth - 1), min_size=1, max_size=4))
    return parts if kind == "list" else {str(number): part for number, part in enumerate(parts)}


@given(st.data())
def test_whatever_pytorch_collates_is_counted(data: Any) -> None:
    size = data.draw(st.integers(1, 9))
    batch = {"x": torch.zeros(size, 2), "rest": data.draw(collated(size))}
    counter = BatchCounter()
    counter._sources = Source(draws=9, stacks=True)
    assert counter.size(batch) == size


@st.composite
def sample(draw: Any, depth: int = 2) -> Callable[[int], Any]:
    """Makes samples of one structure; the tensors in them may differ in size from one to the next."""
    kind = draw(st.sampled_from(["tensor", "number", "tuple", "dict", "text"] if depth else ["tensor", "number"]))
    if kind == "tensor":
        shape, varies = draw(st.lists(st.integers(1, 9), max_size=3)), draw(st.booleans())
        return lambda index: torch.zeros([side + index * varies for side in shape])
    if kind in ("number", "text"):
        return int if kind == "number" else str
    parts = draw(st.lists(sample(depth - 1), min_size=1, max_size=4))
    if kind == "tuple":
        return lambda index: tuple(part(index) for part in parts)
    return lambda index: {str(number): part(index) for number, part in enumerate(parts)}


@given(sample(), st.integers(2, 9), st.sampled_from([list, tuple]))
def test_unstacked_samples_are_right_or_not_counted(make: Any, size: int, collate: Any) -> None:
    counter = BatchCounter()
    counter._sources = Source(draws=size)
    for length in (size, size, size - 1):
        assert counter.size(collate(make(index) for index in range(length))) in (length, None)


@given(st.lists(sample(1), min_size=1, max_size=4), st.integers(2, 9))
def test_transposed_samples_are_right_or_not_counted(makers: Any, size: int) -> None:
    counter = BatchCounter()
    counter._sources = Source(draws=size)
    for length in (size, size, size - 1):
        assert counter.size(transposed([tuple(make(i) for make in makers) for i in range(length)])) in (length, None)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.floats()
        | st.sampled_from([torch.zeros(()), object]),
        lambda parts: (
            st.lists(parts) | st.dictionaries(st.text(), parts) | st.tuples(parts, parts) | st.sets(st.text())
        ),
    )
)
def test_nothing_that_a_batch_may_be_raises(batch: Any) -> None:
    size = BatchCounter().size(batch)
    assert size is None or size >= 0


def test_a_batch_that_raises_when_it_is_looked_at_is_not_counted() -> None:
    class Hostile(dict[str, Any]):
        def values(self) -> Any:
            raise RuntimeError("not loaded")

    counter = BatchCounter()
    assert counter.size(Hostile()) is None
    assert counter.reason.startswith("a batch of type Hostile raised RuntimeError: not loaded; PePRCallback(…, batch")


def test_a_counter_can_be_pickled_within_a_fit(tmp_path: Path) -> None:
    module = Loading(load(lambda i: image(), 4))
    callback = PePRCallback("val_acc")
    trainer(callback, root=tmp_path, max_epochs=1).fit(module)
    assert pickle.loads(pickle.dumps(callback._trained)).size(torch.zeros(4, 2)) == 4


BATCH = torch.zeros(4, 2)


def test_one_loader_counts_every_batch() -> None:
    count = SampleCount("val_acc")
    count.add(BATCH, 0)
    count.add(torch.zeros(2, 2), 0)
    assert count.samples == 6


def test_of_several_loaders_the_keys_own_counts() -> None:
    count = SampleCount("val_acc/dataloader_idx_1", loaders=2)
    for loader in (0, 1, 1):
        count.add(BATCH, loader)
    assert count.samples == 8


def test_a_key_of_several_loaders_together_cannot_be_counted() -> None:
    count = SampleCount("val_acc", loaders=2)
    count.add(BATCH, 0)
    assert count.samples is None


def test_one_batch_without_a_size_leaves_the_whole_uncounted() -> None:
    count = SampleCount("val_acc")
    for batch in (BATCH, object(), BATCH):
        count.add(batch, 0)
    assert count.samples is None
