"""The paper's table and CodeCarbon's are known by their columns."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lightning_pepr
from lightning_pepr import ModelSpace, load_runs
from lightning_pepr.runs.table import COLUMNS
from tests.helpers.paths import PAPER
from tests.helpers.runs import PAPER_TABLE, write_table


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
