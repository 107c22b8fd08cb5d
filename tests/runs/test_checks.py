"""Values that cannot be are refused, and costs that do not compare are pointed out."""

from __future__ import annotations

import warnings
from pathlib import Path

import polars as pl
import pytest

from lightning_pepr import ModelSpace, load_runs
from lightning_pepr.runs.checks import check_runs, rankable, sets_space, warn_of_mixtures, warn_of_unscored
from lightning_pepr.runs.table import COSTS, PERFORMANCES
from tests.helpers.runs import write_table
from tests.helpers.tables import toy


def test_values_that_cannot_be_true_are_loaded_and_refused_when_asked(tmp_path: Path) -> None:
    header = "model,performance,energy_kwh\na,0.5,1\n"
    for line, message in [
        ("b,0.5,-1", r"energy_kwh of b \(row 1 of .*t\.csv\) is -1\.0; expected a finite amount"),
        ("b,0.5,NaN", r"energy_kwh of b \(row 1 .*\) is nan; expected a finite amount"),
        ("b,0.5,inf", r"energy_kwh of b \(row 1 .*\) is inf; expected a finite amount"),
        ("b,87.5,1", r"performance of b \(row 1 .*\) is 87\.5; expected a number in \[0, 1\].*by 100"),
        ("b,NaN,1", r"performance of b \(row 1 .*\) is nan; expected a number in \[0, 1\]"),
    ]:
        runs = load_runs(write_table(tmp_path / "t.csv", header + line + "\n"))
        assert len(runs) == 2
        with pytest.raises(ValueError, match=message):
            check_runs(runs)
        with pytest.raises(ValueError, match=message):
            ModelSpace.from_runs(runs)


def test_what_is_refused_is_what_is_not_rankable() -> None:
    values = [0.5, 0.0, -1e-7, 1.0000001, -1.0, 1.5, float("nan"), float("inf"), None]
    for name in (*COSTS, *PERFORMANCES):
        for value in values:
            table = pl.DataFrame({"model": ["a"], "performance": [0.5], "energy_kwh": [1.0]})
            runs = load_runs(table).with_columns(pl.lit(value, dtype=pl.Float64).alias(name))
            try:
                check_runs(runs, scored=False)
                accepted = True
            except ValueError:
                accepted = False
            assert runs.select(rankable()).item() is accepted, (name, value)


class TestMixtures:
    RUNS = pl.DataFrame(
        {
            "group": ["x", "x", "y", "y"],
            "model": ["a", "b", "c", "d"],
            "performance": [0.5, 0.6, 0.7, 0.8],
            "energy_kwh": [1.0, 2.0, 3.0, 4.0],
            "quality": ["counter", "integrated", "estimated", "estimated"],
            "device": ["A100, EPYC", "EPYC, A100", "H100", None],
        }
    )

    def test_measured_beside_estimated_and_different_devices_are_pointed_out(self) -> None:
        with pytest.warns(UserWarning, match="Rank such runs apart") as caught:
            ModelSpace.from_runs(self.RUNS)
        energy, device = (str(warning.message) for warning in caught)
        assert "estimated in 2 (such as c), measured in 2 (such as a)" in energy
        assert "group='quality'" in energy
        assert "A100, EPYC in 2 (such as a), H100 in 1 (such as c)" in device
        assert {warning.filename for warning in caught} == {__file__}

    @pytest.mark.parametrize("rows", [slice(0, 2), slice(2, 4)])
    def test_what_is_alike_or_unknown_mixes_with_nothing(self, rows: slice) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_of_mixtures(load_runs(self.RUNS[rows]))

    def test_runs_in_different_spaces_do_not_mix(self) -> None:
        runs = load_runs(self.RUNS)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_of_mixtures(runs, ["group"])
        mixed = runs.with_columns(device=pl.Series(["A", "B", "C", "D"]))
        with pytest.warns(UserWarning, match="of different devices, A in 1 .*, D in 1"):
            warn_of_mixtures(mixed, ["group"])

    def test_an_energy_that_is_missing_was_not_estimated(self) -> None:
        runs = self.RUNS.with_columns(device=None, energy_kwh=pl.Series([1.0, 2.0, None, None]), time_s=1.0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_of_mixtures(load_runs(runs))


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("energy_kwh_error", -0.1, "a finite bound, 0 or more"),
        ("energy_kwh_error", float("nan"), "a finite bound, 0 or more"),
        ("carbon_g_error", float("inf"), "a finite bound, 0 or more"),
        ("gain", -1.0, "a finite bound, 0 or more"),
        ("samples", 0, "a number of samples, 1 or more"),
        ("val_samples", -5, "a number of samples, 1 or more"),
    ],
)
def test_errors_that_cannot_be_are_named(column: str, value: float, expected: str) -> None:
    with pytest.raises(ValueError, match=rf"{column} of m1 \(row 1 of the table\) is {value!r}; expected {expected}"):
        check_runs(load_runs(toy(energy_kwh=[1.0, 2.0], **{column: [None, value]})))


class TestSpaces:
    RUNS = pl.DataFrame(
        {
            "group": ["x", "x", "x", "y"],
            "model": ["a", "b", "c", "d"],
            "performance": [0.5, None, 45.0, None],
            "energy_kwh": [1.0, 2.0, 9.0, 4.0],
        }
    )

    def test_who_has_no_performance_counts_only_among_its_like(self) -> None:
        runs = load_runs(self.RUNS)
        assert runs.select(sets_space()).to_series().to_list() == [True, False, False, False]
        assert runs.select(sets_space("group")).to_series().to_list() == [True, False, False, True]

    def test_those_left_out_are_counted(self) -> None:
        runs = load_runs(self.RUNS)
        with pytest.warns(UserWarning, match=r"3 of the 4 runs have no performance \(such as b\): they have no score"):
            warn_of_unscored(runs)
        with pytest.warns(UserWarning, match="2 of the 4 runs"):
            warn_of_unscored(runs, ["group"])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_of_unscored(runs.head(1))
            warn_of_unscored(runs.with_columns(performance=pl.lit(None, pl.Float64)))
            warn_of_unscored(runs.with_columns(energy_kwh=pl.lit(None, pl.Float64)))
