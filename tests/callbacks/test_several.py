"""Several callbacks in one Trainer: one run, whose costs are metered once, and as many scores."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger

from lightning_pepr import CostBudget, ModelSpace, PePRCallback, RunRecord, load_runs, pepr, rank
from tests.helpers.fits import EPOCH_UJ, SPACE, rows_of
from tests.helpers.training import Worker, WorkMeter, trainer

NARROW = ModelSpace.budget(energy_kwh=1e-6)


class Two(Worker):
    """Logs two performances: one gets better and the other worse."""

    def validation_step(self, batch: Any, index: int) -> None:
        super().validation_step(batch, index)
        self.log("val_auc", 0.9 - 0.1 * self.evaluations)

    def test_step(self, batch: Any, index: int) -> None:
        super().test_step(batch, index)
        self.log("test_auc", 0.5)


def callbacks(module: Worker) -> tuple[PePRCallback, PePRCallback]:
    return PePRCallback("val_acc", SPACE, meter=WorkMeter(module)), PePRCallback("val_auc", NARROW, prefix="auc_")


@pytest.mark.parametrize("prefix", ["", "a_"])
def test_the_second_of_one_prefix_is_refused(tmp_path: Path, prefix: str) -> None:
    both = [PePRCallback(key, SPACE, prefix=prefix) for key in ("val_acc", "val_auc")]
    with pytest.raises(ValueError, match=rf"2 PePRCallbacks .* prefix '{prefix}'.*PePRCallback\(…, prefix="):
        trainer(*both, root=tmp_path).fit(Two())


@pytest.mark.parametrize("order", [0, 1])
def test_scores_have_the_prefix_and_costs_are_logged_once(tmp_path: Path, order: int) -> None:
    module, logger = Two(), CSVLogger(tmp_path)
    first, second = callbacks(module)
    stop = EarlyStopping("auc_pepr_e", mode="max", patience=1)
    trainer(*[first, second][:: 1 - 2 * order], stop, root=tmp_path, logger=logger, max_epochs=9).fit(module)
    rows = [row for row in rows_of(logger) if row["energy_kwh"]]
    assert len(rows) == 2, "whatever the order, the second's score has stopped the training"
    assert {"auc_pepr_e", "pepr_e", "pepr_t"} <= rows[0].keys()
    assert not {"auc_energy_kwh", "auc_pepr_t"} & rows[0].keys()
    for index, row in enumerate(rows):
        spent = (index + 1) * EPOCH_UJ / 3.6e12
        assert float(row["energy_kwh"]) == pytest.approx(spent)
        assert float(row["auc_pepr_e"]) == pytest.approx(pepr(0.8 - 0.1 * index, NARROW.normalize(spent, "energy")))
        assert float(row["pepr_e"]) == pytest.approx(pepr((0.25, 0.5)[index], SPACE.normalize(spent, "energy")))


def test_one_run_is_one_record_and_one_row_that_ranks_by_either(tmp_path: Path) -> None:
    for index in range(2):
        module = Two((0.25, 0.5) if index else (0.5, 0.25))
        module.model_name = f"model {index}"  # type: ignore[assignment]
        first, second = callbacks(module)
        run = trainer(first, second, root=tmp_path / str(index), max_epochs=index + 2)
        run.fit(module)
        assert first.run is second.run
        run.test(module, verbose=False)
    assert len(list(tmp_path.rglob("pepr*.json"))) == 2
    record = RunRecord.load(tmp_path / "1")
    assert record.monitor == "val_acc"
    assert [e.others["val_auc"] for e in record.epochs] == pytest.approx([0.8, 0.7, 0.6])
    assert set(record.epochs[0].scores) == {"pepr_e", "pepr_t", "auc_pepr_e"}
    assert (record.test_performance, record.test_others) == (0.6875, {"val_auc": 0.5})
    assert load_runs(tmp_path).height == 2
    assert rank(tmp_path)["performance"].to_list() == [0.6875] * 2
    assert rank(tmp_path, monitor="val_auc")["performance"].to_list() == [0.5] * 2


def test_the_one_without_a_prefix_meters_and_else_the_first(tmp_path: Path) -> None:
    for prefixes in itertools.permutations(["", "a_", "b_"]):
        module = Two()
        all_of_them = [PePRCallback("val_acc", SPACE, prefix=p, meter=WorkMeter(module)) for p in prefixes]
        trainer(*all_of_them, CostBudget(energy_kwh=1.0), root=tmp_path, max_epochs=1).fit(module)
        assert [each.prefix for each in all_of_them if each.meters] == [""]
        assert {each.cost.energy_kwh for each in all_of_them} == {EPOCH_UJ / 3.6e12}
    module, logger = Two(), CSVLogger(tmp_path)
    first = PePRCallback("val_acc", SPACE, prefix="a_", meter=WorkMeter(module))
    second = PePRCallback("val_auc", SPACE, prefix="b_")
    trainer(first, second, root=tmp_path, logger=logger, max_epochs=1).fit(module)
    assert (first.meters, second.meters) == (True, False)
    assert {"a_energy_kwh", "a_pepr_e", "b_pepr_e"} <= rows_of(logger)[-1].keys()
    assert "b_energy_kwh" not in rows_of(logger)[-1]


@pytest.mark.parametrize(
    ("prefixes", "key"), [(["", "b_"], "b_energy_kwh"), (["a_"], "energy_kwh"), (["a_"], "pepr_e")]
)
def test_a_key_that_none_logs_is_an_error(tmp_path: Path, prefixes: list[str], key: str) -> None:
    ours = [PePRCallback("val_acc", SPACE, prefix=prefix) for prefix in prefixes]
    with pytest.raises(ValueError, match=f"EarlyStopping monitors '{key}', which no PePRCallback of this Trainer logs"):
        trainer(*ours, EarlyStopping(key, mode="max"), root=tmp_path).fit(Two())


def test_what_counts_for_nothing_is_named(tmp_path: Path) -> None:
    second = PePRCallback("val_auc", NARROW, prefix="auc_", carbon_intensity=100.0, name="net")
    with pytest.warns(UserWarning, match="carbon_intensity=, name= has no effect with prefix='auc_'"):
        trainer(PePRCallback("val_acc", SPACE), second, root=tmp_path, max_epochs=1).fit(Two())
