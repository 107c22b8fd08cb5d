"""Readings that are another run's."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr import audit
from lightning_pepr.auditing import drop_rejected
from tests.helpers.findings import few, found
from tests.helpers.tables import copy_reading, make_clean, put, scale


class TestRepeatedReadings:
    @few
    @given(seed=st.integers(0, 10**6), spread=st.sampled_from([0.02, 0.15]), factor=st.sampled_from([0.02, 30.0]))
    def test_a_copy_is_rejected(self, seed: int, spread: float, factor: float) -> None:
        """A copy whose power is implausible; the original is not."""
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

    def test_copies_without_an_original_are_all_rejected(self) -> None:
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

    def test_without_times_it_is_not_known_whose_it_is(self) -> None:
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
