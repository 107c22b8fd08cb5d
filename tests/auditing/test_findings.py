"""The audit finds nothing in clean tables, takes any table, and reads records."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lightning_pepr import audit, rank
from lightning_pepr.accounting.ranks import device_key
from lightning_pepr.auditing import FINDINGS, RULES, drop_rejected
from lightning_pepr.record import DeviceEntry
from tests.helpers.findings import few, found
from tests.helpers.runs import make_metered
from tests.helpers.tables import copy_reading, make_clean, scale


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
                rank(kept)  # what it refuses is rejected

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


class TestRecords:
    def test_clean_records(self, tmp_path: Path) -> None:
        for i in range(12):
            make_metered(f"m{i}", 60, 100 * 1.3**i, i).save(tmp_path / f"{i}" / "pepr.json")
        assert found(tmp_path) == []

    def test_above_what_the_board_can_draw(self, tmp_path: Path) -> None:
        """A board of 72 W, whose record says 110."""
        for i in range(3):
            make_metered(f"m{i}", 110 if i == 2 else 60, 100 * 1.3**i, i).save(tmp_path / f"{i}" / "pepr.json")
        (finding,) = audit(tmp_path).rows(named=True)
        assert (finding["row"], finding["rule"], finding["confidence"]) == (None, "implausible-power", "high")
        assert finding["source"] == str(tmp_path / "2" / "pepr.json")
        assert "NVIDIA L4 can draw 93.6 W at most" in finding["evidence"]
        assert drop_rejected(tmp_path)["model"].to_list() == ["m0", "m1"]

    def test_what_eight_boards_can_draw(self) -> None:
        """Eight boards of 700 W at 5 kW are no wonder; on one board they would be."""
        for boards, rejected in ((8, 0), (1, 3)):
            keys = ["cpu:host", *(device_key("host", f"gpu:GPU-{i}") for i in range(boards))]
            names = ["AMD EPYC 9654"] + ["NVIDIA H100 80GB HBM3"] * boards
            devices = {
                key: DeviceEntry(name, "host", 10**9, 1.0, "counter") for key, name in zip(keys, names, strict=True)
            }
            records = [make_metered(f"m{i}", 5000, 100 * 1.3**i, i, devices=devices) for i in range(3)]
            assert len(audit(records).filter(rule="implausible-power")) == rejected

    def test_two_records_with_one_reading(self, tmp_path: Path) -> None:
        records = [make_metered(f"m{i}", 60, 100 * 1.3**i, i) for i in range(6)]
        records[5].costs["energy_kwh"] = records[1].costs["energy_kwh"]
        findings = audit(records)
        assert findings.select("model", "rule", "confidence").rows() == [("m5", "repeated-reading", "high")]
        assert findings["source"].to_list() == [None]

    def test_broken_and_newer_records(self, tmp_path: Path) -> None:
        """They are named, and the rest is audited."""
        for i in range(3):
            make_metered(f"m{i}", 60, 100 * 1.3**i, i).save(tmp_path / f"{i}" / "pepr.json")
        make_metered("bad", 120, 100).save(tmp_path / "bad" / "pepr.json")
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "pepr.json").write_text("{")
        newer = {**json.loads((tmp_path / "0" / "pepr.json").read_text()), "schema": "lightning-pepr/run/9"}
        (tmp_path / "newer").mkdir()
        (tmp_path / "newer" / "pepr.json").write_text(json.dumps(newer))
        with pytest.warns(UserWarning, match=r"2 of 6 records(?s:.*)newer lightning-pepr"):
            findings = audit(tmp_path)
        assert findings["model"].to_list() == ["bad"]
