"""The front of many groups at once is that of each group by the definition."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.ranking.pareto import add_pareto

COSTS = ["energy_kwh", "time_s", "memory_gb"]
few = st.none() | st.integers(0, 3).map(float)  # few values, so that there are many equals
tables = st.lists(
    st.fixed_dictionaries(
        {"group": st.sampled_from(["a", "b", None]), "performance": few, **dict.fromkeys(COSTS, few)}
    ),
    max_size=12,
).map(
    lambda rows: pl.DataFrame(
        rows, schema={"group": pl.String, "performance": pl.Float64, **dict.fromkeys(COSTS, pl.Float64)}
    )
)


@given(tables, st.integers(1, 3), st.booleans())
def test_nobody_beats_what_is_on_the_front(table: pl.DataFrame, number: int, grouped: bool) -> None:
    costs = COSTS[:number]
    if not grouped:
        table = table.with_columns(group=pl.lit("a"))
    marked = add_pareto(table, costs, "group")
    assert marked.drop("pareto").equals(table)
    runs = table.rows(named=True)

    def beats(a: dict[str, float], b: dict[str, float]) -> bool:
        no_worse = a["performance"] >= b["performance"] and all(a[cost] <= b[cost] for cost in costs)
        return no_worse and (a["performance"] > b["performance"] or any(a[cost] < b[cost] for cost in costs))

    for run, front in zip(runs, marked["pareto"], strict=True):
        rivals = [
            other
            for other in runs
            if other["group"] == run["group"] and all(other[name] is not None for name in ("performance", *costs))
        ]
        known = all(run[name] is not None for name in ("performance", *costs))
        assert front == (known and not any(beats(other, run) for other in rivals))


@pytest.mark.parametrize("costs", [["time_s"], ["time_s", "energy_kwh"]])
def test_a_large_group_is_no_trouble(costs: list[str]) -> None:
    size = 3_000
    table = pl.DataFrame(
        {
            "performance": [i / size for i in range(size)],
            "time_s": [float(i) for i in range(size)],
            "energy_kwh": [float(-i % 7) for i in range(size)],
            "group": ["a"] * size,
        }
    )
    assert add_pareto(table, costs, "group")[
        "pareto"
    ].all()  # each is better, and more expensive, than the one before it
