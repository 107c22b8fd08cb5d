"""What a study may spend, and has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning_pepr.cost import Resource
from lightning_pepr.record import RunRecord
from lightning_pepr.study.driver import Heard, StopRun
from lightning_pepr.study.plan import count


class Purse:
    """What a study may spend, and has.

    Args:
        folder: The study's folder; what is recorded in it counts, attempts that failed included.
        budget: Amounts, by field.
    """

    def __init__(self, folder: Path, budget: Mapping[str, float]) -> None:
        self.budget = dict(budget)
        self.spent = dict.fromkeys(budget, 0.0)
        if budget:
            for path in folder.rglob("*pepr*.json"):
                try:
                    self.add(RunRecord.load(path))
                except (OSError, ValueError):
                    continue

    def add(self, record: RunRecord) -> None:
        """Count a run."""
        for field, amount in _spent(record, self.budget).items():
            self.spent[field] += amount

    def is_empty(self, running: RunRecord | None = None) -> bool:
        """Whether the budget is spent, with a run that is not counted yet."""
        more = _spent(running, self.budget) if running else {}
        return any(self.spent[field] + more.get(field, 0.0) >= amount for field, amount in self.budget.items())

    @property
    def left(self) -> dict[str, float]:
        """What may still be spent, by field."""
        return {field: max(0.0, amount - self.spent[field]) for field, amount in self.budget.items()}

    def watch(self, run_folder: Path) -> Heard:
        """What is told how a run goes, and stops it when the budget is spent, which is looked at after each epoch."""
        last = 1

        def heard(message: dict[str, Any]) -> None:
            nonlocal last
            if not self.budget or message["event"] != "progress" or message["epoch"] <= last:
                return
            last = message["epoch"]
            try:
                record = RunRecord.load(run_folder)
            except (OSError, ValueError):
                return
            if self.is_empty(record):
                raise StopRun("the study's budget is spent")

        return heard

    def verdict(self, left: int) -> str:
        """What is spent, in words."""
        amounts = [
            f"{self.spent[field]:.3g} of {amount:g} {Resource.of(field).unit}" for field, amount in self.budget.items()
        ]
        return f"the budget is spent ({', '.join(amounts)}); {count(left, 'run')} left" if self.budget else ""


def _spent(record: RunRecord, fields: Iterable[str]) -> dict[str, float]:
    """What a run has spent, its test included."""
    test = record.stages.get("test")
    extra = {"time_s": test.time_ns / 1e9, "energy_kwh": (test.energy_uj or 0) / 3.6e12} if test else {}
    return {field: (getattr(record.cost, field) or 0.0) + extra.get(field, 0.0) for field in fields}
