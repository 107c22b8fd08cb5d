"""Writes the record of a run where its loggers write; a disk that fails is a warning."""

from __future__ import annotations

import os
from pathlib import Path

from lightning.pytorch import Trainer

from lightning_pepr.callbacks._base import WarnOnce
from lightning_pepr.record import RunRecord
from lightning_pepr.record.files import RecordInStore, RecordOnDisk, files_in
from lightning_pepr.utilities.environment import now
from lightning_pepr.utilities.stores import is_url, local_folder


class RecordWriter:
    """Writes the record of one run into `folder`, a path or a URL, which is None as long as it is not to be written."""

    def __init__(self, warn_once: WarnOnce) -> None:
        self.folder: str | None = None
        self._warn_once = warn_once
        self._files: RecordOnDisk | RecordInStore | None = None

    @property
    def location(self) -> str | None:
        """The record's file as it is found again, or else its folder; None if it is not to be written."""
        place = self.written_file or self.folder
        if place is None or is_url(str(place)):
            return None if place is None else str(place)
        return str((local_folder(str(place)) or Path(place)).absolute())

    @property
    def written_file(self) -> Path | str | None:
        """The record's file, if it is there: a path, or a URL."""
        return None if self._files is None else self._files.written

    def place(self, trainer: Trainer) -> None:
        """Write where the trainer's first logger does. A collective."""
        self.place_in(record_folder(trainer))

    def place_in(self, folder: str) -> None:
        """Write into a folder, under the name that the run's record has there."""
        if folder != self.folder:
            self.folder, self._files = folder, None

    def write(self, run: RunRecord) -> None:
        """Write what has changed, and all of a run that has ended.

        A disk that fails is a warning: training goes on, and the next call tries again.
        """
        if self.folder is None:
            return
        run.updated = now()
        try:
            self._files = self._files or files_in(self.folder)
            self._files.write(run, whole=run.status != "running")
        except Exception as error:  # whatever a disk, a store or its package can raise
            place = (None if self._files is None else self._files.record) or self.folder
            self._warn_once("disk", f"the record could not be written to {place}: {error}.")


def record_folder(trainer: Trainer) -> str:
    """Where the first logger writes, or else the trainer's root: a path or a URL. A collective."""
    folder: str | None = trainer.log_dir
    logger = trainer.loggers[0] if trainer.loggers else None
    if logger is not None and not isinstance(getattr(logger, "log_dir", None), str) and logger.save_dir is not None:
        version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
        folder = os.path.join(logger.save_dir, str(logger.name), version)
    return str(trainer.strategy.broadcast(folder or trainer.default_root_dir))
