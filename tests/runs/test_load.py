"""Sources of all kinds are put together, and what cannot be read is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from lightning_pepr import load_runs
from lightning_pepr.runs.load import read_runs
from lightning_pepr.runs.table import COLUMNS
from tests.helpers.paths import ROOT
from tests.helpers.runs import PAPER_TABLE, make_record, write_table


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


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    for name in ("none", "none.csv", "none.json"):
        with pytest.raises(FileNotFoundError, match=rf"there is no '.*{name}'; expected a folder of records"):
            load_runs(tmp_path / name)


def test_the_column_that_groups_becomes_the_group() -> None:
    table = pl.DataFrame({"model": ["a"], "performance": [1], "energy_kwh": [0.5], "dataset": ["d"], "site": [7]})
    assert read_runs(table)["group"].to_list() == ["d"]
    assert read_runs(table, "site")["group"].to_list() == ["7"]
    with pytest.raises(
        ValueError, match=r"there is no column 'clinic' to group by; the runs have group, model, .*site"
    ):
        read_runs(table, "clinic")


def test_the_last_epoch_has_samples_of_its_own() -> None:
    record = make_record(test=0.7, test_samples=50, val_samples=20)
    columns = ["performance", "samples"]
    assert read_runs(record).select(columns).rows() == [(0.7, 50)]
    assert read_runs(record, at="last").select(columns).rows() == [(0.625, 20)]
    with pytest.raises(ValueError, match="at is 'first'; expected 'best' or 'last'"):
        read_runs(record, at="first")


def test_without_polars_the_pip_line_is_named() -> None:
    code = "import sys; sys.modules['polars'] = None\nimport lightning_pepr\nlightning_pepr.{name}"
    for name in ("load_runs", "rank"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(name=name)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "pip install 'lightning-pepr[cli]'" in done.stderr


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_missing_extra_is_named_with_its_pip_line(package: str, tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "run-x.wandb").write_bytes(b":W&B\xe1\xbe\x00")
    source = "mlflow:nodules" if package == "mlflow" else str(tmp_path)
    code = (
        f"import sys; sys.modules[{package!r}] = None\nfrom lightning_pepr.cli import main\nmain(['rank', {source!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert f"needs {package}: pip install 'lightning-pepr[{package}]'" in done.stderr
    assert "Traceback" not in done.stderr
