"""The audit on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from lightning_pepr import rank
from lightning_pepr.auditing import FINDINGS
from lightning_pepr.cli import main
from tests.helpers.paths import PAPER
from tests.helpers.runs import make_metered
from tests.helpers.tables import make_clean, put, scale

TABLE = PAPER / "results_131x8.csv"

needs_paper = pytest.mark.skipif(not PAPER.is_dir(), reason="the published measurements are not part of the project")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lightning_pepr.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


class TestCommand:
    def test_status_0(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Nothing was found."""
        make_clean(0).write_csv(tmp_path / "clean.csv")
        assert main(["audit", str(tmp_path / "clean.csv"), "--output", str(tmp_path / "f.csv")]) == 0
        assert capsys.readouterr().out == "Nothing found in 60 runs.\n"
        assert pl.read_csv(tmp_path / "f.csv").columns == list(FINDINGS)

    def test_status_1(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Something was found."""
        table = put(put(make_clean(0), 3, energy_kwh=-1.0), 30, performance=93.0)
        table.write_csv(tmp_path / "t.csv")
        assert main(["audit", str(tmp_path / "t.csv")]) == 1
        out = capsys.readouterr().out
        assert out.startswith("2 findings in 60 runs; 2 of the runs are rejected.\n")
        assert "energy_kwh is -1.0" in out
        assert "performance is 93.0 (a percentage?)" in out

    def test_output_has_all_findings_and_the_terminal_the_first(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        make_clean(0).with_columns(pl.col("carbon_g") / 1000).write_csv(tmp_path / "t.csv")
        for suffix in ("csv", "json"):
            assert main(["audit", str(tmp_path / "t.csv"), "--output", str(tmp_path / f"f.{suffix}")]) == 1
        assert "… and 55 more of out-of-proportion: 20 in data0, 20 in data1, 20 in data2" in capsys.readouterr().out
        rows = json.loads((tmp_path / "f.json").read_text())
        assert [row["row"] for row in rows] == list(range(60)) == pl.read_csv(tmp_path / "f.csv")["row"].to_list()
        assert rows[0]["source"] == str(tmp_path / "t.csv")

    def test_drop_keeps_the_table(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Its columns, its order and its digits."""
        table = make_clean(0).with_columns(note=pl.lit('a "note", quoted'), row=pl.lit("mine"))
        table = scale(put(table, 3, energy_kwh=float("nan")), 59, energy_kwh=1.0).rename({"group": "site"})
        table.write_csv(tmp_path / "t.csv")
        text = (tmp_path / "t.csv").read_text().splitlines()
        (tmp_path / "t.csv").write_text("\n".join([*text[:20], "", *text[20:]]) + "\n\n")  # and blank lines
        assert main(["audit", str(tmp_path / "t.csv"), "--group", "site", "--drop", str(tmp_path / "kept.csv")]) == 1
        assert (tmp_path / "kept.csv").read_text().splitlines() == text[:4] + text[5:]
        assert "59 of 60 runs are in" in capsys.readouterr().out
        assert main(["audit", str(tmp_path / "kept.csv"), "--group", "site"]) == 0
        assert len(rank(tmp_path / "kept.csv", group="site")) == 59

    def test_drop_says_what_changes(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """In the ranking of each group."""
        table = make_clean(0, groups=2)
        dear = scale(table, 4, energy_kwh=1e3, carbon_g=1e3, time_s=0.1)
        table = dear.with_columns(device=pl.lit("1 x NVIDIA L4"))
        table = table.with_columns(pl.col("energy_kwh", "carbon_g") / 10)
        table.write_csv(tmp_path / "t.csv")
        assert main(["audit", str(tmp_path / "t.csv"), "--drop", str(tmp_path / "kept.csv")]) == 1
        out = capsys.readouterr().out.partition("What that changes in the ranking by PePR-E")[2]
        (line,) = [line.split() for line in out.splitlines() if "data" in line]
        before, after = (rank(tmp_path / f"{name}.csv", group="group").filter(group="data0") for name in ("t", "kept"))
        high = [f"{max(r['energy_kwh'].drop_nulls()):.4g}" for r in (before, after)]
        assert line[:3] == ["data0", "1", "19"]
        assert int(line[3]) > 0
        assert line[4:] == [before["model"][0], after["model"][0], *high]

    def test_drop_of_records_writes_a_table(self, tmp_path: Path) -> None:
        for i in range(3):
            make_metered(f"m{i}", 150 if i == 2 else 60, 100 * 1.3**i, i).save(tmp_path / "r" / f"{i}" / "pepr.json")
        assert main(["audit", str(tmp_path / "r"), "--drop", str(tmp_path / "kept.csv")]) == 1
        assert rank(tmp_path / "kept.csv")["model"].to_list() == ["m0", "m1"]

    def test_columns_of_their_own(self, tmp_path: Path) -> None:
        table = make_clean(0).rename({"model": "arch", "energy_kwh": "kwh"})
        table.write_csv(tmp_path / "t.csv")
        assert main(["audit", str(tmp_path / "t.csv"), "--column", "model=arch", "--column", "energy_kwh=kwh"]) == 0

    @pytest.mark.parametrize(
        ("text", "arguments", "message"),
        [
            ("model,performance,energy_kwh\na,0.5,1,3\n", [], "line 2 has 4 fields, and the header 3"),
            ("model,performance,energy_kwh\na,0.5,one\n", [], "energy_kwh in row 0 of"),
            ("model,accuracy,energy_kwh\na,0.5,1\n", [], "its columns are model, accuracy, energy_kwh"),
            ("", [], "is empty"),
            (None, [], "holds no run"),
            ("model,performance,energy_kwh\na,0.5,1\n", ["--group", "site"], "there is no column 'site'"),
            ("model,performance,energy_kwh\na,0.5,1\n", ["--output", "f.xlsx"], "ends in .csv or .json"),
            ("model,performance,energy_kwh\na,0.5,1\n", ["--drop", "f.json"], "ends in .csv"),
            ("model,performance,energy_kwh\na,0.5,1\n", ["--drop", "{path}"], "stays as it is"),
            ("model,performance,energy_kwh\na,0.5,1\n", ["--output", "{path}"], "stays as it is"),
        ],
    )
    def test_bad_input_is_one_line_and_status_2(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, arguments: list[str], message: str
    ) -> None:
        path = tmp_path if text is None else tmp_path / "t.csv"
        if text is not None:
            path.write_text(text)
        assert main(["audit", str(path), *(argument.format(path=path) for argument in arguments)]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("lightning-pepr: ")
        assert message in captured.err
        assert len(captured.err.splitlines()) == 1
        assert captured.out == ""
        assert text is None or path.read_text() == text

    @needs_paper
    def test_the_papers_table(self, tmp_path: Path) -> None:
        done = run("audit", TABLE, "--group", "dataset", "--drop", tmp_path / "kept.csv")
        assert (done.returncode, done.stderr) == (1, "")
        assert "306 of the runs are rejected" in done.stdout
        kept = (tmp_path / "kept.csv").read_text().splitlines()
        lines = TABLE.read_text().splitlines()
        assert len(kept) == 1 + 742
        assert set(kept) <= set(lines)
        assert kept == [line for line in lines if line in set(kept)], "in their order"
        again = run("audit", tmp_path / "kept.csv")
        assert again.returncode == 1
        assert "0 of the runs are rejected" in again.stdout
