"""The command line as a whole: errors, warnings and text from anywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lightning_pepr import RunRecord
from lightning_pepr.cli import COMMANDS, main
from tests.helpers.records import save_three


def test_the_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    for name in COMMANDS:
        assert f"  {name}  " in out


def test_a_bug_shows_itself_as_such(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("a bug of a library")

    monkeypatch.setattr("polars.DataFrame.write_csv", broken)
    assert main(["audit", str(runs), "--output", str(runs / "r.csv")]) == 3, "1 says that something was found"
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "a bug of a library" in err
    assert "this is a bug in lightning-pepr" in err


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


def test_errors_steer_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_three(tmp_path / "runs\x1b[2J")
    (folder / "broken\x1b]0;").mkdir()
    (folder / "broken\x1b]0;" / "pepr.json").write_text('{"schema": "\x9b"}', encoding="utf-8")
    table = tmp_path / "t.csv"
    table.write_text(
        "model,performance,energy_kwh,group\na\x1b[2J,0.5,-1,g\x1b[2J\nb,0.5,1,g\x1b[2J\n", encoding="utf-8"
    )
    assert main(["rank", str(folder)]) == 0
    assert main(["rank", str(table)]) == 2
    assert main(["rank", str(folder / "nowhere\x1b[2J")]) == 2
    assert main(["audit", str(table), str(folder), "--drop", str(tmp_path / "kept\x1b[2J.csv")]) == 1
    captured = capsys.readouterr()
    assert "energy_kwh of a\ufffd[2J" in captured.err
    assert "broken\ufffd]0;" in captured.err
    assert not {"\x1b", "\x9b"} & set(captured.out + captured.err)


def test_a_pipe_cuts_no_names_off(runs: Path) -> None:
    long = "a_model_whose_name_is_so_long_that_it_would_not_fit_in_a_line_of_eighty_columns_with_the_rest"
    record = RunRecord.load(runs / "small")
    record.model = long
    record.save(runs / "small" / "pepr.json")
    command = [sys.executable, "-m", "lightning_pepr.cli", "rank", str(runs)]
    assert long in subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


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


def test_only_the_command_that_is_called_is_imported() -> None:
    code = (
        "import sys; from lightning_pepr.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "assert not {'numpy', 'polars', 'lightning_pepr.cli.study', 'lightning_pepr.record'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_without_a_command_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "the following arguments are required: {demo,rank,audit,study,report,doctor}" in capsys.readouterr().err
