"""Energy over time that no device draws, or that the others do not."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr import audit
from tests.helpers.findings import few, found
from tests.helpers.tables import make_clean, scale


@few
@given(seed=st.integers(0, 10**6), row=st.integers(0, 59), factor=st.sampled_from([1e-3, 0.02, 20.0, 1e3]))
def test_far_from_its_cohort(seed: int, row: int, factor: float) -> None:
    table = scale(make_clean(seed), row, energy_kwh=factor, carbon_g=factor)
    power = audit(table).filter(rule="implausible-power")
    assert power.select("row", "confidence").rows() == [(row, "high" if factor == 1e3 else "medium")]
    assert f"in data{row // 20} is" in power["evidence"][0]


def test_above_what_the_device_can_draw() -> None:
    table = make_clean(0, groups=1, models=4).with_columns(device=pl.lit("1 x NVIDIA A100-SXM4-80GB"))
    assert found(scale(table, 2, energy_kwh=100.0, carbon_g=100.0)) == [
        (2, "implausible-power", "high"),
        *[f for f in found(scale(table, 2, energy_kwh=100.0, carbon_g=100.0)) if f[1] == "dominant-high"],
    ]


def test_devices_are_cohorts_of_their_own() -> None:
    table = pl.concat(
        [
            make_clean(0, groups=1).with_columns(device=pl.lit("large")),
            make_clean(1, groups=1).with_columns(pl.col("energy_kwh", "carbon_g") / 50, device=pl.lit("small")),
        ]
    )
    assert "implausible-power" not in set(audit(table)["rule"])
    assert "implausible-power" in set(audit(table.drop("device").with_columns(group=None)[:23])["rule"])
