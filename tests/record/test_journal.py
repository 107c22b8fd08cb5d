"""A journal gives back what the record had, whatever of it has been lost."""

from __future__ import annotations

import json
import math
import os
import warnings
from pathlib import Path
from typing import Any

import pytest

from lightning_pepr import Cost, RunRecord
from lightning_pepr.record import CostEntry, Epoch, Stage
from lightning_pepr.record.journal import Known, encode_evaluation, first_line, read_lines, run_of_journal
from tests.helpers.records import make_run


def epochs(count: int) -> list[Epoch]:
    return [Epoch(i, 10 * i, 0.5 + i / 100, Cost(energy_kwh=float(i)), {"pepr_e": 0.25}) for i in range(count)]


def write(folder: Path, record: RunRecord, *states: dict[str, Any]) -> Path:
    """A record's file, and a journal of the states that came after it; the record is as the last one then."""
    target = folder / "pepr.json"
    target.write_text(record.to_text(journal=0))
    text, known = first_line(record.run_id), Known.of(record)
    for state in states:
        for name, value in state.items():
            setattr(record, name, value)
        now = Known.of(record)
        text, known = text + known.lines_to(now, record), now
    (folder / "pepr.jsonl").write_bytes(text)
    return target


def states() -> list[dict[str, Any]]:
    found = epochs(4)
    return [
        {"epochs": found[:1], "costs": {"energy_kwh": CostEntry(1.0, 0.1, "counter")}, "updated": "1"},
        {"epochs": found[:2], "stages": {"train": Stage(10, 20)}, "updated": "2"},
        {"costs": {"energy_kwh": CostEntry(1.5, 0.1, "counter")}, "updated": "3"},
        {"epochs": found, "val_samples": 100, "hyperparameters": {"lr": 0.1}, "params": 7, "updated": "4"},
    ]


def test_a_record_and_its_journal_are_the_record_that_there_was(tmp_path: Path) -> None:
    record = make_run(run_id="a" * 32)
    record.epochs = []
    path = write(tmp_path, record, *states())
    assert len(RunRecord.from_dict(json.loads(path.read_text())).epochs) == 0
    assert RunRecord.load(path) == RunRecord.load(tmp_path) == record
    assert run_of_journal(tmp_path / "pepr.jsonl") == record.run_id


def test_an_evaluation_is_amended_by_a_later_line(tmp_path: Path) -> None:
    record = RunRecord("net", epochs=epochs(2))
    path = write(tmp_path, record, {"updated": "1"})
    before = Known.of(record)
    record.epochs[-1].forecasts = {"time_s": {"expected": 1.0}}
    with (tmp_path / "pepr.jsonl").open("ab") as file:
        file.write(before.lines_to(Known.of(record), record))
    assert RunRecord.load(path) == record
    assert len(record.epochs) == 2


def test_a_line_holds_nothing_that_has_not_changed() -> None:
    record = RunRecord("net", epochs=epochs(2))
    before = Known.of(record)
    record.updated = "now"
    assert before.lines_to(Known.of(record), record) == b'{"updated":"now"}\n'
    record.epochs.append(Epoch(2, 20, math.nan))
    line = json.loads(before.lines_to(Known.of(record), record))
    assert (line["at"], line["evaluation"]["performance"], set(line)) == (2, None, {"at", "evaluation", "updated"})


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_last_line_that_was_cut_off_is_left_out_without_a_word(tmp_path: Path, cut: int) -> None:
    record = RunRecord("net")
    path = write(tmp_path, record, *states())
    journal = tmp_path / "pepr.jsonl"
    journal.write_bytes(journal.read_bytes()[:-cut])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = RunRecord.load(path)
    assert [epoch.epoch for epoch in found.epochs] == [0, 1, 2]
    assert found.updated == "3"


@pytest.mark.parametrize(
    "line",
    [b"garbage", b"\x00" * 40, b"\xff", b"[1]", b'{"at": "x"}', b'{"at": 1, "evaluation": {"epoch": 1}}', b"[" * 9999],
)
def test_a_broken_line_costs_itself_alone(tmp_path: Path, line: bytes) -> None:
    record = RunRecord("net")
    path = write(tmp_path, record, *states())
    journal = tmp_path / "pepr.jsonl"
    lines = journal.read_bytes().split(b"\n")
    assert b'"at":1' in lines[2]
    at = len(b"\n".join(lines[:2])) + 1
    lines[2] = line
    journal.write_bytes(b"\n".join(lines))
    with pytest.warns(UserWarning, match=f"{journal}: a line cannot be read and is left out, at byte {at}: "):
        found = RunRecord.load(path)
    assert [epoch.epoch for epoch in found.epochs] == [0, 2, 3]
    assert found.costs == record.costs


def test_what_the_record_has_is_not_read_again(tmp_path: Path) -> None:
    """Nor what a run that went back to a checkpoint has evaluated before."""
    record = RunRecord("net")
    path = write(tmp_path, record, *states())
    record.epochs = record.epochs[:2]
    record.updated = "0"
    path.write_text(record.to_text(journal=os.path.getsize(tmp_path / "pepr.jsonl")))
    assert RunRecord.load(path) == record
    record.save(path)
    assert RunRecord.load(path) == record, "what is saved whole has no journal"


@pytest.mark.parametrize(
    "first", [first_line("b" * 32), b'{"schema":"lightning-pepr/journal/2","run_id":"' + b"a" * 32]
)
def test_a_journal_that_is_not_for_this_reader(tmp_path: Path, first: bytes) -> None:
    record = RunRecord("net", run_id="a" * 32)
    path = write(tmp_path, record, *states())
    journal = tmp_path / "pepr.jsonl"
    newer = b"journal/2" in first
    journal.write_bytes((first + b'"}\n' if newer else first) + journal.read_bytes().partition(b"\n")[2])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert RunRecord.load(path).epochs == []
    assert [str(each.message) for each in caught if "journal/2" in str(each.message)] != [] if newer else not caught


def test_a_journal_whose_first_line_is_broken_is_read_and_says_so(tmp_path: Path) -> None:
    record = RunRecord("net")
    path = write(tmp_path, record, *states())
    journal = tmp_path / "pepr.jsonl"
    journal.write_bytes(b"#" + journal.read_bytes())
    with pytest.warns(UserWarning, match="at byte 0"):
        assert len(RunRecord.load(path).epochs) == 4
    assert run_of_journal(journal) is None


def test_a_journal_that_is_gone_or_none_adds_nothing(tmp_path: Path) -> None:
    record = RunRecord("net", epochs=epochs(1))
    path = write(tmp_path, record)
    for make in (lambda p: None, os.mkfifo, os.mkdir):
        (tmp_path / "pepr.jsonl").unlink(missing_ok=True)
        make(tmp_path / "pepr.jsonl")
        assert len(RunRecord.load(path).epochs) == 1


def test_evaluations_are_read_from_their_lines() -> None:
    found = epochs(3)
    lines = [encode_evaluation(at, epoch).decode() for at, epoch in enumerate(found)]
    found[1].forecasts = {"time_s": {"expected": 1.0}}
    text = "".join([lines[2], lines[0], lines[1], "half a li\n", encode_evaluation(1, found[1]).decode(), lines[0][:9]])
    broken: list[str] = []
    assert read_lines(text, broken.append) == found
    assert len(broken) == 1
    assert read_lines("") == []
