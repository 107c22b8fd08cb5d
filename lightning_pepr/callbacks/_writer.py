"""Writes the record of a run: where it goes, beside the records of others, and what happens if a disk fails."""

from __future__ import annotations

import os
from pathlib import Path

from lightning.pytorch import Trainer

from lightning_pepr.callbacks._base import WarnOnce
from lightning_pepr.record import RunRecord, move_aside
from lightning_pepr.utilities.environment import now
from lightning_pepr.utilities.files import FILE_NAME, name_aside, signature


class RecordWriter:
    """Writes the record of one run to `target`, which is None as long as it is not to be written."""

    def __init__(self, warn_once: WarnOnce) -> None:
        self.target: Path | None = None
        self._warn_once = warn_once
        self._written: tuple[str, tuple[int, int] | None] | None = None  # whose record was written last, and its look

    @property
    def written_file(self) -> Path | None:
        """The record's file, if it is there."""
        return self.target if self.target is not None and self.target.exists() else None

    def write(self, run: RunRecord) -> None:
        """Write the record. A disk that fails is a warning: training goes on, and the next epoch tries again."""
        if self.target is None:
            return
        run.updated = now()
        try:
            if self._written != (run.run_id, signature(self.target)):
                move_aside(self.target, run.run_id)
            run.save(self.target)
            self._written = run.run_id, signature(self.target)
        except OSError as error:
            self._warn_once("disk", f"the record could not be written to {self.target}: {error}.")


def record_path(trainer: Trainer, run_id: str, beside: bool) -> Path:
    """The file of a run's record: where the first logger writes, `beside` another's under an own name. A collective."""
    folder: str | None = trainer.log_dir
    logger = trainer.loggers[0] if trainer.loggers else None
    if logger is not None and not isinstance(getattr(logger, "log_dir", None), str) and logger.save_dir is not None:
        version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
        folder = os.path.join(logger.save_dir, str(logger.name), version)
    name = name_aside(run_id[:8]) if beside else FILE_NAME
    return Path(trainer.strategy.broadcast(folder or trainer.default_root_dir)) / name
