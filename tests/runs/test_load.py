"""Sources of all kinds are put together, and what cannot be read is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from lightning_pepr import RunRecord, audit, load_runs, rank
from lightning_pepr.figures.inputs import named_runs
from lightning_pepr.report.data import collect
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


class TestLabels:
    """The same in all that shows names, in whatever order the files come."""

    def records(self) -> list[RunRecord]:
        facts: list[tuple[int, float, int]] = [(4_800_000, 0.1, 0), (4_800_000, 0.1, 1), (163_000_000, 0.1, 0)]
        return [
            make_record("Net", energy=0.1 + i, params=params, run_id=str(i), hyperparameters={"lr": lr, "seed": seed})
            for i, (params, lr, seed) in enumerate([*facts, (4_800_000, 0.01, 0)])
        ]

    LABELS = (
        "Net (lr=0.1, 4.8 M parameters)",
        "Net (lr=0.1, 4.8 M parameters)",
        "Net (lr=0.1, 163 M parameters)",
        "Net (lr=0.01, 4.8 M parameters)",
    )

    @pytest.mark.parametrize("backwards", [False, True])
    def test_they_are_the_same_everywhere(self, backwards: bool, tmp_path: Path) -> None:
        records, labels = self.records(), [*self.LABELS]
        if backwards:
            records, labels = records[::-1], labels[::-1]
        for i, record in enumerate(records):
            record.save(tmp_path / str(i) / "pepr.json")
        assert read_runs(tmp_path)["model"].to_list() == labels
        ranking = rank(tmp_path)
        assert sorted(ranking["model"]) == sorted(labels)
        of_two = ranking.filter(model=self.LABELS[0])["replication"].to_list()
        assert of_two == ["2 runs"] * 2
        assert set(ranking["replication"]) == {"2 runs", "not replicated"}
        page = collect(tmp_path)["runs"]
        assert page["model"] == labels
        assert [page["same"].index(at) for at in page["same"]] == [labels.index(label) for label in labels]
        numbered = list(named_runs(records))
        assert [name.removesuffix(" (1)").removesuffix(" (2)") for name in numbered] == labels
        spoilt = read_runs(tmp_path).with_columns(time_s=pl.lit(-1.0))
        assert audit(spoilt).filter(rule="not-positive")["model"].to_list() == labels

    def test_they_stay_when_they_are_read_back(self, tmp_path: Path) -> None:
        ranking = rank(self.records())
        ranking.write_csv(tmp_path / "r.csv")
        assert rank(tmp_path / "r.csv")["model"].to_list() == ranking["model"].to_list()
        assert rank(ranking).equals(ranking)
        assert rank(ranking.tail(1))["model"].to_list() == ranking["model"].tail(1).to_list()

    def test_a_table_with_parameters(self) -> None:
        table = pl.DataFrame(
            {
                "model": ["a", "a", "a", "b", None, None],
                "performance": [0.5] * 6,
                "energy_kwh": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
                "params": [10, 10, 20, None, 1, 2],
            }
        )
        names = ["a (10 parameters)", "a (10 parameters)", "a (20 parameters)", "b", None, None]
        assert read_runs(table)["model"].to_list() == names
        assert load_runs(table)["model"].to_list() == table["model"].to_list()

    def test_what_cannot_be_parameters_is_no_trouble(self) -> None:
        """The audit reads such tables."""
        params = [float("nan"), float("nan"), -1.0, float("inf"), None]
        table = pl.DataFrame({"model": ["a"] * 5, "performance": [0.5] * 5, "energy_kwh": [1.0] * 5, "params": params})
        labels = read_runs(table)["model"].to_list()
        assert labels[0] == labels[1] == labels[4]
        assert len(set(labels)) == 3

    def test_another_grouping_has_other_labels(self) -> None:
        table = pl.DataFrame(
            {
                "model": ["a", "a"],
                "group": ["x", "y"],
                "site": ["s", "s"],
                "performance": [0.5, 0.6],
                "energy_kwh": [1.0, 2.0],
                "params": [10, 20],
            }
        )
        assert read_runs(table)["model"].to_list() == ["a", "a"]
        assert read_runs(table, "site")["model"].to_list() == ["a (10 parameters)", "a (20 parameters)"]
