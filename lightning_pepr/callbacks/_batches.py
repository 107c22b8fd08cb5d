"""Counts the samples of batches."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch.utils.data import default_collate

from lightning_pepr.callbacks._base import WarnOnce
from lightning_pepr.callbacks._evidence import AXIS, Evidence
from lightning_pepr.callbacks._lightning import loaders_of, logged_sizes

STACKED = frozenset([AXIS])
REMEDY = "PePRCallback(…, batch_size=…) takes a function that counts them"


@dataclass
class Source:
    """What a loader tells of its batches."""

    draws: int | None = None  # the samples of a full batch
    stacks: bool = False  # whether PyTorch's own collation stacks them
    readings: frozenset[int] = frozenset()  # the ways to read its batches that a full one has confirmed; none: not yet
    in_doubt: bool = False  # whether a batch, before that, could be read in two ways that gave one size
    time_first: bool = False  # whether a full batch has as many columns as the loader draws, and more rows
    confirmed: bool = False  # whether what the module logs has turned out to be the size

    @classmethod
    def of(cls, loader: Any) -> Source:
        """What a loader tells, of whatever make."""
        try:
            size = getattr(loader, "batch_size", None) or getattr(loader, "batch_sampler", None).batch_size  # type: ignore[union-attr]
        except Exception:  # it draws no batches, or is no DataLoader
            return cls()
        if type(size) is not int or size < 1:
            return cls()
        stacks = getattr(loader, "collate_fn", None) is default_collate
        try:
            size = min(size, len(loader.sampler))
        except Exception:  # a stream has no length
            return cls(size, stacks)
        return cls(size, stacks)


class BatchCounter:
    """Counts the samples of the batches of one pass over the data.

    A batch that cannot be counted is None, and `reason` says why: never a number that may be wrong.

    Args:
        count: The user's own function, which is asked before all else.
        trainer: Whose loop begins; None: nothing is known of the loaders.
        warn_once: Warns where the user's function fails.
    """

    def __init__(
        self,
        count: Callable[[Any], int] | None = None,
        trainer: Trainer | None = None,
        warn_once: WarnOnce | None = None,
    ) -> None:
        loaders, self._together = (None, False) if trainer is None else loaders_of(trainer)
        self._sources = _sources_of(loaders)
        self._count, self._warn_once = count, warn_once or WarnOnce()
        self._logged: dict[str, tuple[int, Any]] | None = None  # since the first batch that the logs had to tell of
        self.reason = ""

    def size(self, batch: Any, trainer: Trainer | None = None, loader: int = 0) -> int | None:
        """The samples of a batch of a loader; `trainer` has what the module logged in its step."""
        if self.reason:  # the whole cannot be known any more
            return None
        try:
            if self._count is not None:
                return self._by_user(batch)
            source = self._sources
            if not isinstance(source, Source):
                batch, source = _first(batch, source) if self._together else (batch, source[loader])
            size = _quick_size(batch, source)
            if size is not None and (source.time_first or (source.draws is not None and size > source.draws)):
                size = None  # of more than the loader draws, to be looked at more closely
            if size is None or self._logged is not None:
                size = self._size(batch, source, trainer) if size is None else self._and_look(size, trainer)
        except Exception as error:  # a batch of the user's own type may do anything
            return self._none(f"a batch of type {type(batch).__name__} raised {type(error).__name__}: {error}")
        return size

    def _by_user(self, batch: Any) -> int | None:
        assert self._count is not None
        try:
            size = self._count(batch)
            if isinstance(size, bool) or operator.index(size) < 0:
                raise ValueError(f"it returned {size!r}; expected a whole number of samples, at least 0")
            return operator.index(size)
        except Exception as error:
            problem = f"batch_size= of PePRCallback failed: {type(error).__name__}: {error}"
            self._warn_once("batch_size", f"{problem}. Samples are not counted.")
            self.reason = problem
            return None

    def _none(self, reason: str) -> int | None:
        self.reason = f"{reason.rstrip('.')}; {REMEDY}"
        return None

    def _size(self, batch: Any, source: Source, trainer: Trainer | None) -> int | None:
        found = Evidence(batch)
        size = _settle(found, source)
        if size is not None:
            return self._and_look(size, trainer)
        given = self._logged_size(trainer)
        if given is not None and _is_plausible(given, found, source):
            return given
        if len(set(found.sizes)) > 1:
            return self._none(f"the parts of a batch disagree about its size: {', '.join(found.shown[:6])}")
        if source.time_first:
            rows = f"{found.sizes[0]} stacked samples ({found.shown[0]})"
            return self._none(f"a batch may be {rows}, or {source.draws}, as its DataLoader draws, with the time first")
        if found.sizes:
            others = sorted(set(found.readings.values()) - set(found.sizes))
            lists = "" if not others else f", or a list of {' or '.join(map(str, others))}"
            return self._none(f"a batch may be {found.sizes[0]} stacked samples ({found.shown[0]}){lists}")
        return self._none("there is no tensor in a batch, whose first dimension would tell its size")

    def _and_look(self, size: int, trainer: Trainer | None) -> int:
        """Keep up with what is logged, once it has been needed."""
        if self._logged is not None:
            assert trainer is not None
            self._logged = logged_sizes(trainer)[0]
        return size

    def _logged_size(self, trainer: Trainer | None) -> int | None:
        """The `batch_size` that the module gave to `self.log` in this step; None if it gave none, or several."""
        if trainer is None:
            return None
        before, (self._logged, inferred) = self._logged or {}, logged_sizes(trainer)
        given: set[int | None] = set()
        for key, (updates, total) in self._logged.items():
            earlier, until = before.get(key, (0, None))
            if total is until:  # not logged in this step
                continue
            # Lightning keeps sums, which begin anew with each epoch. On a GPU this waits for the step to end.
            if updates == 1:
                given.add(int(total))
            elif until is not None and updates == earlier + 1:
                given.add(int(total - until))
        given -= {inferred}
        return given.pop() if len(given) == 1 else None


def _quick_size(batch: Any, source: Source) -> int | None:
    """The size of a batch that is a few tensors, as most are, since this is asked in every step; None for others."""
    if isinstance(batch, torch.Tensor):
        return None if batch.is_nested or not batch.ndim else batch.shape[0]
    kind = type(batch)
    if kind is dict:
        parts, sure = batch.values(), True
    elif kind is list or kind is tuple:
        parts, sure = batch, source.stacks or source.readings == STACKED
    else:
        return 0 if batch is None else None
    size = dimensions = None
    for part in parts:
        if not isinstance(part, torch.Tensor) or part.is_nested or not part.ndim:
            return None
        if size is None:
            size, dimensions = part.shape[0], part.ndim
        elif part.shape[0] != size:
            return None
        elif part.ndim != dimensions:
            sure = True  # tensors of one kind may be the samples of a list
    return size if sure else None


def _settle(found: Evidence, source: Source) -> int | None:
    """The size that the evidence agrees on, with the loader's word where lists may be of samples; else None."""
    stacked = found.readings.get(AXIS)
    in_lists = {depth: size for depth, size in found.readings.items() if depth != AXIS}
    if stacked is not None and source.draws is not None and stacked > source.draws > 1:
        source.time_first |= found.seconds == {source.draws}  # else there are several samples of each that it draws
    if source.time_first:
        return None
    if stacked is not None and (source.stacks or (not in_lists and AXIS in (source.readings or {AXIS}))):
        return stacked
    # What an object says outweighs tensors, if one agrees: the atoms of molecules come with these and their targets.
    if len(found.said) == 1 and sum(size in found.said for size in found.sizes) > 1:
        return next(iter(found.said))
    if not found.sizes and not in_lists:
        return 1 if found.has_scalars else None
    if source.stacks:
        return None
    if source.draws is None:  # few of a kind are views of the samples, many are samples
        few = not found.has_images and max(in_lists.values(), default=0) <= 3
        return stacked if few or set(in_lists.values()) == {stacked} else None
    return _read_as_before(found, source, source.draws)


def _read_as_before(found: Evidence, source: Source, draws: int) -> int | None:
    """The size by the way to read batches that a full one has confirmed, or that this one confirms."""
    if source.readings:
        sizes = {found.readings.get(way, draws + 1) for way in source.readings}
        return sizes.pop() if len(sizes) == 1 and max(sizes) <= draws else None
    ways = frozenset(way for way, size in found.readings.items() if size == draws)
    if AXIS not in found.readings and draws in found.coincident and draws > 1:
        source.in_doubt = True  # such as two tensors for two samples, of which a batch of one has two as well
        return draws if set(found.readings.values()) == {draws} else None
    if not ways or source.in_doubt:
        return None
    source.readings = ways
    return draws


def _is_plausible(given: int, found: Evidence, source: Source) -> bool:
    """Whether a size that was given to `self.log` may be that of the batch: some weigh otherwise, or all alike."""
    if AXIS in found.readings and given not in found.readings.values() and not source.time_first:
        return False
    if not source.confirmed:  # a full batch has to confirm it; if that is not known, more than one sample
        source.confirmed = given > 1 if source.draws is None else given == source.draws
    return source.confirmed and (source.draws is None or given <= source.draws)


def _sources_of(loaders: Any) -> Any:
    if isinstance(loaders, Mapping):
        return {key: _sources_of(each) for key, each in loaders.items()}
    return [_sources_of(each) for each in loaders] if isinstance(loaders, (list, tuple)) else Source.of(loaders)


def _first(batch: Any, sources: Any) -> tuple[Any, Source]:
    """The batch of the first of several loaders that has any left, and what that loader tells."""
    while not isinstance(sources, Source):
        pairs = [(batch[key], each) for key, each in sources.items()] if isinstance(sources, dict) else None
        pairs = list(zip(batch, sources, strict=True)) if pairs is None else pairs
        batch, sources = next(((part, each) for part, each in pairs if _is_left(part)), (None, Source()))
    return batch, sources


def _is_left(part: Any) -> bool:
    if isinstance(part, Mapping):
        part = list(part.values())
    return any(map(_is_left, part)) if isinstance(part, Sequence) and not isinstance(part, str) else part is not None


class SampleCount:
    """Counts the samples that one evaluation's performance, of a key, is of; `samples` is None if that is not known."""

    def __init__(self, key: str = "", loaders: int = 1, counter: BatchCounter | None = None) -> None:
        named = re.search(r"/dataloader_idx_(\d+)$", key)  # of several loaders, the one that the performance is of
        self._loader = None if named is None else int(named[1])
        self._counter = BatchCounter() if counter is None else counter
        self.samples: int | None = 0 if loaders == 1 or named is not None else None

    def add(self, batch: Any, loader: int, trainer: Trainer | None = None) -> None:
        """Count a batch of a loader, in whose step the module logged what `trainer` has."""
        if self.samples is not None and self._loader in (None, loader):
            size = self._counter.size(batch, trainer, loader)
            self.samples = None if size is None else self.samples + size
