"""How far a ranking hangs on the models that set low and high of its space."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr import ModelSpace, rank
from lightning_pepr.ranking import leverage
from tests.helpers.tables import toy


class TestLeverage:
    def test_without_the_model_that_sets_high(self) -> None:
        # Beside the large one the others cost next to nothing, and rank by P; among themselves they do not.
        table = toy(energy_kwh=[1.0, 2.0, 4.0, 1000.0]).with_columns(performance=pl.Series([0.80, 0.82, 0.84, 0.85]))
        (low, high) = leverage(table).rows(named=True)
        assert (low["end"], low["model"], low["bound"], low["bound_without"]) == ("low", "m0", 1.0, 2.0)
        assert low["changed"] == 0
        assert high == {
            "group": None,
            "end": "high",
            "model": "m3",
            "bound": 1000.0,
            "bound_without": 4.0,
            "models": 3,
            "changed": 2,
            "first": "m2",
            "first_without": "m0",
        }

    @given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 10)), min_size=4, max_size=10, unique_by=lambda r: r[1]))
    def test_it_is_what_ranking_the_others_gives(self, rows: list[tuple[float, float]]) -> None:
        p, energy = (list(column) for column in zip(*rows, strict=True))
        table = toy(energy_kwh=energy).with_columns(performance=pl.Series(p))
        for found in leverage(table).rows(named=True):
            others = table.filter(pl.col("model") != found["model"])
            before = rank(others, space=ModelSpace.from_runs(table))
            after = rank(others)
            joined = before.join(after, on="model")
            assert found["models"] == len(others)
            assert found["changed"] == (joined["rank"] != joined["rank_right"]).sum()
            assert found["first"] == before["model"][0]
            assert found["first_without"] == after["model"][0]

    def test_all_runs_of_the_model_are_left_out_and_each_group_has_its_own(self) -> None:
        table = pl.DataFrame(
            {
                "group": ["x"] * 4 + ["y"] * 3,
                "model": ["a", "a", "b", "c", "a", "b", "c"],
                "performance": [0.5, 0.6, 0.7, 0.8, 0.5, 0.6, 0.7],
                "energy_kwh": [9.0, 8.0, 1.0, 2.0, 1.0, 2.0, 3.0],
            }
        )
        found = leverage(table, group="group").filter(end="high").select("group", "model", "bound_without", "models")
        assert found.rows() == [("x", "a", 2.0, 2), ("y", "c", 2.0, 2)]

    def test_two_models_leave_one_that_cannot_change(self) -> None:
        assert set(leverage(toy(energy_kwh=[1.0, 2.0]))["changed"]) <= {0}
