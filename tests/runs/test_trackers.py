"""Runs read back from a real MLflow server and from W&B's offline runs, whole and broken."""

from __future__ import annotations

import csv
import importlib
import os
import signal
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from lightning.pytorch.loggers import MLFlowLogger, WandbLogger

from lightning_pepr import ModelSpace, PePRCallback, RunRecord, load_runs, rank
from lightning_pepr.cli import main
from lightning_pepr.cost import RESOURCES
from lightning_pepr.runs.metrics import from_metrics
from lightning_pepr.runs.mlflow import read_mlflow
from lightning_pepr.runs.table import COLUMNS
from lightning_pepr.runs.wandb import read_wandb
from tests.helpers import servers
from tests.helpers.paths import ROOT
from tests.helpers.training import Worker, WorkMeter, trainer

SPACE = ModelSpace.budget(energy_kwh=1e-5)
COSTS = [resource.field for resource in RESOURCES]
UNKNOWN = ["energy_kwh_error", "carbon_g_error", "gain", "quality", "device", "boards", "samples", "carbon_g"]
"""Columns that metrics do not tell."""


@pytest.fixture(scope="module", autouse=True)
def stop_wandb() -> Iterator[None]:
    """End W&B's own process, which takes the folder that it was started in for that of all later runs."""
    yield
    if "wandb" in sys.modules:
        importlib.import_module("wandb").teardown()


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """W&B and MLflow that reach nothing beyond this host, and leave nothing behind."""
    for name, value in {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}.items():
        monkeypatch.setenv(name, value)
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name, value in servers.QUIET.items():
        monkeypatch.setenv(name, value)
    if "mlflow" in sys.modules:  # what another test told it
        importlib.import_module("mlflow").set_tracking_uri(None)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    if "wandb" in sys.modules:
        importlib.import_module("wandb").finish()
    if "mlflow" in sys.modules:
        importlib.import_module("mlflow").set_tracking_uri(None)


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
    last = record.epochs[-1].cost
    assert {name: row[name] for name in COSTS if name != "carbon_g"} == {r.field: amount for r, amount in last.items()}
    assert [row[name] for name in UNKNOWN] == [None] * len(UNKNOWN), "unknown is null, never 0"
    assert (row["model"], row["run_id"]) == (record.model, record.run_id)
    assert row["val_performance"] == record.best.performance
    assert row["last_performance"] == record.last.performance
    assert row["performance"] == record.performance


# From metrics alone ---------------------------------------------------------------------------------------------------


class TestFromMetrics:
    TOLD: ClassVar = {
        "name": "lyrical-sky-1",
        "run_id": "abc",
        "status": "running",
        "started": "2026-01-01T00:00:00+00:00",
    }

    def test_costs_are_the_last_and_performance_is_that_of_evaluations(self) -> None:
        series = {
            "energy_kwh": {9: 0.1, 19: 0.2, 29: 0.3},
            "params": {9: 7.0, 19: 7.0, 29: 7.0},
            "pepr_e": {9: 0.4, 29: 0.3},
            "epoch": {9: 0.0, 14: 1.0, 19: 1.0, 29: 2.0},
            "val_acc": {9: 0.5, 14: 0.99, 29: 0.75},  # that of step 14 is of something else
            "test_acc": {30: 0.7},
        }
        facts = {"monitor": "val_acc", "test_monitor": "test_acc", "model": "resnet18", "run_id": "r1"}
        run = from_metrics(series, facts, **self.TOLD)  # type: ignore[arg-type]
        assert run is not None
        assert [(e.epoch, e.step, e.performance) for e in run.epochs] == [(0, 9, 0.5), (1, 19, None), (2, 29, 0.75)]
        assert [e.scores for e in run.epochs] == [{"pepr_e": 0.4}, {}, {"pepr_e": 0.3}]
        assert (run.cost.energy_kwh, run.params, run.test_performance) == (0.3, 7, 0.7)
        assert (run.model, run.run_id, run.status) == ("resnet18", "r1", "running")
        assert run.costs["energy_kwh"].error is None

    def test_without_facts_there_is_no_performance(self) -> None:
        run = from_metrics({"time_s": {0: 5.0}, "val_acc": {0: 0.5}}, {}, **self.TOLD)  # type: ignore[arg-type]
        assert run is not None
        assert (run.model, run.run_id, run.performance) == ("lyrical-sky-1", "abc", None)
        assert run.cost.energy_kwh is None

    def test_without_a_cost_there_is_no_run(self) -> None:
        assert from_metrics({"val_acc": {0: 0.5}}, {"monitor": "val_acc"}, **self.TOLD) is None  # type: ignore[arg-type]

    @pytest.mark.parametrize("value", [87.5, -0.1, float("nan")])
    def test_what_is_no_performance_is_none(self, value: float) -> None:
        series = {"time_s": {0: 5.0, 1: 6.0}, "val_acc": {0: 0.5, 1: value}}
        run = from_metrics(series, {"monitor": "val_acc"}, **self.TOLD)  # type: ignore[arg-type]
        assert run is not None
        assert [e.performance for e in run.epochs] == [0.5, None]

    def test_names_with_a_prefix_and_characters_that_mlflow_leaves_out(self) -> None:
        series = {"a-time_s": {0: 5.0}, "a-valacc": {0: 0.5}, "time_s": {0: 9.0}}
        run = from_metrics(series, {"monitor": "val:acc", "prefix": "a-"}, **self.TOLD)  # type: ignore[arg-type]
        assert run is not None
        assert (run.cost.time_s, run.performance) == (5.0, 0.5)


# MLflow ---------------------------------------------------------------------------------------------------------------


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
def test_a_run_that_left_no_record_is_told_by_its_metrics(server: str, tmp_path: Path) -> None:
    logger = MLFlowLogger("metrics", tracking_uri=server, prefix="a")
    record = run_of(Named("bare"), tmp_path, logger, test=True, record=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        (row,) = load_runs("mlflow:metrics").rows(named=True)
    check_row_of_metrics(row, record)
    assert row["status"] == "finished"
    assert row["performance"] == 0.6875


@pytest.mark.slow
def test_a_record_that_was_deleted_is_a_warning_and_metrics_are_taken(server: str, tmp_path: Path) -> None:
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


def test_a_store_that_mlflow_refuses_is_told_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store.db").write_text("this is no database", encoding="utf-8")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store.db")
    with pytest.raises(ConnectionError, match=r"store at sqlite:.*store\.db cannot be read: .*not a database"):
        load_runs("mlflow:nodules")


def test_a_server_that_cannot_be_reached_is_told_at_once_without_its_password(
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


# Weights & Biases -----------------------------------------------------------------------------------------------------


def make_wandb(root: Path, **options: Any) -> WandbLogger:
    root.mkdir(parents=True, exist_ok=True)
    return WandbLogger(save_dir=root, offline=True, project="nodules", **options)


def finished(logger: WandbLogger) -> Path:
    """The folder of a run that has ended."""
    folder = Path(logger.experiment.dir).parent
    logger.experiment.finish()
    servers.wandb_entries(folder)
    return folder


@pytest.mark.slow
def test_a_folder_of_offline_runs_is_loaded_and_ranked(tmp_path: Path) -> None:
    records, sources = [], []
    for model, *performances in [("small", 0.5, 0.75), ("large", 0.625, 0.875)]:
        logger = make_wandb(tmp_path)
        # Records beside them are not what is looked at here.
        records.append(run_of(Named(str(model), *performances), tmp_path, logger, test=True))
        sources.append(str(finished(logger) / "files" / "pepr.json"))
    expected = [whole_row(*pair) for pair in zip(records, sources, strict=True)]
    runs = load_runs(tmp_path / "wandb")
    assert sorted(runs.rows(named=True), key=lambda row: row["source"]) == sorted(expected, key=lambda r: r["source"])
    assert len(load_runs(tmp_path)) == 2, "with the records beside them they count once"
    assert load_runs(Path(sources[0]).parents[1])["model"].to_list() == ["small"], "a single run"
    assert set(rank(tmp_path / "wandb", by="time")["model"]) == {"small", "large"}
    ranking = tmp_path / "ranking.json"
    assert main(["rank", str(tmp_path / "wandb"), "--by", "time", "--output", str(ranking)]) == 0
    assert "large" in ranking.read_text(encoding="utf-8")


@pytest.mark.slow
def test_an_offline_run_that_left_no_record_is_told_by_its_log(tmp_path: Path) -> None:
    logger = make_wandb(tmp_path, prefix="a")
    record = run_of(Named("bare"), tmp_path / "elsewhere", logger, test=True, record=False)
    folder = finished(logger)
    (row,) = load_runs(tmp_path / "wandb").rows(named=True)
    check_row_of_metrics(row, record)
    assert row["status"] == "finished"
    assert row["source"] == str(folder / f"run-{logger.version}.wandb")


@pytest.mark.slow
def test_a_log_of_many_blocks_is_read_whole(tmp_path: Path) -> None:
    """Entries that are longer than a block of 32 KiB, and thousands that meet its end in every way."""
    logger = make_wandb(tmp_path)
    logger.experiment.config.update({"pepr": {"monitor": "val_acc", "model": "m"}, "long": "x" * 100_000})
    for step in range(3000):
        logger.log_metrics({"time_s": step + 0.5, "val_acc": step / 3000, "note": float(step)}, step)
    folder = finished(logger)
    (path,) = folder.glob("*.wandb")
    assert path.stat().st_size > 10 * 32768
    run = read_wandb(path)
    assert [epoch.step for epoch in run.epochs] == list(range(3000))
    assert [epoch.cost.time_s for epoch in run.epochs] == [step + 0.5 for step in range(3000)]
    assert [epoch.performance for epoch in run.epochs] == [step / 3000 for step in range(3000)]


@pytest.mark.slow
def test_broken_logs_in_a_folder_are_named_and_left_out(tmp_path: Path) -> None:
    folders = {}
    for name in ("good", "flipped", "cut", "empty", "foreign"):
        logger = make_wandb(tmp_path, name=name)
        if name == "foreign":
            logger.log_metrics({"val_acc": 0.5}, 0)
        else:
            run_of(Named(name), tmp_path / "elsewhere", logger, record=False)
        folders[name] = finished(logger)
    logs = {name: next(folder.glob("*.wandb")) for name, folder in folders.items()}
    data = bytearray(logs["flipped"].read_bytes())
    data[len(data) // 2] ^= 1
    logs["flipped"].write_bytes(data)
    logs["cut"].write_bytes(logs["cut"].read_bytes()[:-40])
    logs["empty"].write_bytes(b"")
    with pytest.warns(UserWarning, match="3 of 5 records in .* cannot be read and are left out") as caught:
        runs = load_runs(tmp_path / "wandb")
    message = str(caught[0].message)
    for name, why in [("flipped", "is damaged at byte"), ("empty", "does not begin with"), ("foreign", "has no cost")]:
        (line,) = [line for line in message.splitlines() if str(logs[name]) in line]
        assert why in line
    assert dict(zip(runs["model"], runs["status"], strict=True)) == {"good": "finished", "cut": "running"}
    for name in ("good", "cut"):
        logs[name].unlink()
    with pytest.raises(ValueError, match=r"holds no run \(none of the 3 records in it can be read"):
        load_runs(tmp_path / "wandb")


def test_a_log_of_a_sane_frame_and_broken_contents(tmp_path: Path) -> None:
    data = b"\xff" * 20
    frame = struct.pack("<IHB", zlib.crc32(data, zlib.crc32(b"\x01")), len(data), 1)
    path = tmp_path / "run-x.wandb"
    path.write_bytes(b":W&B\xe1\xbe\x00" + frame + data)
    with pytest.raises(ValueError, match=r"run-x\.wandb is not a log of a W&B run"):
        read_wandb(path)


KILLED = """
import os, signal, sys
from pathlib import Path
from lightning.pytorch.loggers import MLFlowLogger, WandbLogger
from lightning_pepr import ModelSpace, PePRCallback
from tests.helpers.training import Worker, WorkMeter, trainer

class Killed(Worker):
    def training_step(self, batch, index):
        if self.global_step == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().training_step(batch, index)

root = Path(sys.argv[1])
loggers = [
    MLFlowLogger("killed", tracking_uri=f"sqlite:///{root}/store.db", artifact_location=str(root / "artifacts")),
    WandbLogger(save_dir=root, offline=True, settings={"x_transaction_log_flush_interval": 0.1}),
]
module = Killed()
callback = PePRCallback("val_acc", ModelSpace.budget(energy_kwh=1e-5), meter=WorkMeter(module), record=False)
trainer(callback, root=root, logger=loggers, log_every_n_steps=1).fit(module)
"""


@pytest.mark.slow
def test_a_run_that_was_killed_is_told_by_what_it_had_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store.db")
    for source in ("mlflow:killed", tmp_path / "wandb"):
        (row,) = load_runs(source).rows(named=True)
        assert (row["status"], row["model"]) == ("running", "Killed")
        assert (row["data_samples"], row["val_performance"], row["quality"]) == (28.0, 0.5, None)


# Without the extras ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_missing_extra_is_told_with_its_pip_line(package: str, tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "run-x.wandb").write_bytes(b":W&B\xe1\xbe\x00")
    source = "mlflow:nodules" if package == "mlflow" else str(tmp_path)
    code = (
        f"import sys; sys.modules[{package!r}] = None\nfrom lightning_pepr.cli import main\nmain(['rank', {source!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert f"needs {package}: pip install 'lightning-pepr[{package}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_columns_are_those_of_any_run() -> None:
    assert {*UNKNOWN, *COSTS} <= set(COLUMNS)
