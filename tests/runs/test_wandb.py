"""W&B's offline runs read back, whole and broken."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import WandbLogger

from lightning_pepr import load_runs, rank
from lightning_pepr.cli import main
from lightning_pepr.runs.wandb import find_wandb, read_wandb
from tests.helpers import servers
from tests.helpers.loggers import Tuned
from tests.helpers.trackers import Named, check_row_of_metrics, run_of, whole_row

pytestmark = pytest.mark.usefixtures("offline")


def make_wandb(root: Path, **options: Any) -> WandbLogger:
    root.mkdir(parents=True, exist_ok=True)
    return WandbLogger(save_dir=root, offline=True, project="nodules", **options)


def finished(logger: WandbLogger) -> Path:
    """The folder of a run that has ended."""
    folder = Path(logger.experiment.dir).parent
    logger.experiment.finish()
    servers.wandb_entries(folder)
    return folder


@pytest.mark.slow
def test_a_folder_of_offline_runs_is_loaded_and_ranked(tmp_path: Path) -> None:
    records, sources = [], []
    for model, *performances in [("small", 0.5, 0.75), ("large", 0.625, 0.875)]:
        logger = make_wandb(tmp_path)
        # Records beside them are not what is looked at here.
        records.append(run_of(Named(str(model), *performances), tmp_path, logger, test=True))
        sources.append(str(finished(logger) / "files" / "pepr.json"))
    expected = [whole_row(*pair) for pair in zip(records, sources, strict=True)]
    runs = load_runs(tmp_path / "wandb")
    assert sorted(runs.rows(named=True), key=lambda row: row["source"]) == sorted(expected, key=lambda r: r["source"])
    assert len(load_runs(tmp_path)) == 2, "with the records beside them they count once"
    assert load_runs(Path(sources[0]).parents[1])["model"].to_list() == ["small"], "a single run"
    assert set(rank(tmp_path / "wandb", by="time")["model"]) == {"small", "large"}
    ranking = tmp_path / "ranking.json"
    assert main(["rank", str(tmp_path / "wandb"), "--by", "time", "--output", str(ranking)]) == 0
    assert "large" in ranking.read_text(encoding="utf-8")


@pytest.mark.slow
def test_an_offline_run_that_left_no_record_is_read_from_its_log(tmp_path: Path) -> None:
    logger = make_wandb(tmp_path, prefix="a")
    record = run_of(Named("bare"), tmp_path / "elsewhere", logger, test=True, record=False)
    folder = finished(logger)
    (row,) = load_runs(tmp_path / "wandb").rows(named=True)
    check_row_of_metrics(row, record)
    assert row["status"] == "finished"
    assert row["source"] == str(folder / f"run-{logger.version}.wandb")


@pytest.mark.slow
def test_a_log_of_many_blocks_is_read_whole(tmp_path: Path) -> None:
    """Entries that are longer than a block of 32 KiB, and thousands that meet its end in every way."""
    logger = make_wandb(tmp_path)
    logger.experiment.config.update({"pepr": {"monitor": "val_acc", "model": "m"}, "long": "x" * 100_000})
    for step in range(3000):
        logger.log_metrics({"time_s": step + 0.5, "val_acc": step / 3000, "note": float(step)}, step)
    folder = finished(logger)
    (path,) = folder.glob("*.wandb")
    assert path.stat().st_size > 10 * 32768
    run = read_wandb(path)
    assert [epoch.step for epoch in run.epochs] == list(range(3000))
    assert [epoch.cost.time_s for epoch in run.epochs] == [step + 0.5 for step in range(3000)]
    assert [epoch.performance for epoch in run.epochs] == [step / 3000 for step in range(3000)]


@pytest.mark.slow
def test_broken_logs_in_a_folder_are_named_and_left_out(tmp_path: Path) -> None:
    folders = {}
    for name in ("good", "flipped", "cut", "empty", "foreign"):
        logger = make_wandb(tmp_path, name=name)
        if name == "foreign":
            logger.log_metrics({"val_acc": 0.5}, 0)
        else:
            run_of(Named(name), tmp_path / "elsewhere", logger, record=False)
        folders[name] = finished(logger)
    logs = {name: next(folder.glob("*.wandb")) for name, folder in folders.items()}
    data = bytearray(logs["flipped"].read_bytes())
    data[len(data) // 2] ^= 1
    logs["flipped"].write_bytes(data)
    logs["cut"].write_bytes(logs["cut"].read_bytes()[:-40])
    logs["empty"].write_bytes(b"")
    with pytest.warns(UserWarning, match="3 of 5 records in .* cannot be read and are left out") as caught:
        runs = load_runs(tmp_path / "wandb")
    message = str(caught[0].message)
    for name, why in [("flipped", "is damaged at byte"), ("empty", "does not begin with"), ("foreign", "has no cost")]:
        (line,) = [line for line in message.splitlines() if str(logs[name]) in line]
        assert why in line
    assert dict(zip(runs["model"], runs["status"], strict=True)) == {"good": "finished", "cut": "running"}
    for name in ("good", "cut"):
        logs[name].unlink()
    with pytest.raises(ValueError, match=r"holds no run \(none of the 3 records in it can be read"):
        load_runs(tmp_path / "wandb")


def test_a_log_of_a_sane_frame_and_broken_contents(tmp_path: Path) -> None:
    data = b"\xff" * 20
    frame = struct.pack("<IHB", zlib.crc32(data, zlib.crc32(b"\x01")), len(data), 1)
    path = tmp_path / "run-x.wandb"
    path.write_bytes(b":W&B\xe1\xbe\x00" + frame + data)
    with pytest.raises(ValueError, match=r"run-x\.wandb is not a log of a W&B run"):
        read_wandb(path)


@pytest.mark.slow
def test_the_config_tells_runs_of_one_name_apart(tmp_path: Path) -> None:
    for lr in (0.125, 0.25):
        logger = make_wandb(tmp_path)
        run_of(Tuned(lr=lr), tmp_path / "elsewhere", logger, record=False)
        finished(logger)
    assert sorted(rank(tmp_path / "wandb", by="time")["model"]) == ["Tuned (lr=0.125)", "Tuned (lr=0.25)"]


def write_log(path: Path, config: dict[str, str], *rows: dict[str, str]) -> Path:
    """A log of its own making, in whose values anything may stand."""
    from wandb.proto import wandb_internal_pb2

    run: Any = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
    run.run.run_id = "own"
    for key, text in config.items():
        run.run.config.update.add(key=key, value_json=text)
    entries = [run]
    for row in rows:
        entries.append(wandb_internal_pb2.Record())  # type: ignore[attr-defined]
        for key, text in row.items():
            entries[-1].history.item.add(key=key, value_json=text)
    frames = b""
    for data in (entry.SerializeToString() for entry in entries):
        frames += struct.pack("<IHB", zlib.crc32(data, zlib.crc32(b"\x01")), len(data), 1) + data
    path.write_bytes(b":W&B\xe1\xbe\x00" + frames)
    return path


@pytest.mark.parametrize("pepr", ["true", "[1]", '{"monitor": 3, "model": null}', "NaN", "[" * 3000 + "]" * 3000])
def test_a_config_of_ones_own_is_none_of_ours(tmp_path: Path, pepr: str) -> None:
    run = read_wandb(write_log(tmp_path / "run-own.wandb", {"pepr": pepr}, {"_step": "0", "time_s": "5.0"}))
    assert (run.model, run.monitor, run.cost.time_s) == ("run-own", "", 5.0)


@pytest.mark.parametrize("odd", ["NaN", "1e999", "1" + 400 * "0", "true", '"x"', "null", "[[1]]"])
def test_what_is_no_number_is_none(tmp_path: Path, odd: str) -> None:
    good, bad = {"_step": "0", "time_s": "5.0", "energy_kwh": "0.5"}, {"_step": "1", "time_s": odd, "energy_kwh": "1.0"}
    run = read_wandb(write_log(tmp_path / "run-own.wandb", {}, good, bad, {"_step": odd, "time_s": "9.0"}))
    assert (run.cost.time_s, run.cost.energy_kwh) == (5.0, 1.0)


def test_an_amount_that_cannot_be_leaves_the_run_out(tmp_path: Path) -> None:
    path = write_log(tmp_path / "run-own.wandb", {}, {"_step": "0", "time_s": "-5.0"})
    with pytest.raises(
        ValueError, match=r"run-own\.wandb is not a log of a W&B run: .*value is -5\.0; expected float >="
    ):
        read_wandb(path)


def test_a_folder_of_files_that_cannot_be_read_is_as_if_it_were_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", closed)
        assert find_wandb([tmp_path / "run-a.wandb"]) == [tmp_path / "run-a.wandb"]
