"""The folder of a study: which settings and runs it has, and which of them are done."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeGuard

from lightning_pepr.errors import PePRError
from lightning_pepr.record import RunRecord
from lightning_pepr.study.runs import Run
from lightning_pepr.study.settings import Settings, data_name, in_words, option, shown
from lightning_pepr.utilities.files import files_below, is_journal, is_record, read_plain, write_whole
from lightning_pepr.utilities.json import read_json

STUDY_FILE = "study.json"
SCHEMA = "lightning-pepr/study/1"

ATTEMPT = "attempt-"
"""The prefix of the name of a record that does not count as a run."""


@dataclass(slots=True)
class StudyFolder:
    """The folder of a study: one folder a run, and a file that says what its runs share."""

    path: Path
    settings: list[dict[str, Any]]  # those that its runs have had; several after `--append`

    @classmethod
    def open(cls, path: Path, settings: Settings, *, append: bool = False, write: bool = True) -> StudyFolder:
        """Open a study's folder, or make it; without `write`, it is only looked at.

        Runs of other settings, or of something else, may only be in it with `append`.
        """
        plain = asdict(settings)
        file = path / STUDY_FILE
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"--out is {str(path)!r}, which is a file; expected a folder.")
        known: list[dict[str, Any]] = []
        if file.is_file():
            known = _read_study(file)
        elif not append and path.is_dir() and any(map(is_record, files_below(path))):
            other = "choose another folder for --out, or give --append to add to them."
            raise PePRError(f"{path} holds records of runs that are no study's; {other}")
        if known and plain not in known and not append:
            changed = [
                f"{option(name)} {shown(known[-1].get(name))} instead of {shown(value)}"
                for name, value in plain.items()
                if known[-1].get(name) != value
            ]
            other = "choose another folder for --out, or give --append to add to it."
            raise PePRError(f"{path} holds another study, with {', '.join(changed)}; {other}")
        if plain not in known:
            known.append(plain)
            if write:
                write_whole(file, json.dumps({"schema": SCHEMA, "settings": known}, indent=1) + "\n")
        return cls(path, known)

    def difference(self, settings: Settings) -> str:
        """How settings differ from the first of the study, in words; empty for the first.

        Runs that were trained in another way are no repeats of each other. `space` is left out: it changes no run.
        """
        plain, defaults = asdict(settings), {each.name: each.default for each in fields(Settings)}
        earlier = list(itertools.takewhile(lambda each: each != plain, self.settings))
        words = []
        for name, value in plain.items():
            if name == "data":
                others = {str(each.get(name, "")) for each in earlier} - {value}
                if data_name(value) in map(data_name, others):  # two files of one name
                    words.append(value)
            elif name != "space" and earlier and earlier[0].get(name, defaults[name]) != value:
                words.append(in_words(name, value))
        return ", ".join(words)

    def record_of(self, run: Run) -> RunRecord | None:
        """The record that a run has left; None if there is none that can be read."""
        try:
            return RunRecord.load(self.path / run.folder)
        except (OSError, ValueError):
            return None

    def attempt_of(self, run: Run) -> str:
        """Which attempt at a run has left the record that it has; empty if there is none."""
        record = self.record_of(run)
        return "" if record is None else record.run_id

    def split(self, runs: Sequence[Run]) -> tuple[list[Run], list[tuple[Run, RunRecord]]]:
        """Divide runs into those that are still to be done, and those that are finished, with their records."""
        records = [(run, self.record_of(run)) for run in runs]
        todo = [run for run, record in records if not is_done(record)]
        return todo, [(run, record) for run, record in records if is_done(record)]


def is_done(record: RunRecord | None) -> TypeGuard[RunRecord]:
    """Whether a run is finished, its test included."""
    return record is not None and record.status == "finished" and record.test_performance is not None


def failed_since(record: RunRecord | None, attempt: str) -> TypeGuard[RunRecord]:
    """Whether a run has failed in another attempt than an earlier one: for another study, as it would for this one."""
    return record is not None and record.status == "failed" and record.run_id != attempt


def put_aside(folder: Path) -> None:
    """Rename the folder of an attempt that did not finish, so that it is kept but is no run any more."""
    if not folder.exists():
        return
    candidates = (folder.with_name(f"{folder.name}.attempt{number}") for number in itertools.count(1))
    aside = next(path for path in candidates if not path.exists())
    folder.rename(aside)
    for path in list(aside.iterdir()):
        if is_record(path) or is_journal(path):
            path.rename(path.with_name(f"{ATTEMPT}{path.name}"))


def _read_study(file: Path) -> list[dict[str, Any]]:
    try:
        data = read_json(read_plain(file))
        if data["schema"] != SCHEMA:
            raise ValueError(f"its schema is {data['schema']!r}; this version reads {SCHEMA!r}")
        return [dict(each) for each in data["settings"]]
    except (KeyError, TypeError, ValueError) as error:
        raise PePRError(f"{file} is not the file of a study: {error}; choose another folder for --out.") from error
