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
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines() if line.strip()]
    assert [line[1] for line in lines[2:5]] == ["small", "tiny", "large"]
    assert "Not replicated: one run of each model" in out
    assert "Without large high is 0.20 instead of 1.00 Wh; of the 2 others 2 then change rank, and first is tiny" in out
    assert lines[2][:5] == ["1", "small", "1.00", "0.750", "0.20"]
    assert "Wh" in lines[0]
    assert lines[2][-1] == "estimated"


@pytest.mark.parametrize("name", ["exp[lr=0.1]", "exp[/lr]", "[bold]x"])
def test_names_are_text_whatever_marks_are_in_them(
    runs: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record = RunRecord.load(runs / "tiny")
    record.model = f"{name}\x1b]0;"
    record.save(runs / "tiny" / "pepr.json")
    twin = RunRecord.load(runs / "small")
    twin.model, twin.run_id = name, "twin"
    twin.save(tmp_path / "runs" / "twin" / "pepr.json")
    assert main(["rank", str(runs)]) == 0
    assert main(["audit", str(runs)]) in (0, 1)
    out = capsys.readouterr().out
    assert f" {name}\ufffd]0; " in out
    assert "\x1b" not in out


def test_rank_writes_over_no_table_that_it_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "model,performance,energy_kwh,mine\na,0.5,1,x\nb,0.6,2,y\n"
    path = tmp_path / "t.csv"
    path.write_text(text)
    assert main(["rank", str(path), "--output", str(path)]) == 2
    assert "one of the tables that are read" in capsys.readouterr().err
    assert path.read_text() == text


def test_what_is_not_finished_or_has_no_bound_is_told(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny, small = RunRecord.load(runs / "tiny"), RunRecord.load(runs / "small")
    tiny.status, small.status = "interrupted", "finished"
    small.costs["energy_kwh"].error = None
    tiny.save(runs / "tiny" / "pepr.json")
    small.save(runs / "small" / "pepr.json")
    assert main(["rank", str(runs)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Not finished: 2 of 3 runs, such as" in out, "the interrupted one, and one that still runs"
    assert "Estimated without a bound: the energy of 1 of 3 runs." in out


def test_the_demo_ranks_by_time_where_no_energy_can_be_had(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in runs.iterdir():
        record = RunRecord.load(folder)
        record.costs["energy_kwh"] = CostEntry(reason="an AMD GPU")
        record.save(folder / "pepr.json")
    # What it trains is tested elsewhere, and no host of ours is without an estimate.
    monkeypatch.setattr("lightning_pepr.study.demo.demo", lambda out: sorted(runs.iterdir()))
    assert main(["demo", "--out", str(runs)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "PePR-T" in out
    assert "Energy could not be measured here" in out


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


def test_rank_tells_which_places_the_errors_leave_open(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_rank_reads_a_table_with_names_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
        "most expensive, large."
    )


def test_nothing_to_recommend(runs: Path) -> None:
    from lightning_pepr import load_runs, rank
    from lightning_pepr.report.table import recommend

    table = load_runs(runs).with_columns(
        energy_kwh=pl.Series([None, 1.0, 2.0]), performance=pl.Series([0.5, None, None])
    )
    assert recommend(rank(table), rank(table)).startswith("No run has both")
