"""Reads W&B's offline runs."""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from lightning_pepr.errors import PePRError
from lightning_pepr.record import RunRecord, Status
from lightning_pepr.runs.metrics import facts_in, from_metrics, is_number, iso_time
from lightning_pepr.utilities.files import FILE_NAME, read_plain
from lightning_pepr.utilities.imports import require
from lightning_pepr.utilities.json import read_json


def find_wandb(files: Iterable[Path]) -> list[Path]:
    """Pick those of files that are logs of W&B runs and have no record beside them."""
    return sorted(
        path
        for path in files
        if fnmatch(path.name, "run-*.wandb") and not os.path.exists(path.parent / "files" / FILE_NAME)  # never raises
    )


def read_wandb(path: Path) -> RunRecord:
    """Read the record of a W&B run from its log, `run-ID.wandb`, as far as it was written."""
    wandb = require("wandb.proto.wandb_internal_pb2", "wandb", "reading W&B runs")
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]

    series: dict[str, dict[int, float]] = {}
    facts: dict[str, str] = {}
    given: dict[str, Any] = {}
    name, run_id, started = path.stem, path.stem.removeprefix("run-"), ""
    status: Status = "running"
    try:
        for data in read_entries(path):
            entry = wandb.Record.FromString(data)
            kind = entry.WhichOneof("record_type")
            if kind == "history":
                row = dict(_items(entry.history.item))
                step = row.get("trainer/global_step", row.get("global_step", row.get("_step")))
                for key, value in row.items():
                    if is_number(value) and is_number(step):
                        series.setdefault(key, {})[int(step)] = float(value)
            elif kind in ("run", "config"):
                config = entry.run.config if kind == "run" else entry.config
                given |= dict(_items(config.update))
                facts |= facts_in(given.pop("pepr", None))
                if kind == "run":
                    name, run_id = entry.run.display_name or name, entry.run.run_id or run_id
                    started = iso_time(entry.run.start_time.ToMilliseconds())
            elif kind == "exit":
                status = "failed" if entry.exit.exit_code else "finished"
        given.pop("_wandb", None)
        record = from_metrics(
            series, facts, name=name, run_id=run_id, status=status, started=started, hyperparameters=given
        )
    except (DecodeError, ValueError) as error:
        raise PePRError(f"{path} is not a log of a W&B run: {error}") from error
    if record is None:
        raise PePRError(f"{path} has no cost that PePRCallback logged.")
    return record


def _items(items: Any) -> Iterator[tuple[str, Any]]:
    """Read keys and values; W&B writes a key whole, or in the parts of its path."""
    for item in items:
        with contextlib.suppress(ValueError):
            yield item.key or ".".join(item.nested_key), read_json(item.value_json)


_BLOCK, _HEADER = 32768, struct.Struct("<IHB")


def read_entries(path: Path) -> Iterator[bytes]:
    """Read the entries of a W&B log, which is one of LevelDB: fragments in blocks of 32 KiB, each with a checksum.

    W&B puts seven bytes in front, and has the plain CRC-32: https://github.com/google/leveldb/blob/main/doc/log_format.md
    """
    data = read_plain(path)
    if data[:4] != b":W&B":
        raise PePRError("it does not begin with ':W&B'.")
    at, whole = 7, b""
    while at + _HEADER.size <= len(data):
        if _BLOCK - at % _BLOCK < _HEADER.size:  # a header does not fit: the block's end is padding
            at += _BLOCK - at % _BLOCK
            continue
        checksum, length, kind = _HEADER.unpack_from(data, at)
        begin = at + _HEADER.size
        part = data[begin : begin + length]
        if len(part) < length:
            return  # it was cut off while it was written
        if zlib.crc32(part, zlib.crc32(bytes([kind]))) != checksum:
            raise PePRError(f"it is damaged at byte {at}.")
        whole = part if kind in (1, 2) else whole + part  # whole, first, middle, last
        if kind in (1, 4):
            yield whole
        at = begin + length
