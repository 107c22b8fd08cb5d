"""What version 0.1.0 left on disks still loads: its record, its space, its checkpoint, its configuration.

The three files here were written by that version, from a run of two epochs of `tests.helpers.training.Worker`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_pepr import CostBudget, ModelSpace, PePRCallback, RunRecord, load_runs
from tests.helpers.fits import check_stages
from tests.helpers.training import TRAIN_UJ, VALIDATE_UJ, Worker, WorkMeter, trainer

HERE = Path(__file__).parent
SPACE = ModelSpace.budget(energy_kwh=1e-5, time_s=60)


def test_a_record_is_written_back_as_it_was(tmp_path: Path) -> None:
    RunRecord.load(HERE / "record.json").save(tmp_path / "pepr.json")
    before, after = (json.loads(path.read_text()) for path in (HERE / "record.json", tmp_path / "pepr.json"))
    new = {"named": False, "hyperparameters": {}, "test_others": {}}
    assert after == {**before, **new, "epochs": [{**epoch, "others": {}} for epoch in before["epochs"]]}


def test_a_record_has_a_row_among_runs() -> None:
    runs = load_runs(HERE / "record.json")
    assert runs.select("model", "performance", "val_performance", "data_samples", "quality").rows() == [
        ("Worker", 0.6875, 0.5, 28.0, "counter")
    ]


def test_a_space_is_the_same() -> None:
    assert ModelSpace.load(HERE / "space.json") == SPACE


def test_a_checkpoint_goes_on_in_its_run(tmp_path: Path) -> None:
    """The state of the callback, inside of a checkpoint of today's Lightning."""
    module = Worker()
    checkpoint = ModelCheckpoint(dirpath=tmp_path, save_last=True)
    trainer(checkpoint, root=tmp_path, max_epochs=2, enable_checkpointing=True).fit(module)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    saved["callbacks"] |= json.loads((HERE / "state.json").read_text())
    torch.save(saved, tmp_path / "old.ckpt")

    module = Worker(performances=(0.75,))
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module), carbon_intensity=151.0)
    trainer(callback, root=tmp_path, max_epochs=3).fit(module, ckpt_path=tmp_path / "old.ckpt", weights_only=True)
    old, run = RunRecord.load(HERE / "record.json"), callback.run
    assert run is not None
    assert (run.run_id, run.started) == (old.run_id, old.started)
    assert [epoch.performance for epoch in run.epochs] == [0.25, 0.5, 0.75]
    assert run.epochs[:2] == old.epochs[:2]
    assert run.costs["data_samples"].value == 42
    check_stages(run, train=12 * TRAIN_UJ, validate=9 * VALIDATE_UJ)


@pytest.mark.parametrize(
    ("path", "arguments", "kind"),
    [
        ("lightning_pepr.PePRCallback", {"monitor": "val_acc", "space": str(HERE / "space.json")}, PePRCallback),
        ("lightning_pepr.CostBudget", {"energy_kwh": 0.5}, CostBudget),
    ],
)
def test_a_configuration_finds_classes(path: str, arguments: dict[str, Any], kind: type) -> None:
    parser = ArgumentParser()
    parser.add_subclass_arguments(kind, "callback")
    options = parser.parse_object({"callback": {"class_path": path, "init_args": arguments}})
    assert type(parser.instantiate(options).callback) is kind
