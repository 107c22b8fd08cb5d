"""A record is written whole or not at all, and read back as it was."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lightning_pepr import Cost, ModelSpace, RunRecord
from lightning_pepr.cost import ENERGY, in_words
from lightning_pepr.forecast import Forecast
from lightning_pepr.record import SCHEMA, CostEntry, DeviceEntry, Epoch, Stage
from tests.helpers.records import make_run


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
        space=ModelSpace.budget(energy_kwh=1.0).to_dict(),
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
    record.settings = {"layers": {1: (math.nan, 2.0)}, 3: "x"}  # type: ignore[dict-item]
    record.save(tmp_path / "pepr.json")
    assert RunRecord.load(tmp_path).settings == {"layers": {"1": [None, 2.0]}, "3": "x"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "is not a record of a run"),
        ("[1, 2]", "it has no `schema`"),
        ('{"epochs": []}', "it has no `schema`"),
        ('{"schema": "lightning-pepr/run/99"}', "a newer record needs a newer lightning-pepr"),
        (f'{{"schema": "{SCHEMA}"}}', "it is not a whole record: it has no model, costs, epochs, stages, devices"),
        (f'{{"schema": "{SCHEMA}", "model": null}}', "it is not a whole record: it has no costs"),
    ],
)
def test_a_file_that_is_not_a_record(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "pepr.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"(?s){path}.*{message}"):
        RunRecord.load(path)


@pytest.mark.parametrize(
    ("place", "value", "message", "expected"),
    [
        (("model",), None, "model is None", "object"),
        (("model", "name"), 3, "name is 3", "str"),
        (("run_id",), ["x"], r"run_id is \['x'\]", "str"),
        (("group",), 3, "group is 3", "str"),
        (("settings",), ["x"], r"settings is \['x'\]", "object"),
        (("space",), "derma", "space is 'derma'", r"object \| null"),
        (("epochs", 1, "performance"), "0.9", r"epochs\[1\].performance is '0.9'", r"float \| null"),
        (("epochs", 0, "scores"), None, r"epochs\[0\].scores is None", "object"),
        (("costs", "energy_kwh", "value"), "abc", "value is 'abc'", r"float \| null"),
        (("stages", "train", "energy_uj"), 0.5, "energy_uj is 0.5", r"int \| null"),
        (("devices", "cpu:host", "energy_uj"), "1", "energy_uj is '1'", r"int \| null"),
    ],
)
def test_a_wrong_type_is_named(place: Any, value: Any, message: str, expected: str) -> None:
    data = example().to_dict()
    inner: Any = data
    for key in place[:-1]:
        inner = inner[key]
    assert place[-1] in inner
    inner[place[-1]] = value
    with pytest.raises(ValueError, match=rf"it is not a whole record: .*\b{message}; expected {expected}\.$"):
        RunRecord.from_dict(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "lightning-pepr/space/99"}, r"schema is 'lightning-pepr/space/99'; .*newer lightning-pepr"),
        ({"ranges": None}, "ranges is None; expected a low and a high"),
        ({"ranges": {"energy_kwh": 0.5}}, r"the range of energy_kwh is 0\.5; expected a pair"),
        ({"ranges": {"energy_kwh": [2.0, 1.0]}}, r"the range of energy_kwh: low \(2\.0\) is larger than high"),
        ({"ranges": {"energy_kwh": [0.0, "much"]}}, "the range of energy_kwh: .*'much'"),
        ({"ranges": {"joules": [0.0, 1.0]}}, "unknown resource 'joules'"),
    ],
)
def test_a_broken_space_is_named(change: dict[str, Any], message: str) -> None:
    data = example().to_dict()
    data["space"] |= change
    with pytest.raises(ValueError, match=message):
        RunRecord.from_dict(data)


@pytest.mark.parametrize("none", [None, {}])
def test_a_record_without_a_space(none: dict[str, Any] | None) -> None:
    assert not RunRecord.from_dict({**example().to_dict(), "space": none}).space


def test_what_a_newer_version_adds_to_a_record_is_ignored() -> None:
    data = example().to_dict()
    data["status"], data["inference"] = "evaluated", []
    record = RunRecord.from_dict(data)
    assert (record.status, record.model) == ("evaluated", "resnet18")


@pytest.mark.parametrize("place", [("epochs", 0), ("epochs", 0, "cost"), ("costs", "energy_kwh"), ("stages", "train")])
def test_what_is_unknown_within_an_entry_is_named(place: tuple[Any, ...]) -> None:
    data = example().to_dict()
    inner: Any = data
    for key in place:
        inner = inner[key]
    inner["colour"] = 1
    with pytest.raises(ValueError, match=r"it is not a whole record: .*unknown field .colour."):
        RunRecord.from_dict(data)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("costs", "energy_kwh", "value"), -1.0, r"value is -1\.0; expected float >= 0\.0"),
        (("costs", "energy_kwh", "error"), math.inf, r"error is inf; expected float <= 1\.79"),
        (("costs", "energy_kwh", "value"), math.nan, r"value is nan; expected float >= 0\.0"),
        (("costs", "energy_kwh", "value"), 10**400, "Number out of range"),
        (("costs", "energy_kwh", "value"), True, "value is True; expected float"),
        (("devices", "cpu:host", "gain"), None, "gain is None; expected float"),
        (("stages", "train", "energy_uj"), 10**30, r"energy_uj is 1000.*; expected int <= 9223372036854775807"),
        (("val_samples",), -1, "val_samples is -1; expected int >= 0"),
        (("epochs", 0, "others", "val_auc"), "high", r"others\[\.\.\.\] is 'high'; expected float"),
        (("epochs", 0, "cost", "time_s"), -1.0, r"time_s is -1\.0"),
        (("space", "models"), ["a"], r"models is \['a'\]; expected int"),
        (("space", "ranges", "time_s"), [0.0, 10**400], "range of time_s.*too large"),
    ],
)
def test_an_amount_that_cannot_be_is_refused(place: Any, value: Any, message: str) -> None:
    data = example().to_dict()
    inner: Any = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(ValueError, match=message):
        RunRecord.from_dict(data)


@pytest.mark.parametrize("text", ["NaN", "1e999", r'"\ud800"', "[" * 900 + "]" * 900, '{"a":' * 90 + "1" + "}" * 90])
def test_what_is_no_json_or_too_deep_is_refused(tmp_path: Path, text: str) -> None:
    example().save(tmp_path / "pepr.json")
    whole = (tmp_path / "pepr.json").read_text()
    (tmp_path / "pepr.json").write_text(whole.replace('"settings": {}', f'"settings": {{"odd": {text}}}'))
    assert text in (tmp_path / "pepr.json").read_text()
    with pytest.raises(ValueError, match=r"pepr\.json is not a record of a run: it"):
        RunRecord.load(tmp_path)


def test_half_a_character_costs_no_record(tmp_path: Path) -> None:
    """As it stands in the name of a file that is no text, which a hyperparameter may hold."""
    record = example()
    record.settings = {"data": "images\udcff", "ü\ud800": 1}
    record.save(tmp_path / "pepr.json")
    assert RunRecord.load(tmp_path).settings == {"data": "images?", "ü?": 1}


def test_a_failed_write_keeps_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert os.listdir(tmp_path) == ["pepr.json"], "nothing half written is left"


def test_others_may_read_it(tmp_path: Path) -> None:
    example().save(tmp_path / "pepr.json")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "pepr.json").stat().st_mode & 0o777 == 0o644 & ~mask


def test_a_run_shows_its_costs_and_how_they_were_measured() -> None:
    run = make_run("net", 4e6)
    run.epochs[1].scores["pepr_e"], run.epochs[-1].scores["pepr_e"] = 0.75, 0.5
    run.costs["memory_gb"] = CostEntry(reason="no memory could be read")
    html = run._repr_html_()
    cells = [[cell.text or "" for cell in row] for row in ElementTree.fromstring(html).iter("tr")]
    rows = {row[0]: row for row in cells}
    energy = run.costs["energy_kwh"]
    assert rows["energy"][1:4] == [in_words(ENERGY, energy.value or 0, energy.error), "counter", "0.500 (best 0.750)"]
    assert rows["memory"][1] == "not measured"
    assert rows["memory"][4] == "no memory could be read"
    assert "net" in html
    assert "val_acc" in html
    assert "test_acc 0.83" in html
    assert "NVIDIA A100" in html


def test_a_run_that_has_just_begun_shows_as_well() -> None:
    assert "running" in RunRecord("net")._repr_html_()


def test_the_names_of_a_run_that_is_shown_are_text() -> None:
    name = "<script>alert(1)</script>"
    run = make_run(name, 1e6)
    run.monitor = run.error = run.costs["energy_kwh"].quality = name
    for device in run.devices.values():
        device.name = name
    known = {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert {each.tag for each in ElementTree.fromstring(run._repr_html_()).iter()} == known


def test_a_record_needs_nothing_to_be_shown() -> None:
    script = """
import sys
from lightning_pepr import RunRecord
RunRecord("net")._repr_html_()
print(sorted({"polars", "rich", "jinja2", "torch", "matplotlib"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_run_is_shown_whose_epochs_hold_no_numbers(tmp_path: Path, value: float) -> None:
    record = example()
    for epoch in record.epochs[1:]:
        epoch.performance, epoch.scores = value, {"pepr_e": value}
    record.save(tmp_path / "pepr.json")
    for each in (record, RunRecord.load(tmp_path)):
        assert "val_acc 0.5 at epoch 0" in each._repr_html_()
        assert not {"nan", "inf"} & set(re.findall(r"\w+", each._repr_html_().lower()))
