"""The ranking agrees with the equations row by row, with the published scores, and with itself read back."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr import Cost, ModelSpace, RunRecord, load_runs, normalize, pareto_front, pepr, rank
from lightning_pepr.cost import RESOURCES
from lightning_pepr.functional import above_baseline
from lightning_pepr.record import CostEntry, Epoch
from lightning_pepr.runs.table import COLUMNS
from tests.helpers.paths import PAPER
from tests.helpers.tables import toy

needs_paper = pytest.mark.skipif(not PAPER.is_dir(), reason="the published measurements are not part of the project")


FIELDS = [resource.field for resource in RESOURCES]


performances = st.none() | st.floats(0.0, 1.0) | st.sampled_from([0.5, 0.75])
amounts = st.none() | st.floats(0.0, 1e6) | st.sampled_from([1.0, 2.0])
tables = st.lists(
    st.fixed_dictionaries(
        {
            "group": st.sampled_from(["a", "b", None]),
            "performance": performances,
            "energy_kwh": amounts,
            "time_s": amounts,
        }
    ),
    min_size=1,
    max_size=12,
).map(
    lambda rows: pl.DataFrame(
        [{"model": f"m{i}", **row} for i, row in enumerate(rows)],
        schema_overrides={name: COLUMNS[name] for name in ("group", "performance", "energy_kwh", "time_s")},
    )
)


class TestAgainstTheEquations:
    @given(tables, st.booleans(), st.booleans(), st.sampled_from([None, 0.5]))
    def test_each_row_is_what_the_functions_give(
        self, table: pl.DataFrame, grouped: bool, given_space: bool, baseline: float | None
    ) -> None:
        if not table["energy_kwh"].count() or not table["performance"].count():
            return
        space = ModelSpace({"energy_kwh": (0.5, 3.0), "time_s": (2.0, 2.0)}) if given_space else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ranked = rank(table, group="group" if grouped else None, space=space, baseline=baseline)
            if baseline is not None:
                free = ranked.filter(pl.col("source").eq_missing("baseline"))
                assert len(free) == (table["group"].n_unique() if grouped else 1)
                assert set(free["performance"]) == {baseline}
                ranked = ranked.filter(pl.col("source").is_null())
            assert sorted(ranked["model"]) == sorted(table["model"])
            parts = ranked.partition_by("group") if grouped else [ranked]
            for part in parts:
                p = part["performance"].to_list()
                for field, letter in [("energy_kwh", "e"), ("time_s", "t")]:
                    if f"r_{letter}" not in ranked.columns:
                        assert not table[field].count()
                        continue
                    in_space = part.drop_nulls("performance") if part["performance"].count() else part
                    costs = in_space[field].drop_nulls()
                    for i, cost in enumerate(part[field]):
                        r, score = part[f"r_{letter}"][i], part[f"pepr_{letter}"][i]
                        if cost is None or not (space or len(costs)):
                            assert r is None
                            assert score is None
                            continue
                        low, high = space.range(field) if space else (min(costs), max(costs))
                        assert r == pytest.approx(normalize(cost, low, high), rel=1e-14)
                        if p[i] is None:
                            assert score is None
                            continue
                        gained = p[i] if baseline is None else above_baseline(p[i], baseline)
                        assert score == pytest.approx(pepr(gained, r), rel=1e-14)
                scores = part["pepr_e"].to_list()
                for place, score in zip(part["rank"], scores, strict=True):
                    expected = None if score is None else 1 + sum(s is not None and s > score for s in scores)
                    assert place == expected
                places = [math.inf if place is None else place for place in part["rank"]]
                assert places == sorted(places)
                costs_or_nan = np.array(part["energy_kwh"].to_list(), dtype=np.float64)
                front = pareto_front(np.array(p, dtype=np.float64), costs_or_nan)
                assert part["pareto"].to_list() == front.tolist()

    @needs_paper
    @pytest.mark.parametrize("setting", ["derma_pt", "derma", "derma_small", "lidc", "pneumonia"])
    def test_the_published_scores(self, setting: str) -> None:
        expected = pl.read_csv(PAPER / "expected_scores.csv").filter(dataset=setting)
        assert len(expected) == 131
        table = load_runs(PAPER / "results_131x8.csv")
        together = rank(table, group="dataset").filter(group=setting)
        alone = rank(table.filter(group=setting))
        in_space = rank(table.filter(group=setting), space=ModelSpace.from_runs(table.filter(group=setting)))
        for ranked in (together, alone, in_space):
            both = expected.join(ranked, on="model", how="left", suffix="_got")
            for letter in "ECTM":
                for theirs, ours in [
                    (f"{letter}_n", f"r_{letter.lower()}"),
                    (f"pepr_{letter.lower()}", f"pepr_{letter.lower()}_got"),
                ]:
                    assert both[ours].null_count() == 0
                    assert (both[theirs] - both[ours]).abs().max() <= 1e-12  # type: ignore[operator]
            assert ranked["rank"].to_list()[:3] == [1, 2, 3]
            assert ranked["pepr_e"].is_sorted(descending=True)


class TestColumns:
    def test_they_come_in_a_fixed_order(self) -> None:
        ranked = rank(toy(energy_kwh=[1.0, 2.0], params=[3, 4], hospital=["A", "B"]))
        scores = ["r_e", "pepr_e", "r_n", "pepr_n", "pepr_e_low", "pepr_e_high"]
        scores += ["rank", "rank_best", "rank_worst", "replication", "pareto"]
        rest = [name for name in COLUMNS if name not in ("group", "model", "performance", *FIELDS)]
        assert ranked.columns == ["group", "model", "performance", *FIELDS, *scores, *rest]
        assert ranked.schema["rank"] == pl.Int64
        assert ranked.schema["pareto"] == pl.Boolean

    def test_any_column_groups(self) -> None:
        table = toy(energy_kwh=[1.0, 2.0, 10.0, 30.0], hospital=[2, 2, 1, 1])
        ranked = rank(table, group="hospital")
        assert ranked.select("group", "model", "r_e", "rank").rows() == [
            ("1", "m2", 0.0, 1),
            ("1", "m3", 1.0, 2),
            ("2", "m0", 0.0, 1),
            ("2", "m1", 1.0, 2),
        ]
        assert rank(table)["r_e"].to_list() == [0.0, 1 / 29, 9 / 29, 1.0]
        with pytest.raises(ValueError, match=r"no column 'clinic' to group by; the runs have group, model, .*hospital"):
            rank(table, group="clinic")

    def test_it_is_read_back_as_it_was_written(self, tmp_path: Path) -> None:
        table = toy(
            energy_kwh=[0.1, 0.7, None, 2 / 3],
            carbon_g=[1.0, 2.0, 3.0, None],
            group=["x", "x", "y", "y"],
            quality=["counter"] * 4,
        )
        table = pl.concat([table, table.with_columns(group=pl.lit("y"))])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            first = rank(table, group="group")
            first.write_csv(tmp_path / "out.csv")
            second = rank(tmp_path / "out.csv", group="group")
            again = rank(first, group="group")
        compared = [name for name in first.columns if name not in ("source", "row")]
        assert second.select(compared).equals(first.select(compared))
        assert again.equals(first)
        assert second["row"].to_list() == list(range(8))
        assert set(second["source"]) == {str(tmp_path / "out.csv")}

    def test_the_order_of_the_runs_does_not_matter(self) -> None:
        table = toy(energy_kwh=[3.0, 1.0, 2.0]).with_columns(performance=pl.Series([0.9, 0.4, 0.8]))
        expected = rank(table).select("model", "rank", "pepr_e")
        assert rank(table.reverse()).select("model", "rank", "pepr_e").equals(expected)


class TestRanking:
    def test_equal_scores_share_the_better_rank(self) -> None:
        assert rank(toy(energy_kwh=[1.0, 1.0, 3.0]))["rank"].to_list() == [1, 1, 3]

    def test_by_another_resource(self) -> None:
        table = toy(energy_kwh=[1.0, 2.0], time_s=[20.0, 10.0])
        assert rank(table, by="energy")["model"][0] == "m0"
        for name in ("time", "T", "time_s", "pepr_t"):
            ranked = rank(table, by=name)
            assert ranked["model"][0] == "m1"
            assert ranked["pareto"].to_list() == [True, False]

    def test_what_was_not_measured_comes_last_without_score(self) -> None:
        ranked = rank(toy(energy_kwh=[None, 1.0, 2.0]))
        assert ranked.row(2, named=True) | {"model": "m0", "r_e": None, "pepr_e": None, "rank": None} == ranked.row(
            2, named=True
        )
        assert "r_t" not in ranked.columns
        with pytest.raises(ValueError, match=r"none of the 3 runs has time_s, by which to rank; they have energy_kwh"):
            rank(toy(energy_kwh=[None, 1.0, 2.0]), by="time")

    def test_over_a_given_space(self, tmp_path: Path) -> None:
        space = ModelSpace({"energy_kwh": (2.0, 4.0), "memory_gb": (0.0, 1.0)})
        table = toy(energy_kwh=[1.0, 3.0, 6.0], time_s=[1.0, 2.0, 3.0])
        ranked = rank(table, space=space)
        assert ranked["r_e"].to_list() == [0.0, 0.5, 2.0]  # floored, and without a ceiling
        assert "r_t" not in ranked.columns  # the space has no time
        assert "r_m" not in ranked.columns  # the runs have no memory
        space.save(tmp_path / "space.json")
        assert rank(table, space=tmp_path / "space.json").equals(ranked)
        assert rank(table, space=str(tmp_path / "space.json")).equals(ranked)
        with pytest.raises(ValueError, match=r"this space has no time \(time_s\); it has energy_kwh, memory_gb"):
            rank(table, space=space, by="time")
        with pytest.raises(ValueError, match=r"none of the 3 runs has memory_gb"):
            rank(table, space=space, by="memory")
        with pytest.raises(FileNotFoundError):
            rank(table, space=tmp_path / "none.json")

    def test_a_group_of_one_run_warns_once_a_resource(self) -> None:
        table = toy(energy_kwh=[1.0, 2.0, 3.0], group=["a", "a", "b"])
        with pytest.warns(UserWarning, match=r"low and high of energy_kwh are equal in b: R is 0 there") as caught:
            assert rank(table, group="group")["pepr_e"].to_list() == [0.5, 0.25, 0.5]
        assert len(caught) == 1
        assert caught[0].filename == __file__

    def test_a_baseline_takes_the_free_predictor_down(self) -> None:
        table = toy(energy_kwh=[0.0, 1.0, 4.0]).with_columns(performance=pl.Series([0.6, 0.8, 0.9]))
        assert rank(table)["model"][0] == "m1"
        free = rank(table, baseline=0.6)
        assert free["model"].to_list() == ["m1", "m2", "m0", "(baseline)"]
        assert free["pepr_e"].to_list()[2:] == [0.0, 0.0]
        assert free["performance"][0] == 0.8  # the performance is shown as it is
        with pytest.raises(ValueError, match=r"baseline is 1\.5"):
            rank(table, baseline=1.5)

    def test_bad_values_are_named(self) -> None:
        with pytest.raises(ValueError, match=r"energy_kwh of m1 \(row 1 of the table\) is -1\.0; expected"):
            rank(toy(energy_kwh=[1.0, -1.0]))
        with pytest.raises(ValueError, match=r"at is 'first'; expected 'best' or 'last'"):
            rank(toy(energy_kwh=[1.0, 2.0]), at="first")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"unknown resource 'joules'"):
            rank(toy(energy_kwh=[1.0, 2.0]), by="joules")


class TestSeveralResources:
    def test_the_first_orders_and_each_ranks(self) -> None:
        table = toy(energy_kwh=[1.0, 2.0, 3.0], time_s=[30.0, 10.0, 20.0])
        both = rank(table, by=["time", "energy"])
        assert both["model"].to_list() == ["m1", "m2", "m0"]
        assert both["rank"].to_list() == [1, 2, 3]
        assert both["rank_e"].to_list() == [2, 3, 1]
        assert both["rank_e_worst"].to_list() == [2, 3, 1]
        assert "rank_t" not in both.columns
        assert {"pepr_t_low", "pepr_e_high"} <= set(both.columns)
        for name, alone in (("rank", rank(table, by="time")), ("rank_e", rank(table, by="energy"))):
            joined = both.join(alone, on="model")
            assert joined[name].to_list() == joined["rank_right"].to_list()

    def test_the_front_is_over_all_of_them(self) -> None:
        table = toy(energy_kwh=[1.0, 2.0, 3.0], time_s=[30.0, 10.0, 20.0])
        assert dict(rank(table).select("model", "pareto").rows()) == {"m0": True, "m1": False, "m2": False}
        both = rank(table, by=["energy", "time"])
        assert dict(both.select("model", "pareto").rows()) == {"m0": True, "m1": True, "m2": False}

    def test_twice_is_once(self) -> None:
        table = toy(energy_kwh=[1.0, 2.0])
        assert rank(table, by=["E", "energy_kwh"]).equals(rank(table))

    def test_none_is_refused(self) -> None:
        with pytest.raises(ValueError, match="by is empty; expected a resource"):
            rank(toy(energy_kwh=[1.0, 2.0]), by=[])
        with pytest.raises(ValueError, match="none of the 2 runs has time_s"):
            rank(toy(energy_kwh=[1.0, 2.0]), by=["energy", "time"])


class TestBaselineRow:
    def test_there_is_one_a_group_and_it_moves_nothing(self) -> None:
        table = toy(energy_kwh=[1.0, 2.0, 3.0, 4.0], group=["x", "x", "y", "y"])
        ranked = rank(table, group="group", baseline=0.4)
        free = ranked.filter(source="baseline")
        assert free.select("group", "model", "performance", "energy_kwh", "r_e", "pepr_e").rows() == [
            ("x", "(baseline)", 0.4, 0.0, 0.0, 0.0),
            ("y", "(baseline)", 0.4, 0.0, 0.0, 0.0),
        ]
        assert not free["pareto"].any()
        runs = ranked.filter(pl.col("source").is_null())
        plain = rank(table, group="group")
        assert runs.select("model", "r_e", "rank", "pareto").equals(plain.select("model", "r_e", "rank", "pareto"))
        assert rank(ranked, group="group").equals(plain)  # read back it is no run


class TestMixtures:
    def test_they_are_pointed_out_within_a_space(self) -> None:
        table = toy(energy_kwh=[1.0, 2.0, 3.0], quality=["counter", "estimated", "integrated"], group=["x", "y", "x"])
        with pytest.warns(UserWarning, match=r"energy is estimated in 1 \(such as m1\), measured in 2") as caught:
            rank(table)
        assert caught[0].filename == __file__
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="energy is")
            warnings.filterwarnings("ignore", message="low and high")
            rank(table, group="group")

    def test_so_are_devices(self) -> None:
        table = toy(energy_kwh=[1.0, 2.0, 3.0], device=["H100", "A100", None])
        with pytest.warns(UserWarning, match=r"different devices, A100 in 1 \(such as m1\), H100 in 1"):
            rank(table)


class TestRecords:
    def record(self, model: str, performances: list[float], test: float | None, energy: float) -> RunRecord:
        return RunRecord(
            model,
            epochs=[Epoch(i, i, p, Cost()) for i, p in enumerate(performances)],
            costs={"energy_kwh": CostEntry(energy, 0.0, "estimated")},
            test_performance=test,
        )

    def test_best_and_last(self, tmp_path: Path) -> None:
        """Best takes the test performance, else the best epoch; last takes the last epoch."""
        self.record("tested", [0.5, 0.75, 0.25], 0.625, 1.0).save(tmp_path / "a" / "pepr.json")
        self.record("untested", [0.5, 0.875, 0.125], None, 2.0).save(tmp_path / "b" / "pepr.json")
        best = rank(tmp_path)
        assert best.select("model", "performance", "pepr_e", "val_performance").rows() == [
            ("tested", 0.625, 0.625, 0.75),
            ("untested", 0.875, 0.4375, 0.875),
        ]
        assert best["quality"].to_list() == ["estimated", "estimated"]
        last = rank([tmp_path / "a", tmp_path / "b"], at="last")
        assert last.select("model", "performance").rows() == [("tested", 0.25), ("untested", 0.125)]
        assert last["energy_kwh"].to_list() == best["energy_kwh"].to_list()
        assert rank(load_runs(tmp_path), at="last").equals(last)

    def test_a_table_knows_one_performance_only(self) -> None:
        table = toy(energy_kwh=[1.0, 2.0])
        assert rank(table, at="last").equals(rank(table))
