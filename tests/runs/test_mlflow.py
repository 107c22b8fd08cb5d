"""Runs read back from a real MLflow server, whole and broken."""

from __future__ import annotations

import csv
import importlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightning.pytorch.loggers import MLFlowLogger

from lightning_pepr import PePRCallback, RunRecord, load_runs, rank
from lightning_pepr.cli import main
from lightning_pepr.runs.mlflow import read_mlflow
from tests.helpers import servers
from tests.helpers.loggers import Tuned
from tests.helpers.trackers import SPACE, Named, check_row_of_metrics, run_of, whole_row
from tests.helpers.training import WorkMeter, trainer

pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.mlflow(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


@pytest.mark.slow
def test_an_experiment_on_a_server_is_loaded_and_ranked(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records, sources = [], []
    for model, *performances in [("small", 0.5, 0.75), ("large", 0.625, 0.875), ("untested", 0.25, 0.125)]:
        logger = MLFlowLogger("ranked", tracking_uri=server)
        tested = model != "untested"
        records.append(run_of(Named(str(model), *performances), tmp_path / str(model), logger, test=tested))
        sources.append(f"mlflow:ranked/{logger.run_id}")
    importlib.import_module("mlflow").set_tracking_uri(None)  # so that the environment tells
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    runs = load_runs("mlflow:ranked")
    assert runs.rows(named=True) == [whole_row(*pair) for pair in zip(records, sources, strict=True)]
    assert runs["performance"].to_list() == [0.6875, 0.6875, 0.25]
    assert runs["quality"].to_list() == ["counter"] * 3

    experiment = importlib.import_module("mlflow").MlflowClient().get_experiment_by_name("ranked")
    by_id = load_runs(f"mlflow:{experiment.experiment_id}")
    assert by_id.equals(runs), "an id will do for a name"
    assert set(rank("mlflow:ranked", by="time")["model"]) == {"small", "large", "untested"}
    assert len(load_runs("mlflow:ranked", tmp_path)) == 3, "the same runs from their own files count once"

    assert main(["rank", "mlflow:ranked", "--by", "time", "--output", str(tmp_path / "ranking.csv")]) == 0
    assert "Downloading" not in capsys.readouterr().err
    with open(tmp_path / "ranking.csv", encoding="utf-8") as file:
        assert {row["source"] for row in csv.DictReader(file)} == set(sources)


@pytest.mark.slow
def test_a_run_that_left_no_record_is_read_from_its_metrics(server: str, tmp_path: Path) -> None:
    logger = MLFlowLogger("metrics", tracking_uri=server, prefix="a")
    record = run_of(Named("bare"), tmp_path, logger, test=True, record=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        (row,) = load_runs("mlflow:metrics").rows(named=True)
    check_row_of_metrics(row, record)
    assert row["status"] == "finished"
    assert row["performance"] == 0.6875


@pytest.mark.slow
def test_a_deleted_record_is_a_warning(server: str, tmp_path: Path) -> None:
    """Its metrics are taken instead."""
    logger = MLFlowLogger("deleted", tracking_uri=server)
    record = run_of(Named("bare"), tmp_path, logger)
    client, run_id = logger.experiment, logger.run_id
    client.set_tag(run_id, "pepr.record", "gone.json")
    with pytest.warns(UserWarning, match=f"the record of the MLflow run {run_id} cannot be read .*metrics are taken"):
        (row,) = load_runs("mlflow:deleted").rows(named=True)
    check_row_of_metrics(row, record)
    client.log_dict(run_id, {"schema": "lightning-pepr/run/99"}, "newer.json")
    client.set_tag(run_id, "pepr.record", "newer.json")
    with pytest.warns(UserWarning, match="run/99"):
        check_row_of_metrics(load_runs("mlflow:deleted").row(0, named=True), record)


@pytest.mark.slow
def test_what_is_not_there_is_named(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = importlib.import_module("mlflow").MlflowClient(server)
    client.create_experiment("empty")
    client.delete_experiment(client.create_experiment("thrown-away"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    with pytest.raises(ValueError, match=f"no MLflow experiment 'nodule' at {server}; found .*'Default'.*'empty'"):
        load_runs("mlflow:nodule")
    with pytest.raises(ValueError, match=r"'thrown-away' at .* is deleted; `mlflow experiments restore"):
        load_runs("mlflow:thrown-away")
    with pytest.raises(ValueError, match="experiment 'empty' holds no run; expected runs that MLFlowLogger and"):
        load_runs("mlflow:empty")
    assert main(["rank", "mlflow:empty"]) == 2
    assert capsys.readouterr().err.startswith("lightning-pepr: the MLflow experiment 'empty'")


@pytest.mark.slow
def test_runs_of_others_are_left_out(server: str, tmp_path: Path) -> None:
    client = importlib.import_module("mlflow").MlflowClient(server)
    experiment = client.create_experiment("mixed")
    for name in ("lyrical-sky", "odd-fish"):
        client.log_metric(client.create_run(experiment, run_name=name).info.run_id, "val_acc", 0.5)
    with pytest.raises(
        ValueError, match=r"all of the 2 runs in mlflow:mixed have no cost .*odd-fish.*add PePRCallback"
    ):
        read_mlflow_at(server, "mixed")
    run_of(Named("ours"), tmp_path, MLFlowLogger("mixed", tracking_uri=server))
    with pytest.warns(UserWarning, match=r"2 of the 3 runs in mlflow:mixed have no cost.*left out: lyrical-sky, odd"):
        assert load_runs("mlflow:mixed")["model"].to_list() == ["ours"]


def read_mlflow_at(address: str, experiment: str) -> list[tuple[RunRecord, str]]:
    mlflow = importlib.import_module("mlflow")
    mlflow.set_tracking_uri(address)
    return read_mlflow(experiment)


@pytest.mark.slow
def test_a_resumed_run_counts_once_and_only_as_it_is_last(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    space, meter = SPACE, WorkMeter(Named("resumed"))
    first = MLFlowLogger("resumed", tracking_uri=store, artifact_location=str(tmp_path / "artifacts"))
    fitter = trainer(
        PePRCallback("val_acc", space, meter=meter), root=tmp_path, logger=first, max_epochs=1, log_every_n_steps=1
    )
    fitter.fit(meter.module)
    fitter.save_checkpoint(tmp_path / "last.ckpt")
    second = MLFlowLogger("resumed", tracking_uri=store)
    callback = PePRCallback("val_acc", space, meter=meter, record=False)
    trainer(callback, root=tmp_path, logger=second, log_every_n_steps=1).fit(
        meter.module, ckpt_path=tmp_path / "last.ckpt", weights_only=False
    )
    assert callback.run is not None
    rows = load_runs("mlflow:resumed").rows(named=True)
    assert [(row["run_id"], row["data_samples"]) for row in rows] == [(callback.run.run_id, 42.0)]


@pytest.mark.parametrize("uri", ["sqlite:///{}/none.db", "file:{}/none", "{}/none", ""])
def test_a_store_that_is_not_there_is_not_made(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(tmp_path))
    with pytest.raises(ValueError, match=r"there is no MLflow store at .*; set MLFLOW_TRACKING_URI to where the runs"):
        load_runs("mlflow:nodules")
    assert not [path for path in tmp_path.iterdir() if path.name != "home"]


def test_a_store_that_mlflow_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error tells MLflow's reason."""
    (tmp_path / "store.db").write_text("this is no database", encoding="utf-8")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store.db")
    with pytest.raises(ConnectionError, match=r"store at sqlite:.*store\.db cannot be read: .*not a database"):
        load_runs("mlflow:nodules")


def test_a_server_that_cannot_be_reached_is_named_at_once_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = servers.free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
    with pytest.raises(ConnectionError, match=rf"store at http://\*\*\*@127.0.0.1:{port} cannot be read") as caught:
        load_runs("mlflow:nodules")
    assert "secret" not in str(caught.value)
    assert "MLFLOW_TRACKING_URI says where to look" in str(caught.value)
    assert main(["rank", "mlflow:nodules"]) == 2
    assert "secret" not in capsys.readouterr().err
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


@pytest.mark.slow
def test_names_by_parameters(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    for lr in (0.125, 0.25):
        run_of(Tuned(lr=lr), tmp_path, MLFlowLogger("tuned", tracking_uri=server), record=False)
    runs = load_runs("mlflow:tuned")
    assert runs["configuration"][0] == '{"hyperparameters": {"lr": 0.125, "optimizer": "sgd"}}', "numbers, as they were"
    assert sorted(rank("mlflow:tuned", by="time")["model"]) == ["Tuned (lr=0.125)", "Tuned (lr=0.25)"]
