"""`lightning-pepr rank`, as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from lightning_pepr import ModelSpace, RunRecord
from lightning_pepr.cli import main


def test_rank_prints_a_table(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rank", str(runs)]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines() if line.strip()]
    assert [line[1] for line in lines[2:5]] == ["small", "tiny", "large"]
    assert "Not replicated: one run of each model" in out
    assert "Without large high is 0.20 instead of 1.00 Wh; of the 2 others 2 then change rank, and first is tiny" in out
    assert lines[2][:5] == ["1", "small", "1.00", "0.750", "0.20"]
    assert "Wh" in lines[0]
    assert lines[2][-1] == "estimated"


def test_no_table_that_is_read_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rank writes over no table that it reads."""
    text = "model,performance,energy_kwh,mine\na,0.5,1,x\nb,0.6,2,y\n"
    path = tmp_path / "t.csv"
    path.write_text(text)
    assert main(["rank", str(path), "--output", str(path)]) == 2
    assert "one of the tables that are read" in capsys.readouterr().err
    assert path.read_text() == text


def test_footnotes(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not finished or has no bound is named."""
    tiny, small = RunRecord.load(runs / "tiny"), RunRecord.load(runs / "small")
    tiny.status, small.status = "interrupted", "finished"
    small.costs["energy_kwh"].error = None
    tiny.save(runs / "tiny" / "pepr.json")
    small.save(runs / "small" / "pepr.json")
    assert main(["rank", str(runs)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Not finished: 2 of 3 runs, such as" in out, "the interrupted one, and one that still runs"
    assert "Estimated without a bound: the energy of 1 of 3 runs." in out


def test_rank_writes_csv_and_json(runs: Path, tmp_path: Path) -> None:
    assert main(["rank", str(runs), "--output", str(tmp_path / "r.csv")]) == 0
    assert main(["rank", str(runs), "--output", str(tmp_path / "r.json"), "--by", "time"]) == 0
    table = pl.read_csv(tmp_path / "r.csv")
    rows = json.loads((tmp_path / "r.json").read_text())
    assert table["model"].to_list() == [row["model"] for row in rows] == ["small", "tiny", "large"]
    assert [row["carbon_g"] for row in rows] == [None] * 3, "unmeasured is never 0"
    assert table["pepr_e"][0] == rows[0]["pepr_e"] == 0.75 / (1 + (2e-4 - 1e-4) / (1e-3 - 1e-4))
    assert main(["rank", str(tmp_path / "r.csv"), "--output", str(tmp_path / "again.csv")]) == 0
    again = pl.read_csv(tmp_path / "again.csv")
    assert again["pepr_e"].to_list() == table["pepr_e"].to_list(), "what it writes, it reads"


def test_places_that_errors_leave_open(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The ranks are ranges then."""
    for name in ("tiny", "small", "large"):
        record = RunRecord.load(runs / name)
        record.test_samples = 40
        record.save(runs / name / "pepr.json")
    assert main(["rank", str(runs), "--by", "energy,T"]) == 0
    out = capsys.readouterr().out
    small = next(line.split() for line in out.splitlines() if "small" in line)
    assert small[:3] == ["1–2", "1–2", "small"]
    assert "PePR-E is in" in out
    assert "0.597 … 0.858" not in out, "those are the limits of P: R is not 0"
    assert "40 samples" in out
    assert "Ranks such as 2–5: the intervals of the scores leave these places open." in out
    assert "Not replicated" not in out


def test_rank_in_a_published_space(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rank", str(runs), "--space", "derma_small:clean", "--by", "energy"]) == 0
    out = capsys.readouterr().out
    assert "Without" not in out, "the space is given: nobody's leaving moves it"
    assert main(["rank", str(runs), "--space", "derma_small"]) == 0
    assert "warning: 78 of the 131 models in the paper's derma_small share their energy" in capsys.readouterr().err
    assert main(["rank", str(runs), "--space", "dermis"]) == 2
    assert "no published space of that name; those are derma, derma_pt" in capsys.readouterr().err


def test_rank_shows_the_free_predictor(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rank", str(runs), "--baseline", "0.6"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[1] for row in rows if "(baseline)" in row] == ["(baseline)"]
    (free,) = (row for row in rows if "(baseline)" in row)
    assert "0.600" in free
    assert "0.000" in free


def test_a_table_with_own_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its columns are mapped by --column."""
    path = tmp_path / "own.csv"
    path.write_text("arch,acc,energy [Wh]\nr18,87.5,250\nr50,90,500\n")
    mapping = ["--column", "model=arch", "--column", "performance=acc*0.01", "--column", "energy_kwh=energy [Wh]"]
    assert main(["rank", str(path), *mapping, "--output", str(tmp_path / "r.csv")]) == 0
    assert pl.read_csv(tmp_path / "r.csv").select("model", "performance", "energy_kwh").rows() == [
        ("r18", 0.875, 0.25),
        ("r50", 0.9, 0.5),
    ]
    assert main(["rank", str(path)]) == 2
    assert "--column model=" in capsys.readouterr().err
    assert main(["rank", str(path), "--column", "arch"]) == 2
    assert "'arch' maps no column" in capsys.readouterr().err


def test_rank_in_a_space_of_a_file(runs: Path, tmp_path: Path) -> None:
    ModelSpace.budget(energy_kwh=1e-3).save(tmp_path / "space.json")
    assert main(["rank", str(runs), "--space", str(tmp_path / "space.json"), "--output", str(tmp_path / "r.csv")]) == 0
    assert pl.read_csv(tmp_path / "r.csv")["pepr_e"].to_list() == pytest.approx([0.75 / 1.2, 0.55 / 1.1, 0.85 / 2])


def test_broken_records_are_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the rest is ranked."""
    (runs / "broken").mkdir()
    (runs / "broken" / "pepr.json").write_text("{")
    assert main(["rank", str(runs)]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("lightning-pepr: warning: 1 of 4 records")
    assert "broken/pepr.json" in captured.err
    assert "small" in captured.out


def test_another_key(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, auc in (("tiny", 0.7), ("small", 0.6)):
        record = RunRecord.load(runs / name)
        record.epochs[0].others = {"val_auc": auc}
        record.save(runs / name / "pepr.json")
    for arguments in ([], ["--at", "last"]):
        output = ["--output", str(tmp_path / "r.csv")]
        assert main(["rank", str(runs), "--monitor", "val_auc", *arguments, *output]) == 0
        rows = pl.read_csv(tmp_path / "r.csv").select("model", "performance", "r_e", "pepr_e", "rank").rows()
        assert rows == [("tiny", 0.7, 0.0, 0.7, 1), ("small", 0.6, 1.0, 0.3, 2), ("large", None, 9.0, None, None)]
        errors = capsys.readouterr().err
        assert "1 of the 3 runs have no 'val_auc' and are listed without a performance, such as large." in errors
        assert "The keys that there are: val_auc." in errors
    assert main(["rank", str(runs), "--monitor", "val_f1"]) == 2
    assert "have no 'val_f1'" in capsys.readouterr().err
    assert main(["audit", str(runs), "--monitor", "val_auc"]) in (0, 1)
