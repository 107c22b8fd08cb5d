"""What a study may spend, and has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning_pepr.cost import Resource
from lightning_pepr.record import RunRecord
from lightning_pepr.study.folder import ATTEMPT
from lightning_pepr.study.process import Listener, StopRun
from lightning_pepr.study.words import count
from lightning_pepr.utilities.files import files_below, is_record, journal_of, signature


class StudyBudget:
    """What a study may spend, by field, and has.

    The latter is counted from its folder each time anew, since other jobs write there, too: all that is recorded,
    attempts that failed and runs in progress included. Records that have not changed are not read again.
    """

    def __init__(self, folder: Path, amounts: Mapping[str, float]) -> None:
        self.folder = folder
        self.amounts = dict(amounts)
        self.spent = dict.fromkeys(amounts, 0.0)
        self._read: dict[Path, tuple[object, dict[str, float]]] = {}

    def refresh(self) -> dict[str, float]:
        """Count what is spent by now, by field."""
        seen: dict[Path, tuple[object, dict[str, float]]] = {}
        for path in files_below(self.folder) if self.amounts else ():
            hidden = any(name.startswith(".") for name in path.relative_to(self.folder).parts)  # still being moved
            if hidden or not is_record(path.with_name(path.name.removeprefix(ATTEMPT))):
                continue
            try:
                state, before = (signature(path), signature(journal_of(path))), self._read.get(path)
                seen[path] = before if before and before[0] == state else (state, self._spent(RunRecord.load(path)))
            except (OSError, ValueError):
                continue
        self._read = seen
        self.spent = {field: sum(spent[field] for _, spent in seen.values()) for field in self.amounts}
        return self.spent

    def is_spent(self) -> bool:
        """Whether the budget is spent by now."""
        spent = self.refresh()
        return any(spent[field] >= amount for field, amount in self.amounts.items())

    @property
    def left(self) -> dict[str, float]:
        """What may still be spent, by field."""
        spent = self.refresh()
        return {field: max(0.0, amount - spent[field]) for field, amount in self.amounts.items()}

    def watch(self, on_progress: Callable[[float, int, int], None] = lambda *_: None) -> Listener:
        """Listen to a run and stop it when the budget is spent, which is checked after each epoch."""
        last = 1

        def on_message(message: dict[str, Any]) -> None:
            nonlocal last
            if message["event"] != "progress":
                return
            on_progress(message["share"], message["epoch"], message["epochs"])
            if message["epoch"] > last:
                last = message["epoch"]
                if self.is_spent():  # the record of the run itself is in the folder
                    raise StopRun("the study's budget is spent")

        return on_message

    def verdict(self, left: int) -> str:
        """Say that the budget is spent, and how many runs are left; empty without a budget."""
        amounts = [
            f"{self.spent[field]:.3g} of {amount:g} {Resource.of(field).unit}" for field, amount in self.amounts.items()
        ]
        return f"the budget is spent ({', '.join(amounts)}); {count(left, 'run')} left" if amounts else ""

    def _spent(self, record: RunRecord) -> dict[str, float]:
        """What a run has spent, its test included."""
        test = record.stages.get("test")
        extra = {"time_s": test.time_ns / 1e9, "energy_kwh": (test.energy_uj or 0) / 3.6e12} if test else {}
        return {field: (getattr(record.cost, field) or 0.0) + extra.get(field, 0.0) for field in self.amounts}
