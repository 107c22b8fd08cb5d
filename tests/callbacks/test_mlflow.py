"""MLflow: tags, the performance, and the record."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_pepr import PePRCallback, RunRecord
from tests.helpers.loggers import (
    SPACE,
    Tuned,
    fit,
    make_mlflow,
)
from tests.helpers.training import Worker, WorkMeter, trainer


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_mlflow_has_tags_final_scores_and_the_record(tmp_path: Path) -> None:
    logger = make_mlflow(tmp_path)
    module = Tuned(performances=(0.5, 0.75, 0.25))
    callback = PePRCallback("val_acc", SPACE, meter=WorkMeter(module))
    fitter = trainer(callback, root=tmp_path, logger=logger, log_every_n_steps=1)
    fitter.fit(module)
    run, client = callback.run, logger.experiment
    assert run is not None
    found = client.get_run(logger.run_id)
    assert {key: value for key, value in found.data.tags.items() if key.startswith("pepr.")} == {
        "pepr.run_id": run.run_id,
        "pepr.model": "Tuned",
        "pepr.monitor": "val_acc",
        "pepr.test_monitor": "test_acc",
        "pepr.status": "finished",
        "pepr.quality": "counter",
        "pepr.record": "pepr.json",
    }
    assert found.data.params == {"lr": "0.125", "optimizer": "sgd"}, "the user's own, and no others"
    assert found.data.metrics["pepr_e"] == run.epochs[-1].scores["pepr_e"]
    assert found.data.metrics["pepr.performance"] == 0.75, "of the model that one would keep"
    assert found.info.status == "FINISHED"

    fitter.test(module, verbose=False)
    kept = client.get_run(logger.run_id).data.metrics["pepr.performance"]
    record = RunRecord.load(client.download_artifacts(logger.run_id, "pepr.json", str(tmp_path)))
    assert kept == record.test_performance == 0.6875

    where = 'metrics.pepr_e > 0 and metrics."pepr.performance" > 0.6 and tags."pepr.model" = "Tuned"'
    assert [other.info.run_id for other in client.search_runs([logger.experiment_id], where)] == [logger.run_id]


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_a_store_that_takes_no_file_is_a_warning_and_metrics_are_logged(tmp_path: Path) -> None:
    (tmp_path / "full").write_text("a file, where artifacts should go", encoding="utf-8")
    logger = make_mlflow(tmp_path, artifact_location=(tmp_path / "full" / "artifacts").as_uri())
    with pytest.warns(UserWarning, match="MLFlowLogger did not take what a run leaves beside its metrics: .*full"):
        run = fit(Worker(), tmp_path, logger).run
    assert run is not None
    assert run.status == "finished"
    found = logger.experiment.get_run(logger.run_id)
    assert found.data.metrics["pepr_e"] == run.epochs[-1].scores["pepr_e"]
    assert "pepr.record" not in found.data.tags
