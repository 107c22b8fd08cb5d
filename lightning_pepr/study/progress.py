"""Progress over several models: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from lightning_pepr.study.runner import Progress

INSTALL = "pip install 'lightning-pepr[cli]'"


class StudyProgress:
    """Tells which model of how many is trained, which epoch, and how long it will take to the end.

    Args:
        models: The models, in the order in which they are trained.
        work: How much work each is, in any unit; by default the same for all. For the time left only.
        console: Where to; by default standard error.

    Raises:
        ModuleNotFoundError: If rich is not installed.
    """

    def __init__(
        self, models: Sequence[str], work: Sequence[float] | None = None, console: Console | None = None
    ) -> None:
        try:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"showing progress needs rich. Try: {INSTALL}", name="rich") from error
        self.models = list(models)
        self.work = [1.0] * len(self.models) if work is None else list(work)
        self.console = console or Console(stderr=True, highlight=False)
        self._began: float | None = None  # when the first model did
        self._model = 0
        self._told: tuple[int, int] | None = None  # model and epoch of the last line
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} % · {task.fields[left]}"),
            console=self.console,
            refresh_per_second=4,  # drawing it costs energy, too
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("getting ready", total=1.0, left="")

    def __enter__(self) -> StudyProgress:
        self._bar.start()
        if not self.console.is_terminal:
            self.say(f"getting ready to train {len(self.models)} models")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, model: int) -> None:
        """A model begins, counted from 0."""
        self._model = model
        if self._began is None:
            self._began = time.monotonic()
        done = sum(self.work[:model]) / sum(self.work)
        self._show(done, f"model {model + 1} of {len(self.models)} · {self.models[model]} · starting", "")

    def update(self, progress: Progress) -> None:
        """The model that has begun is so far."""
        total = sum(self.work)
        done = (sum(self.work[: self._model]) + progress.share * self.work[self._model]) / total
        elapsed = 0.0 if self._began is None else time.monotonic() - self._began
        left = f"{_duration(elapsed / done * (1 - done))} left" if done > 0 and elapsed > 2 else ""
        where = f"model {self._model + 1} of {len(self.models)} · {self.models[self._model]}"
        self._show(done, f"{where} · epoch {progress.epoch} of {progress.epochs}", left)
        if not self.console.is_terminal and self._told != (self._model, progress.epoch):
            self._told = (self._model, progress.epoch)
            parts = [where, f"epoch {progress.epoch} of {progress.epochs}", f"{done:.0%}", left]
            self.console.print(" · ".join(part for part in parts if part), soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a line that stays, above the bar."""
        self.console.print(text, soft_wrap=True)

    def _show(self, done: float, description: str, left: str) -> None:
        self._bar.update(self._task, completed=done, description=description, left=left)


def _duration(seconds: float) -> str:
    """A duration in words, no finer than it is known.

    >>> _duration(8), _duration(47), _duration(130)
    ('10 s', '50 s', '2 min 10 s')
    """
    minutes, rest = divmod(max(10, round(seconds / 10) * 10), 60)
    return " ".join(part for part in (f"{minutes} min" if minutes else "", f"{rest} s" if rest else "") if part)
