"""What a batch itself says of how many samples it has."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

PLAIN = (str, int, float, bool, bytes, complex)
ENOUGH = 16  # elements of a list to look at: this is done in every step
CHANNELS = 4  # an image has no more; what has more rows is no image that was left unstacked


def own_size(part: Any) -> int | None:
    """The samples that an object says it has, by `batch_size`, `num_graphs` or its length; None if it does not say."""
    for name in ("batch_size", "num_graphs"):
        size = _attribute(part, name)
        if isinstance(size, torch.Size):  # of a TensorDict
            size = size[0] if size else None
        if isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size >= 0:
            return int(size)
    if isinstance(part, PackedSequence):
        return int(part.batch_sizes[0])
    # PyTorch Geometric's HeteroData from a NeighborLoader: the seeds are nodes of one type, which alone has a size.
    stores = _attribute(part, "node_stores")
    seeds = [_attribute(store, "batch_size") for store in stores] if isinstance(stores, list) else []
    seeds = [size for size in seeds if type(size) is int]
    if len(seeds) == 1:
        return int(seeds[0])
    return len(part) if _counts_samples(part) else None


def _attribute(part: Any, name: str) -> Any:
    try:
        return getattr(part, name, None)
    except Exception:  # a property of a user's own batch may raise anything
        return None


def _counts_samples(part: Any) -> bool:
    """Whether the length of an object is a number of samples, and not of fields, letters, columns or layers."""
    kind = type(part)
    if not hasattr(kind, "__len__") or hasattr(kind, "keys"):  # PyG's Data has keys, and is no Mapping
        return False
    index = getattr(sys.modules.get("pandas"), "Index", ())  # such as the names of columns
    return not isinstance(part, (Mapping, Sequence, Set, torch.nn.Module, index))


Lengths = dict[int, set[int]]  # the possible sizes of a part of a batch, each with the depths of the lists it is from
AXIS = -1  # the depth of those that are a tensor's first dimension, or what an object says


class Evidence:
    """Sizes that the parts of a batch speak for.

    A batch may be read in several ways: tensors are stacked along their first dimension (`AXIS`), or a list at some
    depth has one element a sample: `[image, image, …]`, or what `zip(*samples)` gives.

    Attributes:
        sizes: The first dimension of each tensor and array, and what objects say that they have.
        shown: The parts that they are of, in words.
        said: What objects say.
        readings: The size by each way to read the batch that is in itself consistent.
        coincident: Lengths of lists that are sizes of what is in them as well, so that two ways give one number.
        seconds: The second dimensions of tensors that have one.
        has_scalars: Whether there is a tensor without dimensions.
        has_images: Whether a tensor looks like an image without a dimension for the batch.
    """

    def __init__(self, batch: Any) -> None:
        self.sizes: list[int] = []
        self.shown: list[str] = []
        self.said: set[int] = set()
        self.seconds: set[int] = set()
        self.coincident: set[int] = set()
        self.has_scalars = self.has_images = False
        found = [(depth, size) for size, depths in (self._look(batch, 0) or {}).items() for depth in depths]
        self.readings = {depth: size for depth, size in found if depth != AXIS}
        if len(set(self.sizes)) == 1:
            self.readings[AXIS] = self.sizes[0]

    def _look(self, part: Any, depth: int) -> Lengths | None:
        """The sizes that a part may be of; None is any, for want of evidence."""
        if isinstance(part, (torch.Tensor, np.ndarray)):
            return self._look_at_tensor(part)
        kind = type(part)
        if part is None or kind in PLAIN:
            return None
        if kind is not dict and kind is not list and kind is not tuple and (size := own_size(part)) is not None:
            self.said.add(size)
            return self._add(size, kind.__name__)
        if isinstance(part, Mapping):
            return self._together(part.values(), depth)
        if is_dataclass(part):
            return self._together((getattr(part, field.name, None) for field in fields(part)), depth)
        if isinstance(part, tuple) and hasattr(part, "_fields"):
            return self._together(part, depth)
        if isinstance(part, Sequence) and not isinstance(part, range) and part:
            return self._look_at_list(part, depth)
        return None

    def _look_at_tensor(self, part: Any) -> Lengths | None:
        if isinstance(part, np.ndarray) and part.dtype.kind in "OUSV":  # of strings or objects
            return None
        if not part.ndim:
            self.has_scalars = True
            return None
        if isinstance(part, torch.Tensor) and part.is_nested:
            return self._add(part.size(0), "a nested tensor")  # which has no shape
        shape = tuple(part.shape)
        self.seconds.update(shape[1:2])
        if len(shape) in (3, 4) and shape[0] <= CHANNELS < shape[1]:
            self.has_images = True
        return self._add(shape[0], str(shape))

    def _look_at_list(self, part: Sequence[Any], depth: int) -> Lengths | None:
        some = part[:ENOUGH]
        first = type(some[0])
        if first in PLAIN:
            return {len(part): {depth}} if all(type(each) is first for each in some) else None
        starts, length = [], len(part)
        inside: Lengths | None = None
        for each in some:
            starts.append(len(self.sizes))
            inside = _common(inside, self._look(each, depth + 1))
        if first is type(None) or len({_kind_of(each) for each in some}) > 1:
            return inside
        tensors = isinstance(some[0], (torch.Tensor, np.ndarray))
        has = [
            length in self.sizes[start:end] for start, end in zip(starts, [*starts[1:], len(self.sizes)], strict=True)
        ]
        if any(has) if tensors else all(has):
            self.coincident.add(length)
        lengths = dict(inside or {})
        lengths[length] = lengths.get(length, set()) | {depth}
        return lengths

    def _together(self, parts: Iterable[Any], depth: int) -> Lengths | None:
        lengths: Lengths | None = None
        for each in parts:
            lengths = _common(lengths, self._look(each, depth + 1))
        return lengths

    def _add(self, size: int, shown: str) -> Lengths:
        self.sizes.append(size)
        if shown not in self.shown:
            self.shown.append(shown)
        return {size: {AXIS}}


def _common(one: Lengths | None, two: Lengths | None) -> Lengths | None:
    """The sizes that two parts of one batch may be of."""
    if one is None or two is None:
        return two if one is None else one
    return {size: one[size] | two[size] for size in one.keys() & two}


def _kind_of(part: Any) -> Any:
    """What the samples of a list have in common."""
    if isinstance(part, (torch.Tensor, np.ndarray)):
        return part.ndim, part.dtype
    if isinstance(part, Mapping):
        return tuple(part)
    return (type(part), len(part)) if isinstance(part, (list, tuple)) else type(part)
