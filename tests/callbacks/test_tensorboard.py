"""TensorBoard: scalars, the table of hyperparameters, and the picture."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from lightning_pepr import PePRCallback
from lightning_pepr.callbacks._loggers import CURVE, score_curve
from tests.helpers import servers
from tests.helpers.loggers import (
    COSTS,
    SCORES,
    SPACE,
    Tuned,
    fit,
)
from tests.helpers.training import Worker, WorkMeter, trainer


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
def test_a_server_shows_scalars_and_hyperparameters(placeholder: bool, tmp_path: Path) -> None:
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
            assert isinstance(self.logger, TensorBoardLogger)
            self.logger.log_hyperparams(dict(self.hparams), {"hp/own": 0.5})

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
    axes: Any = score_curve(run).axes[0]
    performance, energy, seconds, mark = axes.get_lines()
    assert list(performance.get_xdata()) == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert list(performance.get_ydata()) == [0.25, 0.875, 0.5, 0.5, 0.5, 0.5]
    assert list(energy.get_ydata()) == [epoch.scores["pepr_e"] for epoch in run.epochs]
    assert list(seconds.get_ydata()) == [epoch.scores["pepr_t"] for epoch in run.epochs]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (1.0, max(energy.get_ydata()))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["P (val_acc)", "PePR-E", "PePR-T"]


@pytest.mark.parametrize("missing", ["matplotlib", "space", "performance"])
def test_there_is_no_curve_where_there_is_none_to_draw(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if missing == "matplotlib":
        monkeypatch.setitem(sys.modules, "matplotlib", None)
    logger = TensorBoardLogger(tmp_path)
    module = Worker((0.5, 7.0) if missing == "performance" else (0.5,))
    callback = PePRCallback("val_acc", None if missing == "space" else SPACE, meter=WorkMeter(module))
    trainer(callback, root=tmp_path, logger=logger).fit(module)
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    assert events.Tags()["images"] == []
    assert not [warning for warning in recwarn if "did not take" in str(warning.message)]


@pytest.mark.slow
def test_a_trainer_and_a_logger_of_pytorch_lightning(tmp_path: Path) -> None:
    import pytorch_lightning as pl
    from pytorch_lightning.loggers import TensorBoardLogger as Theirs
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    class Module(pl.LightningModule):
        def __init__(self, lr: float = 0.125) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(2, 1)

        def training_step(self, batch: Any, index: int) -> Any:
            self.log("train_acc", torch.tensor(0.5), on_epoch=True, on_step=False, batch_size=4)
            return self.layer(batch[0]).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.01)

        train_dataloader = Worker.train_dataloader

    logger = Theirs(str(tmp_path))
    options: dict[str, Any] = {"enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}
    callback: Any = PePRCallback("train_acc", SPACE)
    pl.Trainer(max_epochs=2, logger=logger, callbacks=[callback], **options).fit(Module())
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    assert CURVE in events.Tags()["images"]
    assert [event.step for event in events.Scalars("pepr_t")] == [event.step for event in events.Scalars("train_acc")]
