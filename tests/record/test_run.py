"""What a record says of its performances: by other keys, above 1, and where scores are no numbers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from lightning_pepr import RunRecord
from lightning_pepr.record import CostEntry, Epoch
from tests.helpers.records import make_run


def two_keys() -> RunRecord:
    return RunRecord(
        "m",
        monitor="val_acc",
        epochs=[
            Epoch(0, 1, 0.5, scores={"pepr_e": 0.4, "auc_pepr_e": 0.6}, others={"val_auc": 0.7}),
            Epoch(1, 2, 0.6, others={"val_auc": None}),
        ],
        test_performance=0.55,
        test_monitor="test_acc",
        test_others={"val_auc": 0.65},
        val_samples=10,
        test_samples=20,
    )


class TestOtherKeys:
    def test_all_keys_are_listed(self) -> None:
        assert two_keys().keys == ["val_acc", "val_auc"]
        assert RunRecord("m", test_others={"a": 0.5}).keys == ["a"]

    def test_another_takes_the_place_of_the_monitor(self) -> None:
        record = two_keys()
        assert record.monitored_by("val_acc") is record
        other = record.monitored_by("val_auc")
        assert [e.performance for e in other.epochs] == [0.7, None]
        assert (other.monitor, other.performance, other.val_samples, other.test_samples) == ("val_auc", 0.65, 10, 20)
        assert [e.performance for e in record.epochs] == [0.5, 0.6], "the record itself stays as it is"

    def test_of_another_loader_the_samples_are_not_known(self) -> None:
        other = two_keys().monitored_by("val_auc/dataloader_idx_1")
        assert (other.performance, other.val_samples, other.test_samples) == (None, None, None)
        record = two_keys()
        record.monitor = "val_acc/dataloader_idx_1"
        assert record.monitored_by("val_auc/dataloader_idx_1").val_samples == 10


class TestAboveOne:
    @pytest.mark.parametrize("value", [8.0, 45.0, 1.01])
    def test_a_run_has_no_performance_then(self, value: float) -> None:
        run = make_run(epochs=4)
        run.epochs[2].performance = value
        assert run.exceeded is run.epochs[2]
        assert (run.evaluations, run.performance, run.best, run.last) == ([], None, None, None)
        assert f"no performance: val_acc {value:.4g} at epoch 2" in run._repr_html_()

    @pytest.mark.parametrize("value", [1.0, 1.0 + 1e-7, -3.0, None, math.nan, math.inf])
    def test_what_is_no_number_or_below_is_not_above(self, value: float | None) -> None:
        run = make_run(epochs=4)
        run.epochs[2].performance = value
        assert run.exceeded is None
        assert run.performance == run.test_performance


def test_a_score_that_was_no_number_is_not_shown(tmp_path: Path) -> None:
    costs = {"energy_kwh": CostEntry(0.1, 0.0, "counter"), "time_s": CostEntry(1.0, 0.0, "counter")}
    epochs = [
        Epoch(0, 1, 0.5, scores={"pepr_e": 0.4, "pepr_t": math.nan}),
        Epoch(1, 2, 0.6, scores={"pepr_e": math.nan, "pepr_t": math.nan}),
    ]
    record = RunRecord("m", monitor="val_acc", costs=costs, epochs=epochs)
    record.save(tmp_path / "pepr.json")
    for each in (record, RunRecord.load(tmp_path)):
        assert each.epochs[0].known_scores == {"pepr_e": 0.4}
        assert "0.400 (best 0.400)" in each._repr_html_()
        assert "nan" not in each._repr_html_()
