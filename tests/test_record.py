"""A record is written whole or not at all, and read back as it was."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lightning_pepr import Cost, ModelSpace, RunRecord, load_runs
from lightning_pepr.forecast import Forecast
from lightning_pepr.record import SCHEMA, CostEntry, DeviceEntry, Epoch, Stage, move_aside
from lightning_pepr.report.data import fingerprint
from lightning_pepr.study.budget import StudyBudget
from lightning_pepr.utilities.files import files_below


def example() -> RunRecord:
    return RunRecord(
        model="resnet18",
        params=11_689_512,
        monitor="val_acc",
        costs={"energy_kwh": CostEntry(0.5, 0.01, "counter"), "carbon_g": CostEntry(reason="no intensity")},
        epochs=[
            Epoch(0, 9, 0.5, Cost(energy_kwh=0.2), {"pepr_e": 0.4}),
            Epoch(1, 19, 0.75, Cost(energy_kwh=0.4), {"pepr_e": 0.5}),
            Epoch(
                2,
                29,
                0.7,
                Cost(energy_kwh=0.5),
                {"pepr_e": 0.45},
                {"energy_kwh": Forecast(1.0, 0.9, 1.2, 0.9)._asdict()},
            ),
        ],
        stopped="CostBudget ends the training after epoch 2: …",
        stages={"train": Stage(10, 20)},
        devices={"cpu:host": DeviceEntry("cpu", "host", 10, 0.1, "estimated")},
        space=ModelSpace.budget(energy_kwh=1.0),
    )


def test_there_and_back(tmp_path: Path) -> None:
    record = example()
    record.save(tmp_path / "deep" / "pepr.json")
    assert RunRecord.load(tmp_path / "deep" / "pepr.json") == record
    assert RunRecord.load(tmp_path / "deep") == record, "a folder is taken for the record in it"


def test_a_record_from_before_there_were_budgets_and_forecasts() -> None:
    data = example().to_dict()
    del data["stopped"]
    for epoch in data["epochs"]:
        del epoch["forecasts"]
    record = RunRecord.from_dict(data)
    assert record.stopped == ""
    assert [epoch.forecasts for epoch in record.epochs] == [{}, {}, {}]
    assert record.best == RunRecord.from_dict(example().to_dict()).best


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    example().save(tmp_path / "pepr.json")
    data = json.loads((tmp_path / "pepr.json").read_text())
    assert data["schema"] == SCHEMA
    assert data["model"] == {"name": "resnet18", "params": 11_689_512}
    assert data["costs"]["energy_kwh"] == {
        "value": 0.5,
        "error": 0.01,
        "quality": "counter",
        "lower_bound": False,
        "reason": "",
    }
    assert data["costs"]["carbon_g"]["value"] is None, "unmeasured is never 0"


def test_performance_is_that_of_the_model_one_would_keep() -> None:
    record = example()
    assert record.performance == 0.75
    assert record.best is not None
    assert record.last is not None
    assert (record.best.epoch, record.last.epoch) == (1, 2)
    record.test_performance = 0.6
    assert record.performance == 0.6
    assert RunRecord("empty").performance is None
    assert record.cost == Cost(energy_kwh=0.5)


def test_nan_is_none_in_the_file(tmp_path: Path) -> None:
    record = example()
    record.epochs[0].performance = math.nan
    record.epochs[0].scores["pepr_e"] = math.nan
    record.save(tmp_path / "pepr.json")
    assert json.loads((tmp_path / "pepr.json").read_text())["epochs"][0]["performance"] is None
    assert record.best is not None
    assert record.best.epoch == 1


def test_settings_of_ones_own_are_json_all_the_same(tmp_path: Path) -> None:
    record = example()
    record.settings = {"layers": {1: (math.nan, 2.0)}, 3: "x"}
    record.save(tmp_path / "pepr.json")
    assert RunRecord.load(tmp_path).settings == {"layers": {"1": [None, 2.0]}, "3": "x"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "is not a record of a run"),
        ("[1, 2]", "it has no `schema`"),
        ('{"epochs": []}', "it has no `schema`"),
        ('{"schema": "lightning-pepr/run/99"}', "a newer record needs a newer lightning-pepr"),
        (f'{{"schema": "{SCHEMA}"}}', "it is not a whole record: KeyError"),
        (f'{{"schema": "{SCHEMA}", "model": null}}', "it is not a whole record"),
    ],
)
def test_a_file_that_is_not_a_record(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "pepr.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"(?s){path}.*{message}"):
        RunRecord.load(path)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("run_id",), ["x"], r"run_id is \['x'\]"),
        (("group",), 3, "group is 3"),
        (("settings",), ["x"], r"settings is \['x'\]"),
        (("epochs", 0, "performance"), "0.9", "performance is '0.9'"),
        (("epochs", 0, "scores"), None, "scores is None"),
        (("costs", "energy_kwh", "value"), "abc", "value is 'abc'"),
        (("stages", "train", "energy_uj"), 0.5, "energy_uj is 0.5"),
        (("devices", "cpu:host", "energy_uj"), "1", "energy_uj is '1'"),
    ],
)
def test_what_is_not_of_its_type_is_named(place: tuple[Any, ...], value: Any, message: str) -> None:
    data = example().to_dict()
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    assert place[-1] in inner
    inner[place[-1]] = value
    with pytest.raises(ValueError, match=f"it is not a whole record: TypeError: {message}; expected (text|a|null)"):
        RunRecord.from_dict(data)


def test_a_record_with_a_negative_cost_is_refused_when_it_is_used() -> None:
    data = example().to_dict()
    data["costs"]["energy_kwh"]["value"] = -1.0
    with pytest.raises(ValueError, match=r"energy_kwh is -1\.0"):
        _ = RunRecord.from_dict(data).cost


def test_a_write_that_fails_leaves_the_old_record_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = example()
    record.save(tmp_path / "pepr.json")
    before = (tmp_path / "pepr.json").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    record.status = "finished"
    with pytest.raises(OSError, match="No space left"):
        record.save(tmp_path / "pepr.json")
    assert (tmp_path / "pepr.json").read_bytes() == before
    assert os.listdir(tmp_path) == ["pepr.json"], "nothing half written lies about"


def test_another_runs_record_is_renamed_never_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "pepr.json"
    first, second = example(), example()
    move_aside(target, first.run_id)
    first.save(target)
    move_aside(target, first.run_id)
    assert target.exists(), "its own is in nobody's way"
    move_aside(target, second.run_id)
    second.save(target)
    assert RunRecord.load(tmp_path / f"pepr-{first.run_id[:8]}.json") == first
    target.write_text("garbage")
    move_aside(target, first.run_id)
    assert (tmp_path / "pepr-unreadable.json").read_text() == "garbage"


def test_others_may_read_it(tmp_path: Path) -> None:
    example().save(tmp_path / "pepr.json")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "pepr.json").stat().st_mode & 0o777 == 0o644 & ~mask


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda folder: {path.parent.name for path in files_below(folder)}, {"a", "c"}),
        (lambda folder: set(load_runs(folder)["model"]), {"a", "c"}),
        (lambda folder: {Path(name).parent.name for name, *_ in fingerprint([folder])}, {"a", "c"}),
        (lambda folder: StudyBudget(folder, {"data_samples": 1.0}).refresh(), {"data_samples": 101.0}),
    ],
    ids=["files", "runs", "fingerprint", "budget"],
)
def test_a_folder_that_is_moved_away_while_it_is_looked_through_is_left_out(
    read: Callable[[Path], Any], expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, samples in {"a": 1.0, "b": 10.0, "c": 100.0}.items():
        costs = {"data_samples": CostEntry(samples)}
        RunRecord(name, run_id=name, costs=costs).save(tmp_path / "runs" / name / "pepr.json")
    scandir = os.scandir

    def moved_away(path: Any = ".") -> Any:
        if Path(path).name == "b":
            os.rename(path, tmp_path / "aside")
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", moved_away)
        found = read(tmp_path / "runs")
    assert found == expected
