"""The callbacks in a LightningCLI and in a Trainer of pytorch_lightning."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch.cli import LightningCLI

from lightning_pepr import ModelSpace, PePRCallback, RunRecord
from lightning_pepr.callbacks._lightning import callbacks_of
from lightning_pepr.meters import Meter, Part, Quality, Reading
from lightning_pepr.utilities.files import FILE_NAME
from tests.helpers.paths import ROOT
from tests.helpers.training import TRAIN_UJ, VALIDATE_UJ, Worker

SPACE = ModelSpace.budget(energy_kwh=1e-5)


EPOCH_UJ = 4 * TRAIN_UJ + 3 * VALIDATE_UJ


pytestmark = pytest.mark.filterwarnings("ignore")


class Configured(Worker):
    """A model whose arguments a configuration file can give."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.save_hyperparameters()


class Clockwork(Meter):
    """A user's meter: each look at it is some joules. jsonargparse asks for the protocol's signatures to the letter."""

    def __init__(self, step_j: float = 1.0) -> None:
        self.step_uj, self.looks = int(step_j * 1e6), 0

    def read(self, wait: bool = True) -> Reading:
        self.looks += 1
        return Reading(
            {"clock": Part(self.step_uj * self.looks, Quality.COUNTER)}, float(self.looks), float(self.looks)
        )

    def settle(self, reading: Reading, wait: bool = True) -> Reading:
        return reading

    def close(self) -> None: ...


def configuration(folder: Path, *callbacks: dict[str, Any], **options: Any) -> Path:
    """A configuration file as somebody writes it."""
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    logger = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": str(folder / "logs")}}
    plan = {"accelerator": "cpu", "max_epochs": 2, "logger": logger, **quiet, **options}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"trainer": {**plan, "callbacks": list(callbacks)}}))
    return path


def ours(**arguments: Any) -> dict[str, Any]:
    return {"class_path": "lightning_pepr.PePRCallback", "init_args": {"monitor": "val_acc", **arguments}}


def launch(*arguments: str, **options: Any) -> tuple[PePRCallback, RunRecord]:
    """What `python app.py fit …` does."""
    cli = LightningCLI(Configured, args=["fit", *arguments], **options)
    (callback,) = (c for c in callbacks_of(cli.trainer) if isinstance(c, PePRCallback))
    return callback, RunRecord.load(str(cli.trainer.log_dir))


BY_HAND = {"ranges": {"energy_kwh": [0.0, 0.1], "time_s": [1, 60]}, "source": "our lab"}


@pytest.mark.parametrize("space", [BY_HAND, {"class_path": "lightning_pepr.ModelSpace", "init_args": BY_HAND}])
def test_a_space_in_the_configuration(tmp_path: Path, space: dict[str, Any]) -> None:
    callback, record = launch("--config", str(configuration(tmp_path, ours(space=space))))
    expected = ModelSpace({"energy_kwh": (0, 0.1), "time_s": (1, 60)}, source="our lab")
    assert callback.space == expected
    assert record.space == expected.to_dict()
    assert set(record.epochs[-1].scores) == {"pepr_e", "pepr_t"}


def test_a_space_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SPACE.save(tmp_path / "space.json")
    monkeypatch.chdir(tmp_path)
    for path in (str(tmp_path / "space.json"), "space.json"):
        _, record = launch("--config", str(configuration(tmp_path, ours(space=path))))
        assert record.space == SPACE.to_dict()


def test_a_published_space_by_its_name(tmp_path: Path) -> None:
    _, record = launch("--config", str(configuration(tmp_path, ours(space="derma_small:clean"))))
    assert record.space == ModelSpace.published("derma_small", clean=True).to_dict()


def test_a_space_goes_by_its_name_or_file_in_python_too(tmp_path: Path) -> None:
    SPACE.save(tmp_path / "space.json")
    for path in (tmp_path / "space.json", str(tmp_path / "space.json")):
        assert PePRCallback("val_acc", space=path).space == SPACE
    assert PePRCallback("val_acc", space="lidc").space == ModelSpace.published("lidc")
    with pytest.raises(FileNotFoundError, match=r"no file 'spice.json' .* those are derma, "):
        PePRCallback("val_acc", space="spice.json")


def test_a_space_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no file 'spice.json' .* and no published space of that name"):
        launch("--config", str(configuration(tmp_path, ours(space="spice.json"))))


def test_no_space(tmp_path: Path) -> None:
    for arguments in ({}, {"space": None}):
        callback, record = launch("--config", str(configuration(tmp_path, ours(**arguments))))
        assert callback.space is None
        assert record.epochs[-1].scores == {}


def test_every_argument_from_the_configuration(tmp_path: Path) -> None:
    arguments = {
        "space": BY_HAND,
        "resources": ["energy", "T"],
        "test_monitor": "test_auroc",
        "meter": {"class_path": "tests.callbacks.test_launchers.Clockwork", "init_args": {"step_j": 2.5}},
        "carbon_intensity": 151,
        "pue": 1.2,
        "devices": [0, "GPU-5f"],
        "record": True,
        "prog_bar": False,
        "baseline": 0.1,
    }
    callback, record = launch("--config", str(configuration(tmp_path, ours(**arguments))))
    assert [resource.name for resource in callback.requested_resources or ()] == ["energy", "time"]
    assert (record.test_monitor, record.baseline) == ("test_auroc", 0.1)
    assert record.carbon == {"g_per_kwh": 151.0, "pue": 1.2, "source": "given"}
    joules = (record.costs["energy_kwh"].value or 0.0) * 3.6e6
    assert joules >= 10 * 2.5
    assert joules % 2.5 == pytest.approx(0, abs=1e-6)
    assert not callback.prog_bar


def test_a_budget_from_the_configuration(tmp_path: Path) -> None:
    limits = {"energy_kwh": 1e3, "time_s": 1e-6, "on": "predicted", "min_epochs": 1, "every_n_steps": 5}
    budget = {"class_path": "lightning_pepr.CostBudget", "init_args": limits}
    path = configuration(tmp_path, ours(), budget, max_epochs=5)  # options go to the last one
    _, record = launch("--config", str(path))
    assert len(record.epochs) == 1
    assert record.stopped.startswith("CostBudget ends the training after epoch 0: ")
    _, larger = launch("--config", str(path), "--trainer.callbacks.time_s=1e6")
    assert len(larger.epochs) == 5
    saved = next(tmp_path.rglob("version_0/config.yaml")).read_text()
    assert "lightning_pepr.CostBudget" in saved


def test_the_saved_configuration_trains_the_same_again(tmp_path: Path) -> None:
    first, record = launch("--config", str(configuration(tmp_path, ours(space=BY_HAND, carbon_intensity=50.0))))
    saved = tmp_path / "logs" / "lightning_logs" / "version_0" / "config.yaml"
    (written,) = yaml.safe_load(saved.read_text())["trainer"]["callbacks"]
    assert written["init_args"]["space"]["init_args"]["ranges"]["energy_kwh"] == [0.0, 0.1]
    assert written["init_args"]["resources"] is None
    again, repeated = launch("--config", str(saved))
    assert again.space == first.space
    assert repeated.carbon == record.carbon
    assert repeated.run_id != record.run_id, "but another run"


def test_options_on_the_command_line(tmp_path: Path) -> None:
    SPACE.save(tmp_path / "space.json")
    _, record = launch(
        "--config", str(configuration(tmp_path)),
        "--trainer.callbacks+=lightning_pepr.PePRCallback",
        "--trainer.callbacks.monitor=val_acc",
        f"--trainer.callbacks.space={tmp_path / 'space.json'}",
        "--trainer.callbacks.resources=[energy]",
        "--trainer.callbacks.devices=[0]",
    )  # fmt: skip
    assert record.space == SPACE.to_dict()


def test_an_app_that_always_meters(tmp_path: Path) -> None:
    """As Lightning's documentation has it for callbacks that are not to be left out."""

    class Metered(LightningCLI):
        def add_arguments_to_parser(self, parser: Any) -> None:
            parser.add_lightning_class_args(PePRCallback, "pepr")
            parser.set_defaults({"pepr.monitor": "val_acc"})

    arguments = ["fit", "--config", str(configuration(tmp_path)), "--pepr.space=derma_pt", "--pepr.baseline=0.1"]
    cli = Metered(Configured, args=arguments)
    record = RunRecord.load(str(cli.trainer.log_dir))
    assert record.space == ModelSpace.published("derma_pt").to_dict()
    assert record.baseline == 0.1


def test_a_callback_that_the_app_was_given(tmp_path: Path) -> None:
    callback = PePRCallback("val_acc", space=SPACE)
    found, record = launch("--config", str(configuration(tmp_path)), trainer_defaults={"callbacks": [callback]})
    assert found is callback
    assert record.space == SPACE.to_dict()


def test_help_tells_what_the_arguments_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        LightningCLI(Configured, args=["fit", "--trainer.callbacks.help=lightning_pepr.PePRCallback"])
    text = " ".join(capsys.readouterr().out.split())
    for argument in ("monitor", "space", "resources", "test_monitor", "carbon_intensity", "devices", "baseline"):
        assert f".{argument} " in text
    assert "The key of the performance: in [0, 1]" in text


APP = """
import sys
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LightningCLI
from torch.utils.data import DataLoader, TensorDataset


class Model(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.lr = torch.nn.Linear(2, 1), 0.1
    def training_step(self, batch, i): return self.layer(batch[0]).square().mean()
    def validation_step(self, batch, i): self.log("val_acc", torch.tensor(0.5), batch_size=1)
    def test_step(self, batch, i): self.log("test_acc", torch.tensor(0.25), batch_size=1)
    def configure_optimizers(self): return torch.optim.SGD(self.parameters(), self.lr)
    def train_dataloader(self): return DataLoader(TensorDataset(torch.randn(4, 2)))
    val_dataloader = test_dataloader = train_dataloader
"""


BY_TRAINER = """
from lightning_pepr import CostBudget, ModelSpace, PePRCallback

root = Path(sys.argv[1])

def trainer(folder, epochs, *others):
    pepr = PePRCallback("val_acc", space=ModelSpace.budget(energy_kwh=1), carbon_intensity=100.0)
    stop = pl.callbacks.EarlyStopping("pepr_e", mode="max", patience=50)
    loggers = [pl.loggers.CSVLogger(root / folder), pl.loggers.TensorBoardLogger(root / folder)]
    return pl.Trainer(max_epochs=epochs, accelerator="cpu", logger=loggers, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[stop, pepr, *others], log_every_n_steps=1)

keep = pl.callbacks.ModelCheckpoint(root / "ckpt", monitor="pepr_e", mode="max", filename="best", save_last=True)
first = trainer("a", 2, keep)
model = Model()
pl.tuner.Tuner(first).lr_find(model, num_training=3)
first.fit(model)
first.test(model, ckpt_path="best", verbose=False, weights_only=True)
second = trainer("b", 4)
second.fit(Model(), ckpt_path=root / "ckpt" / "last.ckpt", weights_only=True)
third = trainer("c", 4, CostBudget(time_s=1e-6), pl.callbacks.ModelCheckpoint(root / "third", save_last=True))
third.fit(Model())
assert (root / "third" / "last.ckpt").exists()
"""


def run_app(code: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", APP + code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.slow
def test_pytorch_lightning_s_trainer_tuner_callbacks_and_loggers(tmp_path: Path) -> None:
    run_app(BY_TRAINER, str(tmp_path))
    first, second, third = (RunRecord.load(next((tmp_path / name).rglob(FILE_NAME))) for name in "abc")
    assert [(e.epoch, e.step) for e in first.epochs] == [(0, 3), (1, 7)]
    assert (first.status, first.test_performance) == ("finished", 0.25)
    assert first.costs["data_samples"].value == 8, "what the tuner did is left out"
    assert second.run_id == first.run_id, "it was resumed"
    assert [e.epoch for e in second.epochs] == [0, 1, 2, 3]
    assert second.costs["data_samples"].value == 16
    header, *rows = next((tmp_path / "b").rglob("metrics.csv")).read_text().splitlines()
    column = header.split(",").index("pepr_e")
    assert sum(bool(row.split(",")[column]) for row in rows) == 3, "resumed after the first epoch, which scored best"
    assert len(third.epochs) == 1
    assert third.stopped.startswith("CostBudget ends the training after epoch 0: ")


@pytest.mark.slow
def test_pytorch_lightning_s_cli_takes_the_callbacks(tmp_path: Path) -> None:
    """It asks for subclasses of its own class."""
    path = configuration(tmp_path, ours(space=BY_HAND))
    path.write_text(path.read_text().replace("lightning.pytorch.loggers", "pytorch_lightning.loggers"))
    run_app("LightningCLI(Model)", "fit", "--config", str(path))
    record = RunRecord.load(tmp_path / "logs" / "lightning_logs" / "version_0")
    assert len(record.epochs) == 2
    assert record.space == ModelSpace.from_dict({"schema": "lightning-pepr/space/1", **BY_HAND}).to_dict()
