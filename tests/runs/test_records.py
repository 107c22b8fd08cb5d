"""Records as the callback writes them become rows, broken ones are named."""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lightning_pepr import ModelSpace, RunRecord, load_runs
from lightning_pepr.record import CostEntry, Epoch
from lightning_pepr.record.files import files_in
from lightning_pepr.runs.load import read_runs
from lightning_pepr.runs.table import COLUMNS
from tests.helpers.runs import make_record, write_table


class TestFolders:
    def test_a_record_becomes_a_row(self, tmp_path: Path) -> None:
        record = make_record(status="finished")
        record.save(tmp_path / "pepr.json")
        (row,) = load_runs(tmp_path).rows(named=True)
        assert list(row) == list(COLUMNS)
        assert row == {
            **dict.fromkeys(COLUMNS),
            "model": "resnet18",
            "performance": 0.75,
            "val_performance": 0.75,
            "last_performance": 0.625,
            "energy_kwh": 0.25,
            "energy_kwh_error": 0.01,
            "gain": pytest.approx(0.04),
            "boards": "cpu:host, gpu:GPU-1",
            "time_s": 60.0,
            "params": 1000.0,
            "quality": "counter",
            "device": "NVIDIA A100, EPYC, AMD",
            "source": str(tmp_path / "pepr.json"),
            "run_id": record.run_id,
            "status": "finished",
        }

    def test_test_performance_is_that_of_the_run(self) -> None:
        (row,) = load_runs(make_record(test=0.7, test_samples=50, val_samples=20)).rows(named=True)
        assert (row["performance"], row["val_performance"]) == (0.7, 0.75)
        assert (row["samples"], row["val_samples"]) == (50, 20)
        assert load_runs(make_record(test_samples=50, val_samples=20))["samples"].to_list() == [20]

    def test_a_run_without_evaluation_or_energy_is_kept(self) -> None:
        (row,) = load_runs(make_record(performances=(None,), energy=None)).rows(named=True)
        assert row["performance"] is None
        assert row["energy_kwh"] is None
        assert row["quality"] == "unavailable"

    def test_records_are_found_at_any_depth_by_their_names(self, tmp_path: Path) -> None:
        for place in ("pepr.json", "a/b/version_0/pepr.json", "a/pepr-0123abcd.json", "a/pepr-0123abcd-2.json"):
            make_record(place).save(tmp_path / place)
        (tmp_path / "pepr-space.json").write_text("{}", encoding="utf-8")
        (tmp_path / "other.json").write_text("{}", encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            runs = load_runs(tmp_path)
        assert set(runs["model"]) == {
            "pepr.json",
            "a/b/version_0/pepr.json",
            "a/pepr-0123abcd.json",
            "a/pepr-0123abcd-2.json",
        }
        assert len(load_runs(tmp_path / "a", tmp_path / "pepr.json")) == 4

    def test_of_a_resumed_run_the_record_that_has_got_furthest_counts(self, tmp_path: Path) -> None:
        for folder, updated, epochs in [("a", "2025-01-01", 1), ("b", "2025-01-03", 3), ("c", "2025-01-02", 2)]:
            record = make_record(run_id="r1", energy=0.1 * epochs, updated=f"{updated}T00:00:00+00:00")
            del record.epochs[epochs:]
            record.status = "interrupted" if epochs < 3 else "finished"
            record.save(tmp_path / folder / "pepr.json")
        make_record("other").save(tmp_path / "d" / "pepr.json")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            runs = load_runs(tmp_path)
        assert runs["model"].to_list() == ["resnet18", "other"]
        assert runs["energy_kwh"][0] == pytest.approx(0.3)
        (source,) = load_runs(*(tmp_path / name for name in "cba"))["source"]
        assert source == str(tmp_path / "b" / "pepr.json")

    @pytest.mark.parametrize("copied", [{}, {"test_performance": 0.5}, {"updated": "2025-01-02T00:00:00+00:00"}])
    def test_a_copy_or_a_test_elsewhere_contradicts_nothing(self, copied: dict[str, Any]) -> None:
        known: dict[str, Any] = {"run_id": "r1", "status": "finished", "updated": "2025-01-01T00:00:00+00:00"}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            (row,) = load_runs([make_record(**known), make_record(**(known | copied))]).rows(named=True)
        assert row["performance"] == copied.get("test_performance", 0.75)

    FUTURE = "9999-12-31T00:00:00+00:00"

    @pytest.mark.parametrize(
        ("other", "counts"),
        [
            ({"performances": (0.99,), "status": "running"}, "finished, 3 evaluations, of 2025"),
            ({"performances": (), "status": "finished"}, "finished, 3 evaluations, of 2025"),
            ({"performances": (0.99,) * 3, "status": "finished"}, "finished, 3 evaluations, of 9999"),
            ({"energy": 0.001, "status": "finished"}, "finished, 3 evaluations, of 9999"),
            ({"performances": (0.99,) * 4, "status": "running"}, "running, 4 evaluations, of 9999"),
        ],
    )
    def test_a_record_of_the_same_run_hides_none_without_a_word(
        self, tmp_path: Path, other: dict[str, Any], counts: str
    ) -> None:
        first, second = (tmp_path / name / "pepr.json" for name in "ab")
        make_record(run_id="r1", status="finished", updated="2025-01-01T00:00:00+00:00").save(first)
        make_record(run_id="r1", updated=self.FUTURE, **other).save(second)
        if "9999" in counts:
            first, second = second, first
        names = [re.escape(str(path)) for path in (first, second)]
        where = rf"1 of the 1 runs have several records, .*: {names[0]} \({counts}.*\) counts, and {names[1]} \("
        with pytest.warns(UserWarning, match=where) as caught:
            runs = load_runs(tmp_path)
        assert runs["source"].to_list() == [str(first)]
        assert caught[0].filename == __file__

    def test_broken_records_are_named_and_left_out(self, tmp_path: Path) -> None:
        for i in range(20):
            make_record(f"model{i}").save(tmp_path / str(i) / "pepr.json")
        text = (tmp_path / "3" / "pepr.json").read_text(encoding="utf-8")
        (tmp_path / "3" / "pepr.json").write_text(text[: len(text) // 2], encoding="utf-8")
        newer = {**json.loads(text), "schema": "lightning-pepr/run/99"}
        (tmp_path / "7" / "pepr.json").write_text(json.dumps(newer), encoding="utf-8")
        (tmp_path / "9" / "pepr.json").write_bytes(b"\xff\xfe\x00")
        with pytest.warns(UserWarning, match="3 of 20 records in .* are left out") as caught:
            runs = load_runs(tmp_path)
        message = str(caught[0].message)
        for number in (3, 7, 9):
            assert str(Path(str(number), "pepr.json")) in message
        assert "lightning-pepr/run/99" in message
        assert caught[0].filename == __file__
        assert set(runs["model"]) == {f"model{i}" for i in range(20) if i not in (3, 7, 9)}

    def test_what_a_journal_adds_is_in_the_row(self, tmp_path: Path) -> None:
        record = make_record(performances=(0.5,))
        files = files_in(str(tmp_path / "a"))
        files.write(record)
        record.epochs.append(Epoch(1, 1, 0.875))
        record.costs["time_s"] = CostEntry(90.0, 0.0, "counter")
        files.write(record)
        assert load_runs(tmp_path).select("performance", "time_s").rows() == [(0.875, 90.0)]

    def test_a_journal_without_its_record_is_named(self, tmp_path: Path) -> None:
        files_in(str(tmp_path / "a")).write(make_record("a"))
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "pepr-0a1b2c3d.jsonl").write_text("{}\n")
        with pytest.warns(UserWarning, match=r"1 of 2 records .*\n.*/b/pepr-0a1b2c3d.json is not there, but pepr-0a1b"):
            assert load_runs(tmp_path)["model"].to_list() == ["a"]

    @pytest.mark.timeout(60)
    def test_what_would_keep_a_reader_waiting_is_named(self, tmp_path: Path) -> None:
        make_record("a").save(tmp_path / "a" / "pepr.json")
        os.mkfifo(tmp_path / "pepr.json")
        with pytest.warns(UserWarning, match=r"1 of 2 records .*\n.*/pepr.json is no plain file"):
            assert load_runs(tmp_path)["model"].to_list() == ["a"]

    def test_a_record_whose_space_is_broken_is_left_out(self, tmp_path: Path) -> None:
        """Else the report and the figures, which score the runs in it, would fail because of it."""
        for name in ("good", "bad"):
            record = make_record(name)
            record.space = ModelSpace.budget(energy_kwh=1.0).to_dict()
            if name == "bad":
                record.space["ranges"]["energy_kwh"] = [2.0, 1.0]
            record.save(tmp_path / name / "pepr.json")
        with pytest.warns(UserWarning, match=r"1 of 2 records in .* cannot be read and are left out:\n.*low \(2\.0\)"):
            runs = load_runs(tmp_path)
        assert runs["model"].to_list() == ["good"]

    @pytest.mark.slow
    def test_a_folder_may_be_called_anything(self, tmp_path: Path) -> None:
        folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")  # Latin-1, which is no UTF-8
        os.mkdir(folder)
        make_record("a").save(os.path.join(folder, "pepr.json"))
        write_table(Path(folder) / "t.csv", "model,performance,energy_kwh\nb,0.5,1\n")
        runs = load_runs([tmp_path, os.path.join(folder, "t.csv")])
        assert runs["model"].to_list() == ["a", "b"]
        assert runs["source"].to_list() == [f"{tmp_path}/caf\ufffd/{name}" for name in ("pepr.json", "t.csv")]

    def test_three_broken_records_of_ten_thousand_cost_nothing_else(self, tmp_path: Path) -> None:
        text = json.dumps(make_record().to_dict())
        for i in range(10_000):
            folder = tmp_path / f"{i % 100}" / f"{i}"
            folder.mkdir(parents=True)
            (folder / "pepr.json").write_text(text.replace('"run_id": "', f'"run_id": "{i}-'), encoding="utf-8")
        for i in (3, 4_711, 9_999):
            (tmp_path / f"{i % 100}" / f"{i}" / "pepr.json").write_text(text[: i % 97 + 20], encoding="utf-8")
        with pytest.warns(UserWarning, match=r"3 of 10000 records in .* are left out") as caught:
            runs = load_runs(tmp_path)
        (warning,) = caught
        for i in (3, 4_711, 9_999):
            assert str(Path(f"{i % 100}", f"{i}", "pepr.json")) in str(warning.message)
        assert {int(run.partition("-")[0]) for run in runs["run_id"]} == set(range(10_000)) - {3, 4_711, 9_999}

    def test_a_folder_without_a_run(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"holds no run \(no pepr\.json in it\); expected the records"):
            load_runs(tmp_path)
        (tmp_path / "pepr.json").write_text("[]", encoding="utf-8")
        with pytest.raises(ValueError, match=r"none of the 1 records in it can be read: .*not a record"):
            load_runs(tmp_path)

    def test_a_file_that_is_no_record(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "some.json", "[1, 2]")
        with pytest.raises(ValueError, match=r"some\.json is not a record of a run: .*PePRCallback"):
            load_runs(path)


class TestSpaceFromRuns:
    def test_it_spans_what_was_measured(self, tmp_path: Path) -> None:
        for i, energy in enumerate([0.5, 0.1, None, 0.3]):
            make_record(f"m{i}", energy=energy).save(tmp_path / str(i) / "pepr.json")
        space = ModelSpace.from_runs(tmp_path)
        assert space.ranges == {"energy_kwh": (0.1, 0.5), "time_s": (60.0, 60.0), "params": (1000.0, 1000.0)}
        assert (space.models, space.source) == (4, "4 runs")
        assert ModelSpace.from_runs([tmp_path / "0", tmp_path / "1"]).range("E") == (0.1, 0.5)

    def test_runs_without_a_cost_span_none(self) -> None:
        with pytest.raises(ValueError, match="none of the 1 runs has a cost"):
            ModelSpace.from_runs(RunRecord("m", test_performance=0.5))

    def test_a_run_without_a_performance_is_left_out_and_counted(self) -> None:
        """One mistyped key would move the scores of all others."""
        runs = [make_record(name, energy=energy) for name, energy in (("a", 0.1), ("b", 0.3))]
        mistyped = make_record("c", energy=90.0, performances=(None,))
        with pytest.warns(UserWarning, match=r"1 of the 3 runs have no performance \(such as c\)") as caught:
            space = ModelSpace.from_runs([*runs, mistyped])
        assert caught[0].filename == __file__
        assert space == ModelSpace.from_runs(runs)
        assert ModelSpace.from_runs(mistyped).range("E") == (90.0, 90.0), "where none has one, all count"

    def test_models_are_counted_by_what_tells_them_apart(self) -> None:
        runs = [make_record("Net", params=params, run_id=str(i)) for i, params in enumerate((10, 10, 20))]
        assert ModelSpace.from_runs(runs).models == 2


class TestPerformances:
    def test_less_than_nothing_counts_as_nothing(self) -> None:
        record = make_record(performances=(-0.5, -0.25), test=-0.125)
        (row,) = load_runs(record).rows(named=True)
        assert [row[name] for name in ("performance", "val_performance", "last_performance")] == [0.0] * 3
        assert [e.performance for e in record.evaluations] == [-0.5, -0.25], "the record keeps it"

    def test_above_1_there_is_none_and_the_note_says_where(self) -> None:
        records = [make_record("a", performances=(0.9, 8.0, 45.0), test=0.5), make_record("b")]
        where = r"1 of the 2 runs have no performance, .*: val_acc of a was 8 at epoch 1\. Expected .* divide a perc"
        with pytest.warns(UserWarning, match=where) as caught:
            runs = load_runs(records)
        assert caught[0].filename == __file__
        assert runs.select("performance", "val_performance", "last_performance").row(0) == (None, None, None)
        assert runs["energy_kwh"][0] == 0.25

    def test_that_of_testing_alone(self) -> None:
        record = make_record(monitor="", performances=(), test=0.75, test_samples=8)
        for at in ("best", "last"):
            (row,) = read_runs(record, at=at).rows(named=True)
            assert (row["performance"], row["samples"], row["val_performance"]) == (0.75, 8, None)


class TestOtherKeys:
    def records(self) -> list[RunRecord]:
        one, two, three = (make_record(name, test=test) for name, test in (("a", 0.5), ("b", 0.6), ("c", None)))
        for epoch, auc in zip(one.epochs, (0.9, 0.95, 0.8), strict=True):
            epoch.others = {"val_auc": auc}
        two.monitor = "val_auc"
        two.test_others = {"val_f1": 0.1}
        return [one, two, three]

    def test_a_run_has_the_one_that_is_asked_for_or_none(self) -> None:
        missing = (
            r"1 of the 3 runs have no 'val_auc' .*, such as c\. The keys that there are: val_acc, val_auc, val_f1\."
        )
        with pytest.warns(UserWarning, match=missing) as caught:
            runs = load_runs(self.records(), monitor="val_auc")
        assert caught[0].filename == __file__
        assert runs["performance"].to_list() == [0.95, 0.6, None]
        assert runs["last_performance"].to_list() == [0.8, 0.625, None]
        own = self.records()[1]
        assert load_runs(own, monitor="val_auc").equals(load_runs(own)), "of whom it is the monitor nothing changes"

    def test_of_testing_where_there_is_one(self) -> None:
        record = self.records()[0]
        record.test_others = {"val_auc": 0.85}
        assert load_runs(record, monitor="val_auc").select("performance", "val_performance").row(0) == (0.85, 0.95)

    def test_a_key_that_none_has(self) -> None:
        with pytest.raises(
            ValueError, match=r"all 3 of the 3 runs have no 'auc' .* keys that there are: val_acc, val_auc"
        ):
            load_runs(self.records(), monitor="auc")

    def test_a_table_keeps_what_it_has(self) -> None:
        table = pl.DataFrame({"model": ["t"], "performance": [0.3], "energy_kwh": [1.0]})
        with pytest.warns(UserWarning, match="monitor='val_auc' is for records: tables keep"):
            assert load_runs(self.records()[0], table, monitor="val_auc")["performance"].to_list() == [0.95, 0.3]
