"""The command line, as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from lightning_pepr import ModelSpace, RunRecord
from lightning_pepr.cli import main
from lightning_pepr.record import CostEntry, Epoch


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three runs: the dearest performs best, the middle one scores best."""
    for name, validation, test, kwh in (
        ("tiny", 0.5, 0.55, 1e-4),
        ("small", 0.8, 0.75, 2e-4),
        ("large", 0.85, 0.85, 1e-3),
    ):
        RunRecord(
            name,
            params=10**6,
            epochs=[Epoch(0, 1, validation)],
            test_performance=test,
            costs={"energy_kwh": CostEntry(kwh, 0.0, "estimated"), "time_s": CostEntry(kwh * 1e6, 0.0, "counter")},
        ).save(tmp_path / "runs" / name / "pepr.json")
    return tmp_path / "runs"


def test_rank_prints_a_table(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rank", str(runs)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [line[1] for line in lines[2:]] == ["small", "tiny", "large"]
    assert lines[2][:5] == ["1", "small", "1.00", "0.750", "0.20"]
    assert "Wh" in lines[0]
    assert lines[2][-1] == "estimated"


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


def test_rank_in_a_space_of_a_file(runs: Path, tmp_path: Path) -> None:
    ModelSpace.budget(energy_kwh=1e-3).save(tmp_path / "space.json")
    assert main(["rank", str(runs), "--space", str(tmp_path / "space.json"), "--output", str(tmp_path / "r.csv")]) == 0
    assert pl.read_csv(tmp_path / "r.csv")["pepr_e"].to_list() == pytest.approx([0.75 / 1.2, 0.55 / 1.1, 0.85 / 2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{runs}/../nowhere"], "nowhere"),
        (["{runs}", "--by", "joules"], "unknown resource 'joules'"),
        (["{runs}", "--by", "carbon"], "none of the 3 runs has carbon_g"),
        (["{runs}", "--group", "dataset"], "there is no column 'dataset'"),
        (["{runs}", "--output", "r.xlsx"], "expected a name that ends in .csv or .json"),
        (["{runs}", "--space", "{runs}/tiny/pepr.json"], "does not hold a model space"),
        (["{runs}", "--baseline", "1.5"], "baseline is 1.5"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    runs: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["rank", *(argument.format(runs=runs) for argument in arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("lightning-pepr: ")
    assert message in captured.err
    assert captured.out == ""


def test_broken_records_are_named_and_the_rest_is_ranked(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "broken").mkdir()
    (runs / "broken" / "pepr.json").write_text("{")
    assert main(["rank", str(runs)]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("lightning-pepr: warning: 1 of 4 records")
    assert "broken/pepr.json" in captured.err
    assert "small" in captured.out


def test_a_pipe_cuts_no_names_off(runs: Path) -> None:
    long = "a_model_whose_name_is_so_long_that_it_would_not_fit_in_a_line_of_eighty_columns_with_the_rest"
    record = RunRecord.load(runs / "small")
    record.model = long
    record.save(runs / "small" / "pepr.json")
    command = [sys.executable, "-m", "lightning_pepr.cli", "rank", str(runs)]
    assert long in subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_recommendation_is_picked_on_validation_and_told_on_test(runs: Path) -> None:
    from lightning_pepr import load_runs, rank
    from lightning_pepr.report.table import recommend

    table = load_runs(runs)
    chosen_on = rank(table.with_columns(performance=pl.col("val_performance")))
    assert recommend(rank(table), chosen_on) == (
        "Take small, best in PePR-E by validation data: it keeps 88.2% of the performance of large, the "
        "best-performing one (0.750 against 0.850), and saves 80% of its energy."
    )


def test_the_recommendation_when_one_is_best_in_both(runs: Path) -> None:
    from lightning_pepr import load_runs, rank
    from lightning_pepr.report.table import recommend

    table = load_runs(runs).sort("model").with_columns(performance=pl.Series([0.1, 0.9, 0.4]))
    assert recommend(rank(table), rank(table), on="hope") == (
        "Take small: by hope it performs best and has the best PePR-E, and takes 80% less energy than the "
        "dearest, large."
    )


def test_nothing_to_recommend(runs: Path) -> None:
    from lightning_pepr import load_runs, rank
    from lightning_pepr.report.table import recommend

    table = load_runs(runs).with_columns(performance=pl.lit(None, dtype=pl.Float64))
    assert recommend(rank(table), rank(table)).startswith("No run has both")
