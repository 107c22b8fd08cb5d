"""Reading runs: records as the callback writes them, the paper's table, our own tables, and broken input."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

import lightning_pepr
from lightning_pepr import Cost, ModelSpace, RunRecord, load_runs
from lightning_pepr.cost import RESOURCES
from lightning_pepr.record import CostEntry, DeviceEntry, Epoch
from lightning_pepr.runs.checks import check_runs, warn_of_mixtures
from lightning_pepr.runs.table import COLUMNS
from tests.helpers.paths import PAPER

COSTS = [resource.field for resource in RESOURCES]


def make_record(
    model: str = "resnet18",
    *,
    performances: tuple[float | None, ...] = (0.5, 0.75, 0.625),
    test: float | None = None,
    energy: float | None = 0.25,
    **rest: object,
) -> RunRecord:
    record = RunRecord(
        model,
        params=1000,
        monitor="val_acc",
        epochs=[Epoch(i, i, p, Cost(energy_kwh=0.1 * i)) for i, p in enumerate(performances)],
        costs={
            "energy_kwh": CostEntry(energy, 0.01, "counter" if energy is not None else "unavailable"),
            "time_s": CostEntry(60.0, 0.0, "counter"),
            "carbon_g": CostEntry(reason="the grid's intensity is not known"),
        },
        devices={
            "gpu:GPU-1": DeviceEntry("NVIDIA A100", "host", 800_000_000_000, 1.0, "counter", gain=0.05),
            "cpu:host": DeviceEntry("EPYC", "host", 200_000_000_000, 1.0, "counter"),
            "gpu:GPU-2": DeviceEntry("AMD", "host"),
        },
        test_performance=test,
    )
    for key, value in rest.items():
        setattr(record, key, value)
    return record


def write_table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


class TestRecords:
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

    def test_of_a_resumed_run_the_latest_record_counts(self, tmp_path: Path) -> None:
        for folder, updated, energy in [("a", "2025-01-01", 0.1), ("b", "2025-01-03", 0.3), ("c", "2025-01-02", 0.2)]:
            record = make_record(run_id="r1", energy=energy, updated=f"{updated}T00:00:00+00:00")
            record.save(tmp_path / folder / "pepr.json")
        make_record("other").save(tmp_path / "d" / "pepr.json")
        runs = load_runs(tmp_path)
        assert runs["model"].to_list() == ["resnet18", "other"]
        assert runs["energy_kwh"][0] == 0.3
        assert load_runs(*(tmp_path / name for name in "cba"))["energy_kwh"].to_list() == [0.3]

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


PAPER_TABLE = """\
model,num_param,memT,memR,energy,co2,train_time,test_00,test_09,test_10,dataset
a,100,1,2.5,0.5,10,30,0.1,0.2,0.9,x
b,200,1,,1.5,,60,0.1,0.3,,y
"""


class TestPaperTable:
    def test_its_columns_become_ours(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "paper.csv", PAPER_TABLE)
        first, second = load_runs(path).select(*COLUMNS).rows(named=True)
        assert first == {
            **dict.fromkeys(COLUMNS),
            "group": "x",
            "model": "a",
            "performance": 0.9,
            "energy_kwh": 0.5,
            "carbon_g": 10.0,
            "time_s": 90.0,  # of one epoch, times three
            "memory_gb": 2.5,
            "params": 100.0,
            "source": str(path),
            "row": 0,
        }
        assert second["row"] == 1
        assert second["performance"] is second["memory_gb"] is second["carbon_g"] is None

    @pytest.mark.skipif(not PAPER.is_dir(), reason="the published measurements are not part of the project")
    def test_the_published_table(self) -> None:
        raw = pl.read_csv(PAPER / "results_131x8.csv")
        runs = load_runs(PAPER / "results_131x8.csv")
        assert len(runs) == 131 * 8
        assert runs["performance"].equals(raw["test_09"].alias("performance"))
        assert runs["time_s"].equals((raw["train_time"] * 10).alias("time_s"))
        assert runs["group"].n_unique() == 8
        ranges = json.loads((PAPER / "ranges.json").read_text(encoding="utf-8"))
        for name, bounds in ranges.items():
            space = ModelSpace.from_runs(runs.filter(group=name))
            assert list(space.range("energy")) == bounds["energy_kwh"]
            assert list(space.range("carbon")) == bounds["co2_g"]
            assert list(space.range("memory")) == bounds["memory_gb"]
            assert space.range("time") == tuple(10 * bound for bound in bounds["train_time_s"])


class TestOwnTable:
    def test_what_a_ranking_added_is_not_read(self, tmp_path: Path) -> None:
        path = write_table(
            tmp_path / "t.csv",
            "model,performance,time_s,pepr_t,pepr_t_low,rank,rank_t_best,replication,r_x\n"
            "a,0.5,10,0.5,0.4,1,1,3 runs,7\n(baseline),0.4,0,0.4,0.4,2,2,,\n,0.3,20,0.1,0.1,3,3,,8\n",
        )
        runs = load_runs(path)
        assert runs.columns == [*COLUMNS, "r_x"]
        assert runs.select("model", "row", "r_x").rows() == [("a", 0, 7), (None, 2, 8)], "the free predictor is no run"

    def test_only_three_columns_are_needed(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", "model,performance,time_s,hospital\n7,0.5,10,A\n8,,,B\n")
        runs = load_runs(path)
        assert runs.columns == [*COLUMNS, "hospital"]
        assert runs["model"].to_list() == ["7", "8"]
        assert runs["time_s"].to_list() == [10.0, None]
        assert runs["row"].to_list() == [0, 1]
        assert {name: runs.schema[name] for name in COLUMNS} == COLUMNS

    def test_numbers_are_read_to_the_last_bit(self, tmp_path: Path) -> None:
        numbers = [0.1 + 0.2, 1e-300, 5e-324, 123456789.12345679, 2 / 3]
        rows = "".join(f"m,0.5,{number!r}\n" for number in numbers)
        runs = load_runs(write_table(tmp_path / "t.csv", "model,performance,energy_kwh\n" + rows))
        assert runs["energy_kwh"].to_list() == numbers

    @pytest.mark.parametrize("name", ["samples", "val_samples", "gain", "energy_kwh_error", "carbon_g_error"])
    def test_other_numbers_may_be_missing_and_written_as_pandas_does(self, tmp_path: Path, name: str) -> None:
        for word in ("", "NA", "n/a"):
            path = write_table(
                tmp_path / "t.csv", f"model,performance,energy_kwh,{name}\na,0.5,1,2.0\nb,0.5,1,{word}\n"
            )
            assert load_runs(path)[name].to_list() == [2, None]
        path = write_table(tmp_path / "t.csv", f"model,performance,energy_kwh,{name}\na,0.5,1,many\n")
        with pytest.raises(ValueError, match=rf"{name} in row 0 of .* is 'many'; expected a number"):
            load_runs(path)

    @pytest.mark.parametrize("word", ["", "NA", "N/A", "null", "None", "  "])
    def test_what_stands_for_nothing_is_not_measured(self, tmp_path: Path, word: str) -> None:
        path = write_table(tmp_path / "t.csv", f"model,performance,energy_kwh\nNA,0.5,1\nb, 0.5 ,{word}\n")
        runs = load_runs(path)
        assert runs["energy_kwh"].to_list() == [1.0, None]
        assert runs["performance"].to_list() == [0.5, 0.5]
        assert runs["model"].to_list() == ["NA", "b"]

    def test_late_surprises_in_other_columns_do_no_harm(self, tmp_path: Path) -> None:
        rows = "".join(f"m{i},0.5,1,{i}\n" for i in range(12_000))
        path = write_table(tmp_path / "t.csv", f"model,performance,energy_kwh,note\n{rows}last,0.5,1,text\n")
        runs = load_runs(path)
        assert len(runs) == 12_001
        assert runs["note"][-1] == "text"
        assert runs["energy_kwh"].sum() == 12_001

    def test_text_among_numbers_is_named(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", "model,performance,energy_kwh\na,0.5,1\nb,0.5,12 Wh\n")
        with pytest.raises(
            ValueError, match=r"energy_kwh in row 1 of .*t\.csv \(model 'b'\) is '12 Wh'; expected a number.*from 0"
        ):
            load_runs(path)

    @pytest.mark.parametrize(
        ("header", "missing"),
        [
            ("name,accuracy", "no model and no performance and no cost"),
            ("model,performance,energy", "no cost"),
            ("model,energy_kwh", "no performance"),
            ("model,test_00,watts", "no cost"),
            ("model;performance;energy_kwh", "no model"),
        ],
    )
    def test_missing_columns_list_those_found(self, tmp_path: Path, header: str, missing: str) -> None:
        path = write_table(tmp_path / "t.csv", f"{header}\n")
        found = header.replace(",", ", ")
        with pytest.raises(ValueError, match=rf"t\.csv has {missing}.*; .* {found}\. "):
            load_runs(path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", r"is empty; expected a table with a header"),
            (
                b"model,performance,energy_kwh\na,0.5,1\nb,0.5,1,7,9\n",
                "is not a CSV table: line 3 has 5 fields, and the header 3",
            ),
            (b"model,performance,energy_kwh\n\xff\xfe,0.5,1\n", "is not a CSV table: .*utf-?8"),
        ],
        ids=["empty", "ragged", "binary"],
    )
    def test_a_file_that_is_no_table(self, tmp_path: Path, content: bytes, message: str) -> None:
        path = tmp_path / "t.csv"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"t\.csv {message}"):
            load_runs(path)

    @pytest.mark.parametrize("line", ["b,0.5", "b"])
    def test_a_short_line_is_no_missing_value(self, tmp_path: Path, line: str) -> None:
        path = write_table(tmp_path / "t.csv", f"model,performance,energy_kwh\na,0.5,1\n{line}\n")
        fields = line.count(",") + 1
        with pytest.raises(
            ValueError, match=rf"t\.csv is not a CSV table: line 3 has {fields} fields, and the header 3"
        ):
            load_runs(path)

    def test_blank_lines_are_none(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", "model,performance,energy_kwh\na,0.5,1\n\nb,0.5,\n\n\n")
        runs = load_runs(path)
        assert runs.select("row", "model", "energy_kwh").rows() == [(0, "a", 1.0), (1, "b", None)]

    @pytest.mark.parametrize(
        ("cells", "told"),
        [
            (("1 Wh", "2 Wh"), r"Units stand in the cells \(2 in Wh\): bring it to one"),
            (("1", "0.2 kWh", "3 Wh", "4 Wh"), r"The column mixes units \(2 in Wh, 1 .*, 1 .*\): bring it to one"),
        ],
    )
    def test_units_in_cells_are_counted(self, tmp_path: Path, cells: tuple[str, ...], told: str) -> None:
        rows = "".join(f"m,0.5,{cell}\n" for cell in cells)
        path = write_table(tmp_path / "t.csv", f"model,performance,energy_kwh\n{rows}")
        with pytest.raises(ValueError, match=rf"energy_kwh in row [01] of .*; expected a number, .* {told}"):
            load_runs(path)

    def test_a_path_that_is_not_there(self, tmp_path: Path) -> None:
        for name in ("none", "none.csv", "none.json"):
            with pytest.raises(FileNotFoundError, match=rf"there is no '.*{name}'; expected a folder of records"):
                load_runs(tmp_path / name)

    def test_values_that_cannot_be_true_are_loaded_and_refused_when_asked(self, tmp_path: Path) -> None:
        header = "model,performance,energy_kwh\na,0.5,1\n"
        for line, message in [
            ("b,0.5,-1", r"energy_kwh of b \(row 1 of .*t\.csv\) is -1\.0; expected a finite amount"),
            ("b,0.5,NaN", r"energy_kwh of b \(row 1 .*\) is nan; expected a finite amount"),
            ("b,0.5,inf", r"energy_kwh of b \(row 1 .*\) is inf; expected a finite amount"),
            ("b,87.5,1", r"performance of b \(row 1 .*\) is 87\.5; expected a number in \[0, 1\].*by 100"),
            ("b,NaN,1", r"performance of b \(row 1 .*\) is nan; expected a number in \[0, 1\]"),
        ]:
            runs = load_runs(write_table(tmp_path / "t.csv", header + line + "\n"))
            assert len(runs) == 2
            with pytest.raises(ValueError, match=message):
                check_runs(runs)
            with pytest.raises(ValueError, match=message):
                ModelSpace.from_runs(runs)


class TestMappedTable:
    OWN = "arch,acc,energy [Wh],minutes,site\nr18,87.5,250,3,A\nr50,90,NA,6,B\n"
    COLUMNS: ClassVar[dict[str, Any]] = {
        "model": "arch",
        "performance": ("acc", 0.01),
        "energy_kwh": "energy [Wh]",
        "time_s": ("minutes", 60),
        "group": "site",
    }

    def test_their_columns_become_ours(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "own.csv", self.OWN)
        expected = [("A", "r18", 0.875, 0.25, 180.0, 0), ("B", "r50", 0.9, None, 360.0, 1)]
        for source in (path, pl.read_csv(path, infer_schema=False)):
            runs = load_runs(source, columns=self.COLUMNS)
            assert runs.select("group", "model", "performance", "energy_kwh", "time_s", "row").rows() == expected
            assert runs["acc"].cast(pl.Float64).to_list() == [87.5, 90.0]  # theirs are kept
        assert ModelSpace.from_runs(path, columns=self.COLUMNS).range("time") == (180.0, 360.0)

    def test_a_mapping_comes_before_the_papers_columns(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "paper.csv", PAPER_TABLE)
        runs = load_runs(path, columns={"performance": "test_00"})
        assert runs["performance"].to_list() == [0.1, 0.1]
        assert runs["energy_kwh"].to_list() == [0.5, 1.5]

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"model": "name"}, r"own\.csv has no column 'name' to map; its columns are .*arch, acc, energy \[Wh\]"),
            ({"watts": "acc"}, r"'watts' cannot be mapped; expected one of .*energy_kwh"),
            ({"energy_kwh": ("minutes", 0)}, r"the factor of energy_kwh is 0; expected a finite number larger than 0"),
            ({"energy_kwh": ("minutes", "x")}, r"the factor of energy_kwh is 'x'"),
            ({"energy_kwh": 3}, r"energy_kwh is mapped to 3; expected a column, or a column and a factor"),
            ({"model": ("arch", 2.0)}, r"model is text; expected a column for it, without the factor 2\.0"),
            ({"time_s": "energy [Wh]"}, r"'energy \[Wh\]' is mapped to time_s, and its unit is none of s, .*0\.001"),
            ({"performance": "site"}, r"site in row 0 of .*own\.csv.* is 'A'; expected a number"),
        ],
    )
    def test_what_cannot_be_mapped_is_named(self, tmp_path: Path, columns: dict[str, Any], message: str) -> None:
        path = write_table(tmp_path / "own.csv", self.OWN)
        with pytest.raises(ValueError, match=message):
            load_runs(path, columns=columns)


class TestCodeCarbon:
    def write(self, folder: Path, *runs: dict[str, Any], mode: str = "append") -> Path:
        """What CodeCarbon itself writes, of runs that differ in some values from one."""
        output = pytest.importorskip("codecarbon.output_methods.file")
        data = pytest.importorskip("codecarbon.output_methods.emissions_data")
        folder.mkdir(exist_ok=True)
        file = output.FileOutput("emissions.csv", str(folder), on_csv_write=mode)
        for run in runs:
            values: dict[str, Any] = {}
            for field in dataclasses.fields(data.EmissionsData):
                values[field.name] = "" if field.type in (str, "str") else 0.0
            values |= {"project_name": "codecarbon", "cpu_model": "EPYC", "gpu_model": "1 x NVIDIA A100"}
            file.out(data.EmissionsData(**{**values, **run}), None)
        return folder / "emissions.csv"

    RUNS = (
        {"project_name": "r18", "run_id": "1", "duration": 60.0, "emissions": 0.002, "energy_consumed": 0.01},
        {"project_name": "r50", "run_id": "2", "duration": 90.0, "emissions": 0.003, "energy_consumed": 0.015},
        {"project_name": "r50", "run_id": "2", "duration": 120.0, "emissions": 0.004, "energy_consumed": 0.02},
    )

    def test_the_last_row_of_a_run_is_the_run(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, *self.RUNS)
        rows = load_runs(path).select(*COLUMNS).rows(named=True)
        assert rows[1] == {
            **dict.fromkeys(COLUMNS),
            "model": "r50",
            "energy_kwh": 0.02,
            "carbon_g": 4.0,
            "time_s": 120.0,
            "quality": "estimated",
            "device": "1 x NVIDIA A100, EPYC",
            "source": str(path),
            "row": 2,
            "run_id": "2",
        }
        assert [row["run_id"] for row in rows] == ["1", "2"]

    def test_it_spans_a_space(self, tmp_path: Path) -> None:
        space = ModelSpace.from_runs(self.write(tmp_path, *self.RUNS))
        assert space.ranges == {"energy_kwh": (0.01, 0.02), "carbon_g": (2.0, 4.0), "time_s": (60.0, 120.0)}
        assert (space.models, space.device) == (2, "1 x NVIDIA A100, EPYC")

    def test_to_rank_it_takes_a_performance(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, *self.RUNS)
        with pytest.raises(
            ValueError, match=r"none of the 2 runs in .*emissions\.csv has a performance.*--column performance=accuracy"
        ):
            lightning_pepr.rank(path)
        joined = pl.read_csv(path).with_columns(accuracy=pl.Series([0.8, 0.9, 0.9]))
        joined.write_csv(path)
        runs = load_runs(path, columns={"performance": "accuracy", "model": "run_id"})
        assert lightning_pepr.rank(runs).select("model", "pepr_e").rows() == [("1", 0.8), ("2", 0.45)]


class TestSeveral:
    def test_sources_of_all_kinds_are_put_together(self, tmp_path: Path) -> None:
        one = write_table(tmp_path / "one.csv", "model,performance,energy_kwh,note\na,0.5,1,1\n")
        two = write_table(tmp_path / "two.csv", "model,performance,time_s,note,site\nb,0.5,1,x,S\n")
        three = write_table(tmp_path / "three.csv", PAPER_TABLE)
        make_record("rec").save(tmp_path / "runs" / "pepr.json")
        runs = load_runs([one, str(two)], three, tmp_path / "runs", make_record("obj"))
        assert runs["model"].to_list() == ["rec", "obj", "a", "b", "a", "b"]
        assert runs["note"].to_list() == [None, None, "1", "x", None, None]
        assert runs["row"].to_list() == [None, None, 0, 0, 0, 1]
        assert runs.columns[: len(COLUMNS)] == list(COLUMNS)
        assert load_runs(runs).equals(runs)  # a table that was read is left as it is

    def test_a_frame_of_ones_own(self) -> None:
        frame = pl.DataFrame({"model": ["a"], "performance": [1], "energy_kwh": ["0.5"], "dataset": ["d"]})
        (row,) = load_runs(frame).select(*COLUMNS).rows(named=True)
        assert (row["performance"], row["energy_kwh"], row["group"], row["row"]) == (1.0, 0.5, "d", 0)
        with pytest.raises(ValueError, match=r"the table has no model and no performance; its columns are energy_kwh"):
            load_runs(pl.DataFrame({"energy_kwh": [1.0]}))

    def test_nothing_to_read(self) -> None:
        with pytest.raises(ValueError, match="there is nothing to read"):
            load_runs()
        with pytest.raises(ValueError, match=r"3 is a int; expected a path, a RunRecord or a polars\.DataFrame"):
            load_runs(3)  # type: ignore[arg-type]


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


class TestMixtures:
    RUNS = pl.DataFrame(
        {
            "group": ["x", "x", "y", "y"],
            "model": ["a", "b", "c", "d"],
            "performance": [0.5, 0.6, 0.7, 0.8],
            "energy_kwh": [1.0, 2.0, 3.0, 4.0],
            "quality": ["counter", "integrated", "estimated", "estimated"],
            "device": ["A100, EPYC", "EPYC, A100", "H100", None],
        }
    )

    def test_measured_beside_estimated_and_different_devices_are_pointed_out(self) -> None:
        with pytest.warns(UserWarning, match="Rank such runs apart") as caught:
            ModelSpace.from_runs(self.RUNS)
        energy, device = (str(warning.message) for warning in caught)
        assert "estimated in 2 (such as c), measured in 2 (such as a)" in energy
        assert "group='quality'" in energy
        assert "A100, EPYC in 2 (such as a), H100 in 1 (such as c)" in device
        assert {warning.filename for warning in caught} == {__file__}

    @pytest.mark.parametrize("rows", [slice(0, 2), slice(2, 4)])
    def test_what_is_alike_or_unknown_mixes_with_nothing(self, rows: slice) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_of_mixtures(load_runs(self.RUNS[rows]))

    def test_runs_in_different_spaces_do_not_mix(self) -> None:
        runs = load_runs(self.RUNS)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_of_mixtures(runs, ["group"])
        mixed = runs.with_columns(device=pl.Series(["A", "B", "C", "D"]))
        with pytest.warns(UserWarning, match="of different devices, A in 1 .*, D in 1"):
            warn_of_mixtures(mixed, ["group"])

    def test_an_energy_that_is_missing_was_not_estimated(self) -> None:
        runs = self.RUNS.with_columns(device=None, energy_kwh=pl.Series([1.0, 2.0, None, None]), time_s=1.0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_of_mixtures(load_runs(runs))


def test_without_polars_the_pip_line_is_named() -> None:
    root = Path(lightning_pepr.__file__).parents[1]
    code = "import sys; sys.modules['polars'] = None\nimport lightning_pepr\nlightning_pepr.{name}"
    for name in ("load_runs", "rank"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(name=name)],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "pip install 'lightning-pepr[cli]'" in done.stderr
