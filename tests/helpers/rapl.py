"""A powercap tree, as the Linux kernel shows the processor's energy counters."""

from __future__ import annotations

import os
from pathlib import Path

SPAN = 262_143_328_850


class Tree:
    """A powercap tree, as the kernel shows it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, folder: str, name: str, energy: int = 0, span: int = SPAN) -> Path:
        path = self.root / folder
        path.mkdir()
        (path / "name").write_text(name + "\n")
        (path / "energy_uj").write_text(f"{energy}\n")
        (path / "max_energy_range_uj").write_text(f"{span}\n")
        return path

    def set(self, folder: str, energy: int) -> None:
        fresh = self.root / "fresh"
        fresh.write_text(f"{energy}\n")
        os.replace(fresh, self.root / folder / "energy_uj")
