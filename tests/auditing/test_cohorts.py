"""What is normal, and what is far from it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from lightning_pepr.auditing.cohorts import COHORT, FEW, far, normal_power, positive

RNG = np.random.default_rng(0)


def test_only_positive_finite_amounts_count() -> None:
    values = [1.0, 0.0, -1.0, float("nan"), float("inf"), None]
    assert pl.DataFrame({"x": values}).select(positive(pl.col("x")))["x"].to_list() == [1.0, *[None] * 5]


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_one_that_is_far_moves_neither_the_others_nor_their_median(factor: float) -> None:
    amounts = np.exp(RNG.normal(0, 0.1, 30))
    amounts[7] = factor
    table = pl.DataFrame({"group": ["x"] * 30, "amount": amounts})
    unlike, middle = far(pl.col("amount"), ["group"], up=2.0, down=5.0)
    found = table.select(unlike=unlike, middle=middle)
    assert found["unlike"].to_list() == [i == 7 for i in range(30)]
    assert found["middle"].to_numpy() == pytest.approx(1.0, rel=0.1)


def test_few_make_no_cohort() -> None:
    table = pl.DataFrame({"group": ["x"] * 7, "amount": [1.0] * 6 + [1e6]})
    assert not table.select(far(pl.col("amount"), ["group"], up=2.0, down=2.0)[0]).to_series().any()


def test_the_power_of_the_cohort_is_normal_else_that_of_the_device_else_of_all() -> None:
    groups = [("x", "A", 10, 100.0), ("y", "A", 1, 100.0), ("z", "B", 1, 1.0), ("x", "C", FEW, 9.0)]
    rows = [(group, device, watts) for group, device, count, watts in groups for _ in range(count)]
    table = pl.DataFrame(rows, schema=["group", "device", "_power"], orient="row")
    table = table.with_columns(_gpus=pl.lit(1)).with_row_index("at")
    known = normal_power(table, table.select("at", *COHORT)).sort("at")
    assert [round(float(np.exp(middle))) for middle in known["_mid"]] == [100] * 15
    alone = table.filter(device="C")
    assert normal_power(alone, alone.select("at", *COHORT))["_mid"].to_list() == pytest.approx([np.log(9)] * FEW)
