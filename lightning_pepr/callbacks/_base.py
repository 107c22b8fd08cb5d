"""What a callback derives from: Lightning's `Callback`, by whichever name a program has imported Lightning."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lightning.pytorch import Callback as Callback

if not TYPE_CHECKING:
    # `pytorch_lightning` is a package of its own with the same code. Its Trainer takes any callback, but its
    # LightningCLI those of its own class only. It is not imported for this: most programs do without it.
    _twin = getattr(sys.modules.get("pytorch_lightning"), "Callback", None)
    if _twin is not None:
        Callback = type("Callback", (Callback, _twin), {"__doc__": Callback.__doc__})
