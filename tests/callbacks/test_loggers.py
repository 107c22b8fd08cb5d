"""What each kind of logger shows of a run, read back as its user would see it."""

from __future__ import annotations

import csv
import importlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from lightning_pepr import ModelSpace, PePRCallback, RunRecord
from lightning_pepr.callbacks._tensorboard import CURVE, score_curve
from tests.helpers import servers
from tests.helpers.training import Worker, WorkMeter, trainer

SPACE = ModelSpace.budget(energy_kwh=1e-5, time_s=60)
SCORES = ["pepr_e", "pepr_t"]
COSTS = ["energy_kwh", "time_s", "memory_gb", "data_samples", "params"]


class Tuned(Worker):
    """A module with hyperparameters."""

    def __init__(self, lr: float = 0.125, optimizer: str = "sgd", **rest: Any) -> None:
        super().__init__(**rest)
        self.save_hyperparameters("lr", "optimizer")


class TrainingOnly(Worker):
    """A module whose performance is that in training."""

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        self.log("train_acc", torch.tensor(index / 8), on_step=False, on_epoch=True, batch_size=4)
        return super().training_step(batch, index)


def fit(module: Worker, root: Path, *loggers: Logger, monitor: str = "val_acc", **options: Any) -> PePRCallback:
    callback = PePRCallback(monitor, SPACE, meter=WorkMeter(module), record=options.pop("record", True))
    trainer(callback, root=root, logger=list(loggers), log_every_n_steps=1, **options).fit(module)
    return callback


@pytest.fixture(scope="module", autouse=True)
def stop_wandb() -> Iterator[None]:
    """End W&B's own process, which takes the folder that it was started in for that of all later runs."""
    yield
    if "wandb" in sys.modules:
        importlib.import_module("wandb").teardown()


@pytest.fixture
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
    yield
    if "wandb" in sys.modules:
        importlib.import_module("wandb").finish()
    if "mlflow" in sys.modules:
        importlib.import_module("mlflow").set_tracking_uri(None)


def make_mlflow(root: Path, **options: Any) -> MLFlowLogger:
    artifacts = options.pop("artifact_location", (root / "artifacts").as_uri())
    return MLFlowLogger("nodules", tracking_uri=f"sqlite:///{root}/store.db", artifact_location=artifacts, **options)


def make_wandb(root: Path, **options: Any) -> WandbLogger:
    return WandbLogger(save_dir=root, offline=True, project="nodules", name="first", **options)


MAKE: dict[str, Callable[[Path], Logger]] = {
    "csv": lambda root: CSVLogger(root, "csv"),
    "tensorboard": lambda root: TensorBoardLogger(root, "tb"),
    "mlflow": make_mlflow,
    "wandb": make_wandb,
}

Values = dict[str, list[tuple[int, float]]]
"""For each metric the steps and values, in the order in which they were logged."""


def logged(logger: Any) -> Values:
    """What a logger has, by its own means of reading."""
    found: Values = defaultdict(list)
    if isinstance(logger, CSVLogger):
        with open(Path(logger.log_dir) / "metrics.csv", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for key, value in row.items():
                    if value and key != "step":
                        found[key].append((int(row["step"]), float(value)))
    elif isinstance(logger, TensorBoardLogger):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(logger.log_dir, size_guidance={"scalars": 0})
        events.Reload()
        for key in events.Tags()["scalars"]:
            found[key] = [(event.step, event.value) for event in events.Scalars(key)]
    elif isinstance(logger, MLFlowLogger):
        client = logger.experiment
        for key in client.get_run(logger.run_id).data.metrics:
            found[key] = [(point.step, point.value) for point in client.get_metric_history(logger.run_id, key)]
    else:
        for kind, entry in wandb_log(logger):
            if kind == "history":
                row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in entry.item}
                for key, value in row.items():
                    found[key].append((row["trainer/global_step"], value))
    return found


def wandb_log(logger: WandbLogger) -> list[tuple[str, Any]]:
    """The entries of the log of an offline run, once it is finished."""
    folder = Path(logger.experiment.dir).parent
    logger.experiment.finish()
    return servers.wandb_entries(folder)


# On one axis with the user's own metrics ------------------------------------------------------------------------------

SCHEDULES: dict[str, dict[str, Any]] = {
    "each epoch": {},
    "twice an epoch": {"val_check_interval": 0.5},
    "every second epoch": {"check_val_every_n_epoch": 2, "max_epochs": 4},
    "accumulating": {"accumulate_grad_batches": 2},
    "in training": {"monitor": "train_acc"},
    "in training without validation": {"monitor": "train_acc", "limit_val_batches": 0},
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    "kind", ["csv", "tensorboard", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("mlflow", "wandb"))]
)
@pytest.mark.usefixtures("offline")
def test_scores_are_at_the_steps_of_the_users_metric_once_each(kind: str, schedule: str, tmp_path: Path) -> None:
    options = {"monitor": "val_acc", **SCHEDULES[schedule]}
    logger = MAKE[kind](tmp_path)
    module = TrainingOnly() if options["monitor"] == "train_acc" else Worker()
    run = fit(module, tmp_path, logger, **options).run
    assert run is not None
    values = logged(logger)
    own = values[options["monitor"]]
    assert len(own) == {"twice an epoch": 6, "every second epoch": 2}.get(schedule, 3)
    assert [value for _, value in own] == pytest.approx([epoch.performance for epoch in run.evaluations])
    for key in SCORES:
        assert [step for step, _ in values[key]] == [step for step, _ in own], f"{key} is not at the steps of its P"
        expected = [epoch.scores[key] for epoch in run.evaluations]
        assert [value for _, value in values[key]] == pytest.approx(expected, rel=1e-6), "TensorBoard has 32 bits"
    for key in COSTS:
        steps = [step for step, _ in values[key]]
        assert steps == [epoch.step for epoch in run.epochs], f"{key} is logged once an evaluation"
        assert steps == sorted(set(steps))
        assert set(steps) >= {step for step, _ in own}
    told = [(epoch.step, epoch.forecasts["time_s"]["expected"]) for epoch in run.epochs if epoch.forecasts]
    assert len(told) == options.get("max_epochs", 3) - 1, "once at the end of each epoch but the first"
    assert [step for step, _ in values["forecast_time_s"]] == [step for step, _ in told]
    assert [value for _, value in values["forecast_time_s"]] == pytest.approx([value for _, value in told], rel=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_several_loggers_at_once_are_told_the_same(tmp_path: Path) -> None:
    loggers = [make(tmp_path) for make in MAKE.values()]
    run = fit(Tuned(), tmp_path, *loggers).run
    assert run is not None
    read = [logged(logger) for logger in loggers]
    for key in [*COSTS, *SCORES]:
        for values in read:
            assert [step for step, _ in values[key]] == [epoch.step for epoch in run.epochs] == [3, 7, 11]
            assert [value for _, value in values[key]] == pytest.approx([value for _, value in read[0][key]], rel=1e-6)
    (record,) = tmp_path.glob("wandb/offline-run-*/files/pepr.json")
    (artifact,) = tmp_path.glob("artifacts/*/artifacts/pepr.json")
    (beside_csv,) = tmp_path.glob("csv/*/pepr.json")
    records = [RunRecord.load(path) for path in (record, artifact, beside_csv)]
    assert [other.run_id for other in records] == [run.run_id] * 3
    assert [other.costs for other in records] == [run.costs] * 3


def test_no_logger_is_needed_and_unknown_ones_are_left_alone(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    class Other(Logger):
        name, version, experiment = "other", "0", None  # which has nothing that could be told

        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            seen.append((step, "pepr_e" in metrics))

        def log_hyperparams(self, params: Any) -> None: ...

    seen: list[tuple[int | None, bool]] = []
    assert fit(Worker(), tmp_path / "none").run is not None
    fit(Worker(), tmp_path / "other", Other())
    assert [step for step, ours in seen if ours] == [3, 7, 11]
    assert not [warning for warning in recwarn if "did not take" in str(warning.message)]


# TensorBoard ----------------------------------------------------------------------------------------------------------


def session_groups(address: str) -> list[dict[str, Any]]:
    """The rows of the table of hyperparameters, as the page asks for them."""
    wanted = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [],
        "startIndex": 0,
        "sliceSize": 100,
    }
    answer = json.loads(servers.ask(f"{address}/data/plugin/hparams/session_groups", wanted))
    return list(answer["sessionGroups"])


def wait_for(ask: Callable[[], Any]) -> Any:
    """Ask until there is an answer: a server reads its logs behind the scenes."""
    until = time.monotonic() + 60
    while not (answer := ask()) and time.monotonic() < until:
        time.sleep(0.1)
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("placeholder", [True, False], ids=["with hp_metric", "without"])
def test_a_tensorboard_server_shows_scalars_the_curve_and_hyperparameters(placeholder: bool, tmp_path: Path) -> None:
    logs = tmp_path / "tb"
    runs = {}
    for name, lr in [("version_0", 0.125), ("version_1", 0.25)]:
        logger = TensorBoardLogger(tmp_path, "tb", default_hp_metric=placeholder)
        module = Tuned(lr, performances=(lr, 2 * lr))
        runs[name] = fit(module, tmp_path, logger, val_check_interval=0.5).run
    with servers.tensorboard(logs, tmp_path / "server") as address:
        data = f"{address}/data/plugin"
        rows = wait_for(lambda: len(found := session_groups(address)) == 2 and found)
        tags = json.loads(servers.ask(f"{data}/scalars/tags"))
        images = json.loads(servers.ask(f"{data}/images/tags"))
        for name, run in runs.items():
            assert run is not None
            assert tags[name].keys() >= {"val_acc", *SCORES, *COSTS}
            assert images[name].keys() == {CURVE}
            served = {
                key: json.loads(servers.ask(f"{data}/scalars/scalars?run={name}&tag={key}"))
                for key in ("val_acc", *SCORES, *COSTS)
            }
            for key, points in served.items():
                assert [step for _, step, _ in points] == [1, 3, 5, 7, 9, 11], key
            for key in SCORES:
                values = [value for *_, value in served[key]]
                assert values == pytest.approx([epoch.scores[key] for epoch in run.epochs])
            (image,) = json.loads(servers.ask(f"{data}/images/images?run={name}&tag={CURVE}&sample=0"))
            assert image["step"] == 11
            png = servers.ask(f"{data}/images/individualImage?blob_key={image['query'].partition('=')[2]}")
            assert png.startswith(b"\x89PNG")
        columns = json.loads(servers.ask(f"{data}/hparams/experiment", {"experimentName": "", "includeMetrics": True}))
        assert {column["name"] for column in columns["hparamInfos"]} == {"lr", "optimizer"}
        shown = {column["name"]["tag"] for column in columns["metricInfos"]}
        assert shown >= {"val_acc", *SCORES, *COSTS}
        assert ("hp_metric" in shown) is placeholder
        assert {row["hparams"]["lr"] for row in rows} == {0.125, 0.25}
        for row in rows:
            run = runs[row["sessions"][0]["name"]]
            assert run is not None
            final = {value["name"]["tag"]: value["value"] for value in row["metricValues"]}
            assert final["pepr_e"] == pytest.approx(run.epochs[-1].scores["pepr_e"])
            assert final["energy_kwh"] == pytest.approx(run.costs["energy_kwh"].value)
            assert final["val_acc"] == run.epochs[-1].performance == 2 * row["hparams"]["lr"]


def test_a_users_own_table_of_hyperparameters_stays(tmp_path: Path) -> None:
    """Lightning's recipe for more columns: `default_hp_metric=False`, and `log_hyperparams` with metrics."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    class Own(Tuned):
        def on_train_start(self) -> None:
            self.logger.log_hyperparams(self.hparams, {"hp/own": 0.5})

    logger = TensorBoardLogger(tmp_path, default_hp_metric=False)
    fit(Own(), tmp_path, logger)
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    content = events.SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    columns = metadata.parse_experiment_plugin_data(content)
    assert [column.name.tag for column in columns.metric_infos] == ["hp/own"]


def test_the_curve_has_p_and_scores_and_marks_the_first_scores_maximum(tmp_path: Path) -> None:
    run = fit(Worker((0.25, 0.875, 0.5)), tmp_path, val_check_interval=0.5).run
    assert run is not None
    axes = score_curve(run).axes[0]
    performance, energy, seconds, mark = axes.get_lines()
    assert list(performance.get_xdata()) == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert list(performance.get_ydata()) == [0.25, 0.875, 0.5, 0.5, 0.5, 0.5]
    assert list(energy.get_ydata()) == [epoch.scores["pepr_e"] for epoch in run.epochs]
    assert list(seconds.get_ydata()) == [epoch.scores["pepr_t"] for epoch in run.epochs]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (1.0, max(energy.get_ydata()))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["P (val_acc)", "PePR-E", "PePR-T"]


@pytest.mark.parametrize("missing", ["matplotlib", "space", "scores"])
def test_there_is_no_curve_where_there_is_none_to_draw(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if missing == "matplotlib":
        monkeypatch.setitem(sys.modules, "matplotlib", None)
    logger = TensorBoardLogger(tmp_path)
    module = Worker((0.5, 7.0) if missing == "scores" else (0.5,))
    callback = PePRCallback("val_acc", None if missing == "space" else SPACE, meter=WorkMeter(module))
    trainer(callback, root=tmp_path, logger=logger).fit(module)
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    assert events.Tags()["images"] == ([CURVE] if missing == "scores" else []), "what was scored is drawn"
    assert not [warning for warning in recwarn if "did not take" in str(warning.message)]


@pytest.mark.slow
def test_a_trainer_and_a_logger_of_pytorch_lightning_are_told_too(tmp_path: Path) -> None:
    import pytorch_lightning as pl
    from pytorch_lightning.loggers import TensorBoardLogger as Theirs
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    class Module(pl.LightningModule):
        def __init__(self, lr: float = 0.125) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(2, 1)

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            self.log("train_acc", torch.tensor(0.5), on_epoch=True, on_step=False, batch_size=4)
            return self.layer(batch[0]).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.01)

        train_dataloader = Worker.train_dataloader

    logger = Theirs(str(tmp_path))
    options: dict[str, Any] = {"enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}
    callback = PePRCallback("train_acc", SPACE)
    pl.Trainer(max_epochs=2, logger=logger, callbacks=[callback], **options).fit(Module())
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    assert CURVE in events.Tags()["images"]
    assert [event.step for event in events.Scalars("pepr_t")] == [event.step for event in events.Scalars("train_acc")]


# Weights & Biases -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "nodules"])
@pytest.mark.usefixtures("offline")
def test_wandb_has_axes_summaries_config_and_the_record(prefix: str, tmp_path: Path) -> None:
    logger = make_wandb(tmp_path, prefix=prefix)
    module = Tuned(performances=(0.5, 0.75, 0.25))
    callback = PePRCallback("val_acc", SPACE, meter=WorkMeter(module))
    fitter = trainer(callback, root=tmp_path, logger=logger, log_every_n_steps=1)
    fitter.fit(module)
    fitter.test(module, verbose=False)
    run = callback.run
    assert run is not None
    folder = Path(logger.experiment.dir)
    entries = wandb_log(logger)
    name = f"{prefix}-{{}}".format if prefix else str

    defined = {entry.name: entry for kind, entry in entries if kind == "metric" and entry.name}
    for key in [*SCORES, *COSTS]:
        assert defined[name(key)].step_metric == "trainer/global_step"
        assert defined[name(key)].options.step_sync
        assert (defined[name(key)].summary.max, defined[name(key)].summary.last) == (key in SCORES, key in COSTS)

    summary: dict[str, Any] = {}
    config: dict[str, Any] = {}
    for kind, entry in entries:
        if kind in ("summary", "config"):
            changed = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in entry.update}
            (summary if kind == "summary" else config).update(changed)
    scores = [epoch.scores["pepr_e"] for epoch in run.epochs]
    assert summary[name("pepr_e")] == {"max": max(scores)} != {"max": scores[-1]}
    assert summary[name("energy_kwh")] == {"last": run.epochs[-1].cost.energy_kwh}
    assert summary["pepr"] == {"status": "finished", "performance": 0.6875, "quality": "counter", "device": ""}
    assert config["lr"] == 0.125
    assert config["pepr"] == {
        "run_id": run.run_id,
        "model": "Tuned",
        "monitor": "val_acc",
        "test_monitor": "test_acc",
        "prefix": name(""),
    }
    assert [file.path for kind, entry in entries if kind == "files" for file in entry.files].count("pepr.json") == 2
    assert RunRecord.load(folder / "pepr.json").test_performance == 0.6875


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_disabled_wandb_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    logger = WandbLogger(save_dir=tmp_path)
    assert fit(Worker(), tmp_path, logger).run is not None
    assert not [warning for warning in recwarn if "did not take" in str(warning.message)]


# MLflow ---------------------------------------------------------------------------------------------------------------


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


# How a run ends -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_a_run_that_fails_leaves_its_record_too(tmp_path: Path) -> None:
    loggers = [make_mlflow(tmp_path), make_wandb(tmp_path), TensorBoardLogger(tmp_path, "tb")]
    with pytest.raises(RuntimeError, match="broken"):
        fit(Worker(fail_at=9, error=RuntimeError("broken")), tmp_path, *loggers)
    (file,) = tmp_path.glob("wandb/offline-run-*/files/pepr.json")
    (artifact,) = tmp_path.glob("artifacts/*/artifacts/pepr.json")
    for record in (RunRecord.load(file), RunRecord.load(artifact)):
        assert (record.status, len(record.epochs)) == ("failed", 2)
    tags = loggers[0].experiment.get_run(loggers[0].run_id).data.tags
    assert tags["pepr.status"] == "failed"
    assert "wandb" in sys.modules


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_without_a_record_there_is_none_anywhere(tmp_path: Path) -> None:
    logger = make_mlflow(tmp_path)
    fit(Worker(), tmp_path, logger, make_wandb(tmp_path), record=False)
    assert not list(tmp_path.rglob("pepr.json"))
    tags = logger.experiment.get_run(logger.run_id).data.tags
    assert "pepr.record" not in tags
    assert tags["pepr.model"] == "Worker"


def test_fast_dev_run_tells_loggers_nothing(tmp_path: Path) -> None:
    fit(Worker(), tmp_path, TensorBoardLogger(tmp_path, "tb"), fast_dev_run=True)
    assert not list(tmp_path.iterdir())
