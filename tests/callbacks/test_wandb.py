"""Weights & Biases: axes, summaries, the config, and the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import WandbLogger

from lightning_pepr import PePRCallback, RunRecord
from tests.helpers.loggers import (
    COSTS,
    SCORES,
    SPACE,
    Tuned,
    fit,
    make_wandb,
    wandb_log,
)
from tests.helpers.training import Worker, WorkMeter, trainer


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
    scores = [epoch.known_scores["pepr_e"] for epoch in run.epochs]
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
