"""Broken files of each kind that is read, made of good ones, and all that reads them."""

from __future__ import annotations

import csv
import io
import json
import struct
import warnings
import zlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import polars as pl

from lightning_pepr import ModelSpace, RunRecord, load_runs, rank
from lightning_pepr.auditing import find
from lightning_pepr.errors import PePRError
from lightning_pepr.ranking import leverage
from lightning_pepr.record.files import files_in
from lightning_pepr.report.findings import print_findings
from lightning_pepr.report.notebook import show
from lightning_pepr.report.page import write_page
from lightning_pepr.report.table import footnotes, print_ranking
from tests.helpers.mutations import NAMES, ODD, mutate
from tests.helpers.records import make_run

GOOD = {"good": 2e6, "better": 3e6}
"""Models of runs that nothing is wrong with, and their parameters."""


def rich_run() -> RunRecord:
    """A run that has something in every field."""
    run = make_run("net", group="g", settings={"seed": 1, "fraction": 0.5}, test_others={"test_auc": 0.5})
    run.hyperparameters = {"lr": 0.1, "optimizer": {"name": "sgd", "betas": [0.9, 0.99]}}
    for epoch in run.epochs:
        epoch.others, epoch.scores = {"val_auc": 0.7}, {"pepr_e": 0.4}
        epoch.forecasts = {"energy_kwh": {"expected": 1.0, "low": 0.5, "high": 2.0, "level": 0.9}}
    return run


def put_records(folder: Path, random: Random, count: int) -> None:
    """Write broken records, every fourth with a good head and a broken journal, and good ones."""
    run = rich_run()
    plain = run.to_dict()
    for number in range(count):
        place = folder / str(number)
        run.run_id = plain["run_id"] = f"run-{number}"
        if number % 4:
            place.mkdir(parents=True)
            write(place / "pepr.json", mutate(plain, random))
            continue
        files = files_in(str(place))
        files.write(RunRecord("net", run_id=run.run_id))
        files.write(run)
        first, *lines = (place / "pepr.jsonl").read_text(encoding="utf-8").splitlines()
        broken = [mutate(json.loads(line), random) if random.random() < 0.5 else line for line in lines]
        write(place / "pepr.jsonl", "\n".join([first, *broken, ""]))
    put_good(folder)


def put_good(folder: Path) -> None:
    for model, params in GOOD.items():
        make_run(model, params).save(folder / model / "pepr.json")


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="surrogatepass")


def make_table(random: Random) -> str | pl.DataFrame:
    """A broken table: text of a CSV file, or a frame as parquet and others give one."""
    rows = load_runs([make_run(model, params, seed) for model, params in GOOD.items() for seed in (0, 1)]).to_dicts()
    if random.random() < 0.3:
        rows = [
            {"model": f"m{at}", "dataset": "x", "energy": 0.1 + at, "test_00": 0.5, "test_1": 0.6} for at in range(4)
        ]
    if random.random() < 0.3:
        columns = dict(pl.DataFrame(rows, infer_schema_length=None).to_dict())
        for _ in range(random.choice([1, 1, 3])):
            columns[random.choice([*columns, *NAMES])] = random.choice(_SERIES)
        return pl.DataFrame({name.encode("utf-8", "replace").decode(): values for name, values in columns.items()})
    for _ in range(random.choice([1, 1, 4])):
        row, name = random.choice(rows), random.choice([*rows[0], *rows[0], *NAMES])
        for each in rows:
            each.setdefault(name, random.choice(["", "1", "x"]))  # a column of that name, if there is none
        if random.random() < 0.1:
            for each in rows:
                del each[name]
        else:
            row[name] = random.choice([odd for odd in ODD if len(odd) < 1000]).strip('"')
    text = io.StringIO()
    lines = csv.DictWriter(text, list(rows[0]))
    lines.writeheader()
    lines.writerows(rows)
    return text.getvalue()


_SERIES: list[Any] = [
    pl.Series(values, strict=False)
    for values in (
        [True, False, True, None],
        [[1.0], [2.0], [], None],
        [{"a": 1}, {"a": 2}, None, {"a": 3}],
        [date(2025, 1, 1)] * 4,
        [None] * 4,
        [float("nan"), 1.0, 2.0, 3.0],
        [float("inf"), 1.0, 2.0, 3.0],
        [-1, 2**62, 0, 1],
        [b"\xff", b"", b"1", None],
        ["\u001b[2J", "", "a\nb", None],
        [1e308, 5e-324, 0.0, -0.0],
    )
]
_SERIES += [pl.Series([1, 2, 3, 4], dtype=pl.UInt64) + 2**63, pl.Series(["a", "b", "a", None], dtype=pl.Categorical)]
_SERIES += [
    pl.Series([object() for _ in range(4)], dtype=pl.Object),
    pl.Series(["1.5", "2", "3", "4"]).cast(pl.Decimal(10, 2)),
]


def make_log(random: Random) -> bytes:
    """The log of a W&B run, of sane frames and with odd contents."""
    from wandb.proto import wandb_internal_pb2

    make: Any = wandb_internal_pb2.Record  # type: ignore[attr-defined]
    run = make()
    run.run.run_id, run.run.display_name = random.choice(["a", "", "a/b"]), "net"
    run.run.start_time.seconds = random.choice([0, 1_700_000_000, -(10**10), 2**62])
    facts = {"monitor": "val_acc", "test_monitor": "test_acc", "model": "net", "prefix": "", "settings": "{}"}
    config = {"pepr": {**facts, "run_id": f"wandb-{random.random()}"}, "lr": 0.1, "layers": [1, 2], "_wandb": {"a": 1}}
    for key, text in _changed(config, random).items():
        run.run.config.update.add(key=key, value_json=text)
    entries = [run]
    for step in range(4):
        row = {
            "trainer/global_step": step,
            "epoch": step,
            "val_acc": 0.5,
            "energy_kwh": 0.1 * step,
            "time_s": step + 0.5,
        }
        row |= {"params": 1000, "pepr_e": 0.4, "test_acc": 0.5, "_step": step}
        entry = make()
        for key, text in _changed(row, random).items():
            entry.history.item.add(key=key, value_json=text)
        entries.append(entry)
    end = make()
    end.exit.exit_code = random.choice([0, 1])
    return b":W&B\xe1\xbe\x00" + b"".join(_frame(entry.SerializeToString()) for entry in [*entries, end])


def _changed(values: dict[str, Any], random: Random) -> dict[str, str]:
    texts = {key: json.dumps(value) for key, value in values.items()}
    if random.random() < 0.4:
        key = random.choice(list(texts))
        simple = [odd for odd in ODD if len(odd) < 20_000]
        texts[key] = (
            mutate(values[key], random)
            if isinstance(values[key], dict) and random.random() < 0.8
            else random.choice(simple)
        )
    return {key: text.encode("utf-8", "replace").decode() for key, text in texts.items() if len(text) < 30_000}


def _frame(data: bytes) -> bytes:
    """An entry of a log, whole if it fits into a block; see `runs.wandb.read_entries`."""
    return struct.pack("<IHB", zlib.crc32(data, zlib.crc32(b"\x01")), len(data), 1) + data


def read_all(sources: Sequence[Any], page: Path) -> set[str]:
    """Do all that there is to do with runs; gives the models, as they were loaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs = load_runs(sources)
        for monitor in ("val_auc", "test_auc"):
            try:
                load_runs(sources, monitor=monitor)
            except PePRError as error:
                assert "have no" in str(error)  # noqa: PT017
        ranking = rank(sources, by=["energy", "time"])
        print_ranking(ranking, file=io.StringIO())
        footnotes(ranking, leverage(sources))
        show(rank(sources, by="params", group="group", at="last"))
        print_findings(find(runs), runs, file=io.StringIO())
        ModelSpace.from_runs(sources)
        write_page(sources, page)
        for place in runs["source"].drop_nulls():
            if place.endswith(".json"):
                RunRecord.load(place)._repr_html_()
        return set(runs["model"])
