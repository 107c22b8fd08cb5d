"""Runs that loggers leave in trackers, and the rows that they become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning_pepr import ModelSpace, PePRCallback, RunRecord, load_runs
from lightning_pepr.runs.table import COSTS
from tests.helpers.training import Worker, WorkMeter, trainer

SPACE = ModelSpace.budget(energy_kwh=1e-5)

UNKNOWN = ["energy_kwh_error", "carbon_g_error", "gain", "quality", "device", "boards", "samples", "carbon_g"]

"""Columns that metrics do not tell."""


class Named(Worker):
    """A module with a name of its own."""

    def __init__(self, model_name: str, *performances: float, **rest: Any) -> None:
        super().__init__(performances or (0.25, 0.75, 0.5), **rest)
        self.model_name = model_name


def run_of(module: Worker, root: Path, *loggers: Any, test: bool = False, **options: Any) -> RunRecord:
    callback = PePRCallback("val_acc", SPACE, meter=WorkMeter(module), record=options.pop("record", True))
    fitter = trainer(callback, root=root, logger=list(loggers), log_every_n_steps=1, **options)
    fitter.fit(module)
    if test:
        fitter.test(module, verbose=False)
    assert callback.run is not None
    return callback.run


def whole_row(record: RunRecord, source: str) -> dict[str, Any]:
    """What is read of a run whose record is there."""
    return {**load_runs(record).row(0, named=True), "source": source}


def check_row_of_metrics(row: dict[str, Any], record: RunRecord) -> None:
    """Of a run without a record the metrics tell costs and performance, and nothing about how well they are known."""
    assert record.best is not None
    assert record.last is not None
    last = record.epochs[-1].cost
    assert {name: row[name] for name in COSTS if name != "carbon_g"} == {r.field: amount for r, amount in last.items()}
    assert [row[name] for name in UNKNOWN] == [None] * len(UNKNOWN), "unknown is null, never 0"
    assert (row["model"], row["run_id"]) == (record.model, record.run_id)
    assert row["val_performance"] == record.best.performance
    assert row["last_performance"] == record.last.performance
    assert row["performance"] == record.performance
