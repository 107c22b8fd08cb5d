"""The journal beside a record: a line for each evaluation, and for what else has changed by then.

A record with thousands of evaluations takes long to write whole. So `pepr.json` is written whole rarely, and says up to
which byte of `pepr.jsonl` it has everything; what comes after that byte is read on top of it.

The first line names the run. Each other one is an object: `evaluation` with its index as `at`, which amends the one of
the same index, and the fields of the record that have changed since the line before, such as `costs` and `updated`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lightning_pepr.record.entries import Epoch
from lightning_pepr.record.spaces import check_space
from lightning_pepr.utilities.files import journal_of, read_plain
from lightning_pepr.utilities.json import DEEPEST, Integer, encode, read_json

SCHEMA = "lightning-pepr/journal/1"

OnBroken = Callable[[str], None]
"""Called for each line that cannot be read, with where it is and what is wrong with it."""

T = TypeVar("T")

_FIRST = 4096  # the first line is shorter than that


class _First(msgspec.Struct):
    """The first line."""

    schema: str
    run_id: str


class _Line(msgspec.Struct):
    """What any other line may say of an evaluation."""

    at: Integer = -1
    evaluation: Epoch | None = None

    def __post_init__(self) -> None:
        if space := getattr(self, "space", None):  # of a line that has the fields of a record
            check_space(space)

    def put_into(self, found: dict[int, Epoch]) -> None:
        """Add the evaluation to others by index, or put it in the place of the one of its index."""
        if self.evaluation is not None and self.at >= 0:
            found[self.at] = self.evaluation


@dataclass
class Known:
    """What of a record is in its files."""

    fields: dict[str, bytes]
    evaluations: int
    last: bytes  # the last evaluation, which may be amended

    @classmethod
    def of(cls, record: Any) -> Known:
        """All of a record."""
        names = (name for name in record.__struct_fields__ if name != "epochs")
        fields = {name: encode(getattr(record, name)) for name in names}
        return cls(fields, len(record.epochs), encode(record.epochs[-1]) if record.epochs else b"")

    def lines_to(self, now: Known, record: Any) -> bytes:
        """The lines that lead from here to what is known now of the same record."""
        begin = max(0, self.evaluations - 1)
        if self.evaluations and encode(record.epochs[begin]) == self.last:
            begin += 1  # it has not been amended
        lines = [_evaluation(at, encode(record.epochs[at])) for at in range(begin, now.evaluations)] or [[]]
        changed = [(name, value) for name, value in now.fields.items() if self.fields.get(name) != value]
        lines[-1] += [b'"%s":%s' % (name.encode(), value) for name, value in changed]
        return b"".join(map(_line, lines))


def _evaluation(at: int, epoch: bytes) -> list[bytes]:
    return [b'"at":%d' % at, b'"evaluation":%s' % epoch]


def _line(parts: list[bytes]) -> bytes:
    return b"{%s}\n" % b",".join(parts)


def encode_evaluation(at: int, epoch: Epoch) -> bytes:
    """The line of an evaluation, of that index in its run."""
    return _line(_evaluation(at, encode(epoch)))


class Lines:
    """The lines of a run's evaluations, each encoded once: all but the last stay as they are."""

    def __init__(self) -> None:
        self._of: list[Epoch] = []
        self._lines: list[str] = []

    def of(self, epochs: list[Epoch]) -> str:
        """The lines of a record's evaluations. `read_lines` reads them."""
        if self._of is not epochs:
            self._of, self._lines = epochs, []
        begin = max(0, len(self._lines) - 1)
        self._lines[begin:] = [encode_evaluation(at, epochs[at]).decode() for at in range(begin, len(epochs))]
        return "".join(self._lines)


def first_line(run_id: str) -> bytes:
    """The line that a run's journal begins with."""
    return encode(_First(SCHEMA, run_id)) + b"\n"


def run_of_journal(path: Path) -> str | None:
    """The run that a journal is of; None if there is none, or that cannot be read."""
    try:
        first = _read_first(path)
    except OSError:
        return None
    return None if first is None else first.run_id


def _read_first(path: Path) -> _First | None:
    line = read_plain(path, most=_FIRST).partition(b"\n")[0]
    return next(_parse(line + b"\n", _First, 0, lambda reason: None), None)


def read_lines(text: bytes | str, on_broken: OnBroken = lambda reason: None) -> list[Epoch]:
    """Read evaluations from their lines, in order; a line that cannot be read costs itself alone."""
    found: dict[int, Epoch] = {}
    for line in _parse(text.encode() if isinstance(text, str) else text, _Line, 0, on_broken):
        line.put_into(found)
    return [found[at] for at in sorted(found)]


def follow(record: Any, path: Path, begin: int, on_broken: OnBroken) -> None:
    """Add to a record, which was read from `path` and has all up to byte `begin` of its journal, what comes after."""
    text = _read_after(journal_of(path), begin, record.run_id, on_broken)
    if not text:
        return
    found = dict(enumerate(record.epochs))
    kind: Any = type(record)
    names, line_kind = _line_of(kind)
    for line in _parse(text, line_kind, begin, on_broken):
        line.put_into(found)
        for name in names:
            if (value := getattr(line, name)) is not msgspec.UNSET:
                setattr(record, name, value)
    record.epochs = [found[at] for at in sorted(found)]


def _read_after(journal: Path, begin: int, run_id: str, on_broken: OnBroken) -> bytes:
    """What a journal has after a byte; nothing if it is gone, or another run's."""
    try:
        if journal.stat().st_size <= begin:
            return b""
        first = _read_first(journal)
        if first is None or (first.run_id, first.schema) == (run_id, SCHEMA):
            return read_plain(journal, begin)
        if first.run_id == run_id:
            on_broken(f"byte 0: schema is {first.schema!r}; expected {SCHEMA!r} (a newer one needs a newer version)")
    except OSError:
        pass
    return b""


def _parse(text: bytes, kind: type[T], begin: int, on_broken: OnBroken) -> Iterator[T]:
    """Read lines as that; what comes after the last line's end is still being written, or was cut off."""
    decode = msgspec.json.Decoder(kind).decode
    for line in text.split(b"\n")[:-1]:
        try:
            if line.count(b"[") + line.count(b"{") > DEEPEST:
                read_json(line)  # refuses what is too deep
            if line.strip():
                yield decode(line)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            on_broken(f"byte {begin}: {error}")
        begin += len(line) + 1


@functools.cache
def _line_of(record: Any) -> tuple[list[str], type[_Line]]:
    """The fields of a record that a line may change, and the type of such a line."""
    fields = [field for field in msgspec.structs.fields(record) if field.name not in ("epochs", "run_id")]
    changes = [(field.name, field.type | msgspec.UnsetType, msgspec.UNSET) for field in fields]
    kind: Any = msgspec.defstruct("Line", changes, bases=(_Line,))
    return [field.name for field in fields], kind
