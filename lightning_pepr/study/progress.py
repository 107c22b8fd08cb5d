"""Progress over several models or runs: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_pepr.study.words import count, duration
from lightning_pepr.utilities.imports import require
from lightning_pepr.utilities.text import printable

if TYPE_CHECKING:
    from rich.console import Console


class StudyProgress:
    """Show which model of how many is trained, which epoch, and how long it will take to the end.

    The time left follows from the `work` that each model is, in any unit; `starting` of it is done before training.
    """

    def __init__(
        self,
        models: Sequence[str],
        work: Sequence[float] | None = None,
        console: Console | None = None,
        *,
        noun: str = "model",
        starting: float = 0.0,
    ) -> None:
        bars = require("rich.progress", "cli", "showing progress")
        self.models = list(models)
        self.noun = noun
        self.work = [1.0] * len(self.models) if work is None else list(work)
        self.starting = starting
        self.console: Console = console or bars.Console(stderr=True, highlight=False)
        self._began: float | None = None  # when the first model did
        self._model = 0
        self._printed: tuple[int, int] | None = None  # model and epoch of the last line
        self._bar = bars.Progress(
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(),
            bars.TextColumn("{task.percentage:>3.0f} % · {task.fields[left]}"),
            console=self.console,
            refresh_per_second=4,  # drawing it costs energy, too
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("getting ready", total=1.0, left="")

    def __enter__(self) -> StudyProgress:
        self._bar.start()
        if not self.console.is_terminal and self.models:
            self.say(f"getting ready to train {count(len(self.models), self.noun)}")
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def doing(self, what: str) -> None:
        """Show what is done before the first model begins; for terminals only."""
        self._bar.update(self._task, total=None, description=what)

    def begin(self, model: int) -> None:
        """A model begins, counted from 0."""
        self._model = model
        if self._began is None:
            self._began = time.monotonic()
        self._show(sum(self.work[:model]) / sum(self.work), "starting")

    def update(self, share: float, epoch: int, epochs: int) -> None:
        """Show which share of all batches the model that has begun has done, and its epoch, from 1."""
        total = sum(self.work)
        work = self.work[self._model]
        started = min(self.starting, work)
        done = (sum(self.work[: self._model]) + started + share * (work - started)) / total
        elapsed = 0.0 if self._began is None else time.monotonic() - self._began
        left = f"{duration(elapsed / done * (1 - done))} left" if done > 0 and elapsed > 2 else ""
        shown = self._show(done, f"epoch {epoch} of {epochs}", left)
        if not self.console.is_terminal and self._printed != (self._model, epoch):
            self._printed = (self._model, epoch)
            self.say(" · ".join(part for part in (shown, f"{done:.0%}", left) if part))

    def say(self, text: str) -> None:
        """Print a line that stays, above the bar."""
        self.console.print(printable(text), soft_wrap=True, markup=False)

    def _show(self, done: float, what: str, left: str = "") -> str:
        """Move the bar; returns its description."""
        shown = f"{self.noun} {self._model + 1} of {len(self.models)} · {self.models[self._model]} · {what}"
        self._bar.update(self._task, total=1.0, completed=done, description=shown, left=left)
        return shown
