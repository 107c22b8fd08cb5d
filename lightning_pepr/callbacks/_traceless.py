"""Look at a metric without leaving a trace: it and everything around it are afterwards as they were before."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

_IGNORE = ("ignore", None, Warning, None, 0)


@contextmanager
def without_trace(metric: nn.Module) -> Iterator[None]:
    """Put everything back that computing a metric changes: its state and its parts', random states, warnings shown.

    Tensors within a list are shared, not copied: torchmetrics keeps every prediction in one.
    """
    modules = _modules_of(metric)
    attributes = [dict(module.__dict__) for module in modules]
    # Not by `catch_warnings`, after which Python shows warnings again that it has shown already.
    filters = cast("list[Any]", warnings.filters)
    uses_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # else it starts when asked for its state
    with isolate_rng(include_cuda=uses_cuda):
        filters.insert(0, _IGNORE)
        try:
            for module, own in zip(modules, attributes, strict=True):
                module.__dict__.update({name: _apart(value) for name, value in own.items()})
                module.__dict__["_buffers"] = {name: _apart(buffer) for name, buffer in own["_buffers"].items()}
            yield
        finally:
            for module, own in zip(modules, attributes, strict=True):
                module.__dict__.clear()
                module.__dict__.update(own)
            if _IGNORE in filters:
                filters.remove(_IGNORE)


def _modules_of(metric: nn.Module) -> list[nn.Module]:
    """The metric and all modules that it holds, in plain containers, too."""
    found: list[nn.Module] = []
    seen: set[int] = set()
    left: list[Any] = [metric]
    while left:
        value = left.pop()
        if not isinstance(value, (nn.Module, dict, list, tuple, set)) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, nn.Module):
            found.append(value)
            left.extend(value.__dict__.values())
        else:
            left.extend(value.values() if isinstance(value, dict) else value)
    return found


def _apart(value: Any, of_tensors: bool = True) -> Any:
    """What may be changed in the place of a value: a copy, if it is a tensor or a plain container."""
    if isinstance(value, Tensor):
        return value.clone() if of_tensors and not isinstance(value, nn.Parameter) else value
    if isinstance(value, (list, set)) and type(value) in (list, set):
        return type(value)(_apart(each, of_tensors=False) for each in value)
    if isinstance(value, dict):
        copied = copy.copy(value)
        for key, each in value.items():
            copied[key] = _apart(each, of_tensors=False)
        return copied
    return value
