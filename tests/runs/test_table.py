"""Our own tables and mapped ones become runs, and broken ones are refused by line and cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from lightning_pepr import ModelSpace, audit, load_runs, rank
from lightning_pepr.errors import PePRError
from lightning_pepr.report.page import write_page
from lightning_pepr.runs.table import COLUMNS
from tests.helpers.runs import PAPER_TABLE, write_table


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
    def test_other_numbers_may_be_missing(self, tmp_path: Path, name: str) -> None:
        """Written as pandas writes them."""
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
    def test_missing_columns(self, tmp_path: Path, header: str, missing: str) -> None:
        """The error lists the columns that were found."""
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
        ("cells", "said"),
        [
            (("1 Wh", "2 Wh"), r"Units stand in the cells \(2 in Wh\): bring it to one"),
            (("1", "0.2 kWh", "3 Wh", "4 Wh"), r"The column mixes units \(2 in Wh, 1 .*, 1 .*\): bring it to one"),
        ],
    )
    def test_units_in_cells(self, tmp_path: Path, cells: tuple[str, ...], said: str) -> None:
        """The error counts the units that stand in cells."""
        rows = "".join(f"m,0.5,{cell}\n" for cell in cells)
        path = write_table(tmp_path / "t.csv", f"model,performance,energy_kwh\n{rows}")
        with pytest.raises(ValueError, match=rf"energy_kwh in row [01] of .*; expected a number, .* {said}"):
            load_runs(path)


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
    def test_bad_mappings(self, tmp_path: Path, columns: dict[str, Any], message: str) -> None:
        """The error names it."""
        path = write_table(tmp_path / "own.csv", self.OWN)
        with pytest.raises(ValueError, match=message):
            load_runs(path, columns=columns)


class TestColumnsOfAnyKind:
    OWN: ClassVar[dict[str, list[Any]]] = {"model": ["a", "b"], "performance": [0.5, 0.6], "energy_kwh": [1.0, 2.0]}

    @pytest.mark.parametrize(
        ("column", "values", "message"),
        [
            ("samples", [float("nan"), 8.0], "samples in row 0 of the table is nan; expected a whole number"),
            ("samples", [8.0, 0.5], r"samples in row 1 of the table is 0\.5; expected a whole number"),
            ("val_samples", [2**63, 1], "val_samples in row 0 of the table is 9223372036854775808; expected a whole"),
            ("row", ["first", "1"], "row in row 0 of the table .* is 'first'; expected a number"),
            ("energy_kwh", [[1.0], [2.0]], r"energy_kwh of the table is of type List.*; expected text or numbers"),
            ("model", [object(), object()], "model of the table is of type Object; expected text or numbers"),
            ("performance", [True, False], "performance in row 0 of the table .* is 'true'; expected a number"),
        ],
    )
    def test_what_a_column_cannot_hold(self, column: str, values: list[Any], message: str) -> None:
        odd = pl.Series(column, values, dtype=pl.UInt64 if values[0] == 2**63 else None)
        with pytest.raises(PePRError, match=message):
            load_runs(pl.DataFrame(self.OWN).with_columns(odd))

    @pytest.mark.parametrize("name", ["_at", "_row", "_model", "_space", "_key", "_label", "_rest", "at", "run", ""])
    def test_other_columns_may_be_called_anything(self, tmp_path: Path, name: str) -> None:
        table = pl.DataFrame({**self.OWN, "params": [1.0, 2.0], name: ["x", "y"]})
        table = pl.concat([table, table.with_columns(params=pl.col("params") + 1)])  # whose models need labels
        other = pl.DataFrame({**self.OWN, name: [[1], [2]]})
        assert load_runs([table, other])[name].to_list() == ["x", "y", "x", "y", "[1]", "[2]"]
        assert len(rank(table)) == 4
        audit(table)
        write_page([table], tmp_path / "page.html")
