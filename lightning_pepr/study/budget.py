"""What a study may spend, and has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from lightning_pepr.cost import Resource
from lightning_pepr.record import RunRecord
from lightning_pepr.study.local import Heard, StopRun
from lightning_pepr.study.settings import count
from lightning_pepr.utilities.files import files_below, signature


class Purse:
    """What a study may spend, and has.

    What it has is counted from the folder each time anew, since other jobs write there, too: all that is recorded,
    attempts that failed and runs in progress included. Records that are as they were are not read again.

    Args:
        folder: The study's folder.
        budget: Amounts, by field.
    """

    def __init__(self, folder: Path, budget: Mapping[str, float]) -> None:
        self.folder = folder
        self.budget = dict(budget)
        self.spent = dict.fromkeys(budget, 0.0)
        self._read: dict[Path, tuple[tuple[int, int] | None, dict[str, float]]] = {}

    def look(self) -> dict[str, float]:
        """Count what is spent by now, by field."""
        seen: dict[Path, tuple[tuple[int, int] | None, dict[str, float]]] = {}
        for path in _records(self.folder) if self.budget else ():
            try:
                state, before = signature(path), self._read.get(path)
                seen[path] = before if before and before[0] == state else (state, self._spent(RunRecord.load(path)))
            except (OSError, ValueError):
                continue
        self._read = seen
        self.spent = {field: sum(spent[field] for _, spent in seen.values()) for field in self.budget}
        return self.spent

    def is_empty(self) -> bool:
        """Whether the budget is spent by now."""
        spent = self.look()
        return any(spent[field] >= amount for field, amount in self.budget.items())

    @property
    def left(self) -> dict[str, float]:
        """What may still be spent, by field."""
        spent = self.look()
        return {field: max(0.0, amount - spent[field]) for field, amount in self.budget.items()}

    def watch(self) -> Heard:
        """What is told how a run goes, and stops it when the budget is spent, which is looked at after each epoch."""
        last = 1

        def heard(message: dict[str, Any]) -> None:
            nonlocal last
            if message["event"] != "progress" or message["epoch"] <= last:
                return
            last = message["epoch"]
            if self.is_empty():  # the record of the run itself is in the folder
                raise StopRun("the study's budget is spent")

        return heard

    def verdict(self, left: int) -> str:
        """What is spent, in words."""
        amounts = [
            f"{self.spent[field]:.3g} of {amount:g} {Resource.of(field).unit}" for field, amount in self.budget.items()
        ]
        return f"the budget is spent ({', '.join(amounts)}); {count(left, 'run')} left" if self.budget else ""

    def _spent(self, record: RunRecord) -> dict[str, float]:
        """What a run has spent, its test included."""
        test = record.stages.get("test")
        extra = {"time_s": test.time_ns / 1e9, "energy_kwh": (test.energy_uj or 0) / 3.6e12} if test else {}
        return {field: (getattr(record.cost, field) or 0.0) + extra.get(field, 0.0) for field in self.budget}


def _records(folder: Path) -> Iterator[Path]:
    """The records below a folder that count: those in hidden folders are on their way to where they will."""
    for path in files_below(folder):
        hidden = any(name.startswith(".") for name in path.relative_to(folder).parts)
        if fnmatch(path.name, "*pepr*.json") and not hidden:
            yield path
