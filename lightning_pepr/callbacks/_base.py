"""What the callbacks derive from: Lightning's `Callback`, by whichever name a program has imported Lightning."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from lightning.fabric.utilities import rank_zero_warn
from lightning.pytorch import Callback as Callback

if not TYPE_CHECKING:
    # `pytorch_lightning` is a package of its own with the same code. Its Trainer takes any callback, but its
    # LightningCLI those of its own class only. It is not imported for this: most programs do without it.
    _twin = getattr(sys.modules.get("pytorch_lightning"), "Callback", None)
    if _twin is not None:
        Callback = type("Callback", (Callback, _twin), {"__doc__": Callback.__doc__})


Hook = TypeVar("Hook", bound=Callable[..., None])


class WarnOnce:
    """Warns on rank 0, about each topic once; every warning begins with `prefix`."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._topics: set[str] = set()

    def __call__(self, topic: str, message: str) -> None:
        if topic not in self._topics:
            self._topics.add(topic)
            rank_zero_warn(f"{self._prefix}{message}")


def metered(hook: Hook) -> Hook:
    """A hook of the callback that meters in its Trainer; what it takes is metering itself, and no training."""

    @functools.wraps(hook)
    def counted(self: Any, *args: Any, **kwargs: Any) -> None:
        if self._first is None and self._run is not None:
            with self._run.tracker.metering():
                hook(self, *args, **kwargs)

    return cast("Hook", counted)
