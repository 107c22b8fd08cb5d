"""The audit finds what was put into a table, nothing in clean ones, and in the paper's what is known to be there."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lightning_pepr import ModelSpace, RunRecord, audit, load_runs, rank
from lightning_pepr.accounting.ranks import device_key
from lightning_pepr.auditing import FINDINGS, RULES, drop_rejected
from lightning_pepr.cli import main
from lightning_pepr.paper.spaces import SETTINGS
from lightning_pepr.record import CostEntry, DeviceEntry, Epoch
from tests.helpers.paths import PAPER
from tests.helpers.tables import copy_reading, make_clean, put, scale

TABLE = PAPER / "results_131x8.csv"
needs_paper = pytest.mark.skipif(not PAPER.is_dir(), reason="the published measurements are not part of the project")

few = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def found(table: Any, **options: Any) -> list[tuple[int | None, str, str]]:
    return audit(table, **options).select("row", "rule", "confidence").rows()


def is_dominated(table: pl.DataFrame) -> bool:
    """Whether one model costs three times what any other one of its group does."""
    for field in ("energy_kwh", "carbon_g", "time_s"):
        most = table.group_by("group", "model").agg(pl.col(field).max()).sort("group", field)
        for group in most.partition_by("group"):
            if len(group) > 1 and group[field][-1] >= 3 * group[field][-2]:
                return True
    return False


class TestCleanTables:
    @pytest.mark.slow
    @settings(few, max_examples=100)
    @given(
        seed=st.integers(0, 10**6),
        groups=st.integers(1, 6),
        models=st.integers(1, 60),
        seeds=st.sampled_from([1, 1, 3, 5]),
        spread=st.sampled_from([0.0, 0.02, 0.15, 0.35]),
        noise=st.sampled_from([0.001, 0.03, 0.1]),
        carbon=st.sampled_from(["hourly", "steps", "constant", "by group"]),
        digits=st.integers(3, 15),
    )
    def test_nothing_is_found(self, **how: Any) -> None:
        table = make_clean(**how)
        assume(not is_dominated(table))  # few models, whose power differs a lot: then there is something to find
        assert audit(table).rows() == []

    @few
    @given(seed=st.integers(0, 10**6), watts=st.sampled_from([0.3, 65.0]), step=st.sampled_from([0.0, 0.1, 1.0]))
    def test_energy_that_was_estimated_from_coarse_times_is_no_repeat(
        self, seed: int, watts: float, step: float
    ) -> None:
        """Equal times make equal energies, with all their digits."""
        table = make_clean(seed, models=60, seeds=3)
        if step:
            table = table.with_columns((pl.col("time_s") / step).round() * step)
        table = table.with_columns(energy_kwh=pl.col("time_s") * watts / 3.6e6, carbon_g=None)
        assert audit(table).rows() == []

    @few
    @given(seed=st.integers(0, 10**6), joules=st.sampled_from([1.0, 1000.0]))
    def test_energy_in_whole_joules_is_no_repeat(self, seed: int, joules: float) -> None:
        table = make_clean(seed, models=60, seeds=5, noise=0.001)
        energy = (pl.col("energy_kwh") * 3.6e6 / joules).round() * joules / 3.6e6
        table = table.with_columns(energy_kwh=energy, carbon_g=energy * 151.0)
        assert audit(table).rows() == []

    def test_small_spaces(self) -> None:
        for size in (1, 2, 3):
            assert found(make_clean(size, groups=1, models=size)) == []
        assert len(audit(make_clean(0).clear())) == 0

    def test_costs_that_were_not_measured_are_no_findings(self) -> None:
        table = make_clean(0).with_columns(energy_kwh=None, carbon_g=None, performance=None)
        assert found(table) == []

    def test_what_is_returned(self) -> None:
        findings = audit(make_clean(0))
        assert dict(findings.schema) == FINDINGS
        assert set(RULES) == {
            "repeated-reading",
            "implausible-power",
            "dominant-high",
            "fallback-intensity",
            "out-of-proportion",
            "not-positive",
            "performance-range",
            "duplicate-run",
            "mixed-quality",
        }


anything = st.none() | st.floats() | st.sampled_from([0.0, 1.0, 0.5, -1.0, 1e-300, 1e300])
any_tables = st.lists(
    st.fixed_dictionaries(
        {
            "group": st.sampled_from(["a", "b", None]),
            "model": st.sampled_from(["x", "y", None]),
            **dict.fromkeys(["performance", "energy_kwh", "carbon_g", "time_s", "data_samples", "params"], anything),
            "quality": st.sampled_from(["counter", "estimated", "odd", None]),
            "device": st.sampled_from(["NVIDIA L4", "EPYC", None]),
            "status": st.sampled_from(["finished", "failed", None]),
        }
    ),
    min_size=1,
    max_size=25,
)


class TestAnyTable:
    @few
    @given(any_tables)
    def test_no_value_is_too_bad_to_be_audited(self, rows: list[dict[str, Any]]) -> None:
        numbers = ["performance", "energy_kwh", "carbon_g", "time_s", "data_samples", "params"]
        table = pl.DataFrame(rows, schema_overrides=dict.fromkeys(numbers, pl.Float64), infer_schema_length=None)
        table = table.with_columns(pl.col("group", "model", "quality", "device", "status").cast(pl.String))
        findings = audit(table)
        assert set(findings["rule"]) <= set(RULES)
        assert set(findings["confidence"]) <= {"high", "medium", "low"}
        assert findings["evidence"].null_count() == 0
        assert findings.select("row", "rule").is_duplicated().any() is False
        kept = drop_rejected(table)
        if kept["performance"].count() and kept["energy_kwh"].count():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rank(kept)  # what it refuses is condemned

    @few
    @given(seed=st.integers(0, 1000), order=st.randoms(use_true_random=False))
    def test_the_order_of_the_rows_does_not_matter(self, seed: int, order: Any) -> None:
        table = make_clean(seed)
        table = copy_reading(copy_reading(table, 3, 25), 3, 47)
        table = scale(table, 7, energy_kwh=50.0, carbon_g=50.0).with_row_index("number")
        rows = list(range(len(table)))
        order.shuffle(rows)
        whole, shuffled = (
            sorted(
                (t["number"][row], rule, sure)
                for row, rule, sure in audit(t).select("row", "rule", "confidence").rows()
            )
            for t in (table, table[rows])
        )
        assert whole == shuffled != []


class TestRepeatedReadings:
    @few
    @given(seed=st.integers(0, 10**6), spread=st.sampled_from([0.02, 0.15]), factor=st.sampled_from([0.02, 30.0]))
    def test_a_copy_of_implausible_power_is_condemned_and_the_original_is_not(
        self, seed: int, spread: float, factor: float
    ) -> None:
        table = make_clean(seed, spread=spread)
        table = scale(table, 25, time_s=table["time_s"][5] / table["time_s"][25] / factor)
        table = copy_reading(table, 5, 25)
        assert [finding for finding in found(table) if finding[1] != "dominant-high"] == [
            (25, "repeated-reading", "high")
        ]
        evidence = audit(table)["evidence"][0] if factor > 1 else audit(table).filter(row=25)["evidence"][0]
        assert f"energy ({table['energy_kwh'][5]} kWh) and its carbon" in evidence
        assert "row 5 in data0" in evidence

    @few
    @given(seed=st.integers(0, 10**6))
    def test_several_that_are_plausible_are_ambiguous(self, seed: int) -> None:
        table = make_clean(seed)
        table = copy_reading(scale(table, 25, time_s=table["time_s"][5] / table["time_s"][25] * 1.01), 5, 25)
        findings = audit(table).filter(rule="repeated-reading")
        assert findings.select("row", "confidence").rows() == [(5, "low"), (25, "low")]
        assert "their times differ" in findings["evidence"][0]
        assert len(drop_rejected(table)) == len(table)

    @few
    @given(seed=st.integers(0, 10**6), share=st.sampled_from([0.3, 0.6, 0.9]))
    def test_a_group_most_of_which_is_copied(self, seed: int, share: float) -> None:
        """The reference is of the runs with a reading of their own, however few.

        Of 20 it is narrow enough that now and then (in 4 of 990 such tables) the run that a reading was copied from is
        taken for a copy, too, if its power is an extreme one.
        """
        table = make_clean(seed, groups=3, models=50)
        # The first group takes a hundred times as long, so that its readings are out of place in the second.
        slow = pl.when(pl.col("group") == "data0").then(100.0).otherwise(1.0)
        times = pl.col("time_s").first().over("model")
        table = table.with_columns(pl.col("energy_kwh", "carbon_g") / pl.col("time_s") * times, time_s=times)
        table = table.with_columns(pl.col("energy_kwh", "carbon_g", "time_s") * slow)
        wrong = sorted((50 + np.random.default_rng(seed).choice(50, int(50 * share), replace=False)).tolist())
        for row in wrong:
            table = copy_reading(table, row - 50, row)
        findings = audit(table).filter(rule="repeated-reading")
        high = findings.filter(confidence="high")["row"].to_list()
        assert set(wrong) <= set(high)
        originals = {row - 50 for row in wrong}
        assert set(findings["row"]) - set(wrong) <= originals
        assert len(findings) <= len(wrong) + 2

    def test_copies_without_an_original_are_condemned_whole(self) -> None:
        table = make_clean(1)
        for row in (5, 25, 45):
            table = put(table, row, energy_kwh=0.123456789012 * 1e3, carbon_g=1.23456789012e3)
        findings = audit(table).filter(rule="repeated-reading")
        assert findings.select("row", "confidence").rows() == [(5, "high"), (25, "high"), (45, "high")]
        assert all("plausible in none of them" in evidence for evidence in findings["evidence"])

    def test_another_models_reading_and_another_carbon(self) -> None:
        table = make_clean(2)
        table = put(table, 6, energy_kwh=table["energy_kwh"][5], time_s=table["time_s"][5] * 1.01)
        findings = audit(table).filter(rule="repeated-reading")
        assert findings["row"].to_list() == [5, 6]
        assert "is, to the last digit, that of model5, row 5 in data0" in findings["evidence"][1]

    def test_without_times_it_cannot_be_told_whose_it_is(self) -> None:
        table = copy_reading(make_clean(3), 5, 25).drop("time_s")
        findings = audit(table)
        assert findings.select("row", "confidence").rows() == [(5, "low"), (25, "low")]
        assert "not known" in findings["evidence"][0]

    def test_carbon_alone(self) -> None:
        table = copy_reading(make_clean(3), 5, 25).drop("energy_kwh")
        findings = audit(table)
        assert findings.select("row", "rule", "confidence").rows()[:1] == [(5, "repeated-reading", "low")]
        assert "its carbon (" in findings["evidence"][0]

    def test_what_a_device_can_draw_is_a_reference_too(self) -> None:
        """Four runs, none of which has a reading of its own beside it."""
        table = make_clean(4, groups=1, models=2).with_columns(device=pl.lit("1 x NVIDIA L4"))
        table = put(table, 1, energy_kwh=table["energy_kwh"][0], time_s=table["time_s"][0] / 30)
        findings = audit(table).filter(rule="repeated-reading")
        assert findings.select("row", "confidence").rows() == [(1, "high")]


class TestPower:
    @few
    @given(seed=st.integers(0, 10**6), row=st.integers(0, 59), factor=st.sampled_from([1e-3, 0.02, 20.0, 1e3]))
    def test_far_from_its_cohort(self, seed: int, row: int, factor: float) -> None:
        table = scale(make_clean(seed), row, energy_kwh=factor, carbon_g=factor)
        power = audit(table).filter(rule="implausible-power")
        assert power.select("row", "confidence").rows() == [(row, "high" if factor == 1e3 else "medium")]
        assert f"in data{row // 20} is" in power["evidence"][0]

    def test_above_what_the_device_can_draw(self) -> None:
        table = make_clean(0, groups=1, models=4).with_columns(device=pl.lit("1 x NVIDIA A100-SXM4-80GB"))
        assert found(scale(table, 2, energy_kwh=100.0, carbon_g=100.0)) == [
            (2, "implausible-power", "high"),
            *[f for f in found(scale(table, 2, energy_kwh=100.0, carbon_g=100.0)) if f[1] == "dominant-high"],
        ]

    def test_devices_are_cohorts_of_their_own(self) -> None:
        table = pl.concat(
            [
                make_clean(0, groups=1).with_columns(device=pl.lit("large")),
                make_clean(1, groups=1).with_columns(pl.col("energy_kwh", "carbon_g") / 50, device=pl.lit("small")),
            ]
        )
        assert "implausible-power" not in set(audit(table)["rule"])
        assert "implausible-power" in set(audit(table.drop("device").with_columns(group=None)[:23])["rule"])


class TestProportions:
    @few
    @given(seed=st.integers(0, 10**6), row=st.integers(0, 59), factor=st.sampled_from([1e-3, 1e3]))
    def test_carbon_in_another_unit(self, seed: int, row: int, factor: float) -> None:
        table = scale(make_clean(seed), row, carbon_g=factor)
        assert [finding for finding in found(table) if finding[1] != "dominant-high"] == [
            (row, "out-of-proportion", "high")
        ]
        assert {finding[0] for finding in found(table)} == {row}

    def test_a_whole_column_in_another_unit(self) -> None:
        table = make_clean(0).with_columns(pl.col("carbon_g") / 1000)
        assert found(table) == [(row, "out-of-proportion", "medium") for row in range(60)]

    def test_a_run_unlike_its_repeats(self) -> None:
        table = make_clean(0, models=6, seeds=8).with_columns(data_samples=pl.lit(60_000.0))
        table = scale(table, 3, energy_kwh=12.0, carbon_g=12.0, time_s=12.0)
        (finding,) = audit(table).filter(rule="out-of-proportion").rows(named=True)
        assert finding["row"] == 3
        assert "its energy is" in finding["evidence"]
        assert "its time is" in finding["evidence"]
        assert "s per sample" in finding["evidence"]
        stopped = table.with_columns(status=pl.when(pl.int_range(pl.len()) == 3).then(pl.lit("failed")))
        assert audit(stopped).filter(rule="out-of-proportion").is_empty()

    def test_half_the_epochs_is_no_finding(self) -> None:
        table = make_clean(0, models=6, seeds=8).with_columns(data_samples=pl.lit(60_000.0))
        costs = ["energy_kwh", "carbon_g", "time_s", "data_samples"]
        table = scale(table, 3, **dict.fromkeys(costs, 0.1))
        assert found(table) == []


class TestFallback:
    @few
    @given(
        seed=st.integers(0, 10**6),
        value=st.sampled_from([475.0, 600.0, 5.0]),
        count=st.integers(3, 10),
        digits=st.sampled_from([6, 15]),
    )
    def test_an_intensity_that_the_rest_never_reaches(self, seed: int, value: float, count: int, digits: int) -> None:
        table = make_clean(seed, digits=digits)
        rows = np.random.default_rng(seed).choice(20, count, replace=False)
        for row in rows:
            table = put(table, int(row), carbon_g=table["energy_kwh"][int(row)] * value)
        findings = audit(table).filter(rule="fallback-intensity")
        assert findings["row"].to_list() == sorted(rows)
        assert set(findings["confidence"]) == {"medium"}
        assert ("CodeCarbon" in findings["evidence"][0]) == (value == 475)
        assert f"{value:g} g CO2e per kWh, as that of {count - 1} other runs" in findings["evidence"][0]

    def test_the_default_beside_one_constant_is_ambiguous(self) -> None:
        table = make_clean(0, carbon="constant")
        for row in range(4):
            table = put(table, row, carbon_g=table["energy_kwh"][row] * 475.0)
        assert found(table) == [(row, "fallback-intensity", "low") for row in range(4)]

    def test_within_what_the_others_have_it_is_no_finding(self) -> None:
        table = make_clean(0)
        for row in range(5):
            table = put(table, row, carbon_g=table["energy_kwh"][row] * 150.0)
        assert found(table) == []


class TestDominance:
    def test_one_that_sets_the_high_and_the_ranking_without_it(self) -> None:
        table = pl.DataFrame(
            {
                "model": ["a", "b", "c", "d"],
                "performance": [0.70, 0.80, 0.90, 0.95],
                "energy_kwh": [1.0, 2.0, 3.0, 30.0],
            }
        )
        (finding,) = audit(table).rows(named=True)
        assert (finding["row"], finding["rule"], finding["confidence"]) == (3, "dominant-high", "medium")
        before, after = rank(table).filter(pl.col("model") != "d")["model"][0], rank(table[:3])["model"][0]
        assert (before, after) == ("c", "a")
        assert "energy (30 kWh, 10 times the 3 of c)" in finding["evidence"]
        assert "a would be first of the others, not c by PePR-E" in finding["evidence"]

    def test_three_times_is_the_limit(self) -> None:
        table = make_clean(0, groups=1, carbon="constant")
        second = table["energy_kwh"].sort()[-2]
        top = int(table["energy_kwh"].arg_max() or 0)
        factors = dict.fromkeys(["energy_kwh", "carbon_g", "time_s"], 3.0001 * second / table["energy_kwh"][top])
        assert found(scale(table, top, **factors)) == [(top, "dominant-high", "low")]
        factors = dict.fromkeys(factors, 2.9 * second / table["energy_kwh"][top])
        assert found(scale(table, top, **factors)) == []

    def test_repeats_of_one_model_dominate_together(self) -> None:
        table = make_clean(0, groups=1, models=5, seeds=3)
        large = pl.when(pl.col("model") == "model4").then(5.0).otherwise(1.0)
        table = table.with_columns(pl.col("energy_kwh", "carbon_g", "time_s") * large)
        assert [finding[1:] for finding in found(table)] == [("dominant-high", "low")]

    def test_each_group_is_a_space(self) -> None:
        large = pl.when(pl.col("group") == "data1").then(50.0).otherwise(1.0)
        table = make_clean(0).with_columns(pl.col("energy_kwh", "carbon_g", "time_s") * large)
        assert found(table) == []

    def test_without_performances_there_is_no_ranking_to_tell(self) -> None:
        table = pl.DataFrame({"model": ["a", "b", "c"], "performance": [None] * 3, "energy_kwh": [1.0, 2.0, 9.0]})
        (finding,) = audit(table.with_columns(pl.col("performance").cast(pl.Float64))).rows(named=True)
        assert finding["evidence"] == "it alone sets the high of energy (9 kWh, 4.5 times the 2 of b)"


class TestSingleValues:
    @pytest.mark.parametrize("name", ["energy_kwh", "carbon_g", "time_s", "memory_gb", "params"])
    @pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
    def test_costs_that_are_none(self, name: str, value: float) -> None:
        sure = "medium" if value == 0 and name in ("carbon_g", "params") else "high"
        findings = audit(put(make_clean(0), 4, **{name: value}))
        assert findings.select("row", "rule", "confidence").rows() == [(4, "not-positive", sure)]
        assert f"{name} is {'NaN' if value != value else value}" in findings["evidence"][0]

    @pytest.mark.parametrize("value", [-0.01, 1.01, 91.0, float("nan"), float("inf")])
    def test_performances_that_are_none(self, value: float) -> None:
        findings = audit(put(make_clean(0), 4, performance=value))
        assert findings.select("row", "rule", "confidence").rows() == [(4, "performance-range", "high")]
        assert ("a percentage?" in findings["evidence"][0]) == (1 < value <= 100)

    def test_rounding_is_forgiven(self) -> None:
        assert found(put(make_clean(0), 4, performance=1.0000001)) == []


class TestDuplicates:
    def test_a_row_twice(self) -> None:
        table = make_clean(0)
        twice = pl.concat([table, table[7:9]])
        assert found(twice) == [(60, "duplicate-run", "high"), (61, "duplicate-run", "high")]
        assert "those of row 7" in audit(twice)["evidence"][0]
        assert drop_rejected(twice)["model"].to_list() == load_runs(table)["model"].to_list()

    def test_a_file_twice(self, tmp_path: Path) -> None:
        make_clean(0).write_csv(tmp_path / "a.csv")
        findings = audit([tmp_path / "a.csv", tmp_path / "a.csv"])
        assert set(findings["rule"]) == {"duplicate-run"}
        assert len(findings) == 60

    def test_with_few_digits_and_no_other_repeats_it_is_likely(self) -> None:
        table = pl.DataFrame(
            {
                "model": ["a", "b", "b"],
                "performance": [0.7, 0.8, 0.8],
                "energy_kwh": [1.0, 2.0, 2.0],
                "time_s": [9, 19, 19],
            }
        )
        assert found(table) == [(2, "duplicate-run", "medium")]
        seeds = table.with_columns(seed=pl.Series([0, 0, 1]))
        assert found(seeds) == []

    def test_a_run_id_twice(self) -> None:
        table = make_clean(0).with_columns(run_id=pl.format("run{}", pl.int_range(pl.len()) % 59))
        assert found(table) == [(59, "duplicate-run", "medium")]


def test_mixed_quality_is_told_once_for_each_group() -> None:
    quality = pl.when(pl.int_range(pl.len()) % 20 < 3).then(pl.lit("estimated")).otherwise(pl.lit("counter"))
    table = make_clean(0).with_columns(quality=quality)
    assert found(table) == [(row, "mixed-quality", "medium") for row in (0, 20, 40)]
    assert "estimated in 3 runs, this the first of them, and measured in 17" in audit(table)["evidence"][0]
    assert found(table.with_columns(quality=pl.lit("integrated"))) == []


def make_record(model: str, watts: float, seconds: float, seed: int = 0, **rest: Any) -> RunRecord:
    rng = np.random.default_rng(seed)
    joules = watts * seconds * rng.uniform(0.98, 1.02)
    record = RunRecord(
        model,
        params=10**6,
        status="finished",
        epochs=[Epoch(0, 1, 0.8)],
        costs={"energy_kwh": CostEntry(joules / 3.6e6, 1e-6, "counter"), "time_s": CostEntry(seconds, 0.0, "counter")},
        devices={"host/gpu:GPU-1": DeviceEntry("NVIDIA L4", "host", int(joules * 1e6), 1.0, "counter")},
    )
    for name, value in rest.items():
        setattr(record, name, value)
    return record


class TestRecords:
    def test_clean_records(self, tmp_path: Path) -> None:
        for i in range(12):
            make_record(f"m{i}", 60, 100 * 1.3**i, i).save(tmp_path / f"{i}" / "pepr.json")
        assert found(tmp_path) == []

    def test_above_what_the_board_can_draw(self, tmp_path: Path) -> None:
        """A board of 72 W, whose record says 110."""
        for i in range(3):
            make_record(f"m{i}", 110 if i == 2 else 60, 100 * 1.3**i, i).save(tmp_path / f"{i}" / "pepr.json")
        (finding,) = audit(tmp_path).rows(named=True)
        assert (finding["row"], finding["rule"], finding["confidence"]) == (None, "implausible-power", "high")
        assert finding["source"] == str(tmp_path / "2" / "pepr.json")
        assert "NVIDIA L4 can draw 93.6 W at most" in finding["evidence"]
        assert drop_rejected(tmp_path)["model"].to_list() == ["m0", "m1"]

    def test_what_eight_boards_can_draw(self) -> None:
        """Eight boards of 700 W at 5 kW are no wonder; on one board they would be."""
        for boards, condemned in ((8, 0), (1, 3)):
            keys = ["cpu:host", *(device_key("host", f"gpu:GPU-{i}") for i in range(boards))]
            names = ["AMD EPYC 9654"] + ["NVIDIA H100 80GB HBM3"] * boards
            devices = {
                key: DeviceEntry(name, "host", 10**9, 1.0, "counter") for key, name in zip(keys, names, strict=True)
            }
            records = [make_record(f"m{i}", 5000, 100 * 1.3**i, i, devices=devices) for i in range(3)]
            assert len(audit(records).filter(rule="implausible-power")) == condemned

    def test_two_records_with_one_reading(self, tmp_path: Path) -> None:
        records = [make_record(f"m{i}", 60, 100 * 1.3**i, i) for i in range(6)]
        records[5].costs["energy_kwh"] = records[1].costs["energy_kwh"]
        findings = audit(records)
        assert findings.select("model", "rule", "confidence").rows() == [("m5", "repeated-reading", "high")]
        assert findings["source"].to_list() == [None]

    def test_broken_and_newer_records_are_named_and_the_rest_is_audited(self, tmp_path: Path) -> None:
        for i in range(3):
            make_record(f"m{i}", 60, 100 * 1.3**i, i).save(tmp_path / f"{i}" / "pepr.json")
        make_record("bad", 120, 100).save(tmp_path / "bad" / "pepr.json")
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "pepr.json").write_text("{")
        newer = {**json.loads((tmp_path / "0" / "pepr.json").read_text()), "schema": "lightning-pepr/run/9"}
        (tmp_path / "newer").mkdir()
        (tmp_path / "newer" / "pepr.json").write_text(json.dumps(newer))
        with pytest.warns(UserWarning, match=r"2 of 6 records(?s:.*)newer lightning-pepr"):
            findings = audit(tmp_path)
        assert findings["model"].to_list() == ["bad"]


@pytest.fixture(scope="module")
def findings() -> pl.DataFrame:
    return audit(TABLE, group="dataset")


@needs_paper
class TestPaper:
    def test_the_condemned_rows_are_those_of_the_published_spaces(self, findings: pl.DataFrame) -> None:
        high = findings.filter(confidence="high")
        assert set(high["rule"]) == {"repeated-reading"}
        assert len(high) == high["row"].n_unique() == 306
        counts = dict(high.group_by("group").len().rows())
        assert counts == {name: setting.condemned for name, setting in SETTINGS.items() if setting.condemned}

    @pytest.mark.parametrize("setting", SETTINGS)
    def test_without_them_the_spaces_are_the_clean_ones(self, setting: str) -> None:
        kept = drop_rejected(TABLE).filter(group=setting)
        clean = ModelSpace.published(setting, clean=True)
        space = ModelSpace.from_runs(kept)
        for resource in ("energy", "carbon", "memory", "parameters"):
            assert space.range(resource) == clean.range(resource)
        assert clean.models == len(kept)

    def test_the_condemned_rows_share_their_reading_and_imply_too_much_power(self, findings: pl.DataFrame) -> None:
        """Told apart by plain arithmetic, without the audit."""
        table = pl.read_csv(TABLE).with_row_index("row")
        watts = pl.col("energy") * 3.6e6 / (10 * pl.col("train_time"))
        shared = table.filter(pl.struct("energy", "co2").is_duplicated()).with_columns(watts=watts)
        assert len(shared) == 442
        high = findings.filter(confidence="high")["row"]
        assert sorted(shared.filter(pl.col("watts") > 800)["row"]) == sorted(high)
        low = findings.filter(rule="repeated-reading", confidence="low")["row"]
        pairs = shared.filter(pl.col("watts") <= 800).filter(pl.struct("energy", "co2").is_duplicated())
        assert sorted(pairs["row"]) == sorted(low)

    def test_the_ambiguous_pairs(self, findings: pl.DataFrame) -> None:
        low = findings.filter(rule="repeated-reading", confidence="low")
        assert dict(low.group_by("group").len().rows()) == {"derma": 28, "derma_pt": 34, "lidc": 6}
        equal = low.filter(pl.col("evidence").str.contains("their times are equal, too"))
        assert dict(equal.group_by("group").len().rows()) == {"derma_pt": 6, "lidc": 6}

    def test_the_intensity_that_looks_like_a_default(self, findings: pl.DataFrame) -> None:
        fallback = findings.filter(rule="fallback-intensity")
        table = pl.read_csv(TABLE).with_row_index("row").filter((pl.col("co2") / pl.col("energy")).round(6) == 475)
        assert sorted(fallback["row"]) == sorted(table["row"])
        assert len(fallback) == 26
        assert set(fallback["confidence"]) == {"medium"}

    def test_nothing_else_is_found(self, findings: pl.DataFrame) -> None:
        assert len(findings) == 306 + 68 + 26

    def test_it_does_not_hang_on_the_groups_or_on_the_names(self, findings: pl.DataFrame) -> None:
        table = pl.read_csv(TABLE)
        assert audit(TABLE).equals(findings), "the table's own group is the default"
        renamed = table.with_columns(model=pl.format("m{}", pl.int_range(pl.len())))
        high = audit(renamed).filter(confidence="high")
        assert sorted(high["row"]) == sorted(findings.filter(confidence="high")["row"])

    @pytest.mark.parametrize("digits", [8, 6, 5])
    def test_it_does_not_hang_on_the_last_digits(self, findings: pl.DataFrame, digits: int) -> None:
        rounded = pl.read_csv(TABLE).with_columns(pl.col("energy", "co2", "train_time").round_sig_figs(digits))
        high = audit(rounded).filter(confidence="high")
        assert sorted(high["row"]) == sorted(findings.filter(confidence="high")["row"])

    def test_what_is_left_has_no_condemned_row(self) -> None:
        assert audit(drop_rejected(TABLE)).filter(confidence="high").is_empty()


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lightning_pepr.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


class TestCommand:
    def test_nothing_found_is_status_0(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        make_clean(0).write_csv(tmp_path / "clean.csv")
        assert main(["audit", str(tmp_path / "clean.csv"), "--output", str(tmp_path / "f.csv")]) == 0
        assert capsys.readouterr().out == "Nothing found in 60 runs.\n"
        assert pl.read_csv(tmp_path / "f.csv").columns == list(FINDINGS)

    def test_something_found_is_status_1(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        table = put(put(make_clean(0), 3, energy_kwh=-1.0), 30, performance=93.0)
        table.write_csv(tmp_path / "t.csv")
        assert main(["audit", str(tmp_path / "t.csv")]) == 1
        out = capsys.readouterr().out
        assert out.startswith("2 findings in 60 runs; 2 of the runs are condemned.\n")
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

    def test_drop_keeps_columns_order_and_digits(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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

    def test_drop_says_how_the_ranking_changes(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        table = make_clean(0, groups=2)
        dear = scale(table, 4, energy_kwh=1e3, carbon_g=1e3, time_s=0.1)
        table = dear.with_columns(device=pl.lit("1 x NVIDIA L4"))
        table = table.with_columns(pl.col("energy_kwh", "carbon_g") / 10)
        table.write_csv(tmp_path / "t.csv")
        assert main(["audit", str(tmp_path / "t.csv"), "--drop", str(tmp_path / "kept.csv")]) == 1
        out = capsys.readouterr().out.partition("What that changes in the ranking by PePR-E")[2]
        (line,) = [line.split() for line in out.splitlines() if "data" in line]
        before, after = (rank(tmp_path / f"{name}.csv", group="group").filter(group="data0") for name in ("t", "kept"))
        high = [f"{float(r['energy_kwh'].max()):.4g}" for r in (before, after)]
        assert line[:3] == ["data0", "1", "19"]
        assert int(line[3]) > 0
        assert line[4:] == [before["model"][0], after["model"][0], *high]

    def test_drop_of_records_writes_a_table(self, tmp_path: Path) -> None:
        for i in range(3):
            make_record(f"m{i}", 150 if i == 2 else 60, 100 * 1.3**i, i).save(tmp_path / "r" / f"{i}" / "pepr.json")
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
        assert "306 of the runs are condemned" in done.stdout
        kept = (tmp_path / "kept.csv").read_text().splitlines()
        lines = TABLE.read_text().splitlines()
        assert len(kept) == 1 + 742
        assert set(kept) <= set(lines)
        assert kept == [line for line in lines if line in set(kept)], "in their order"
        again = run("audit", tmp_path / "kept.csv")
        assert again.returncode == 1
        assert "0 of the runs are condemned" in again.stdout
