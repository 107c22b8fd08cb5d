"""What Lightning keeps private, as it is read here: the contract tests hold Lightning to it in every schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger

from lightning_pepr.callbacks import _lightning
from tests.helpers.loggers import Tuned
from tests.helpers.training import Worker, trainer


def test_a_callback_that_is_put_first_keeps_the_others_in_a_new_list(tmp_path: Path) -> None:
    first, second = Callback(), Callback()
    run = trainer(first, second, root=tmp_path)
    before = _lightning.callbacks_of(run)
    others = [each for each in before if each is not second]
    _lightning.put_first(run, second)
    assert _lightning.callbacks_of(run) == [second, *others]
    assert _lightning.callbacks_of(run) is not before


def test_fast_dev_run_is_debugging(tmp_path: Path) -> None:
    assert _lightning.is_debugging(trainer(root=tmp_path, fast_dev_run=2))
    assert not _lightning.is_debugging(trainer(root=tmp_path))


def test_the_step_is_that_of_lightnings_own_metrics(tmp_path: Path) -> None:
    steps: list[int] = []

    class Steps(Callback):
        def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if not trainer.sanity_checking:
                steps.append(_lightning.logged_step(trainer, epoch_ended=False))

        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            steps.append(_lightning.logged_step(trainer, epoch_ended=True))

    trainer(Steps(), root=tmp_path, max_epochs=2).fit(Worker())
    assert steps == [3, 3, 7, 7]


@pytest.mark.parametrize(
    ("callback", "options", "expected"),
    [
        (lambda: EarlyStopping("val_acc"), {}, False),
        (lambda: EarlyStopping("val_acc", check_on_train_epoch_end=False), {}, True),
        (lambda: ModelCheckpoint(monitor="val_acc", save_on_train_epoch_end=False), {}, True),
        (lambda: ModelCheckpoint(monitor="val_acc", save_on_train_epoch_end=True), {}, False),
        (Callback, {}, False),
    ],
)
def test_who_acts_late(tmp_path: Path, callback: Any, options: Any, expected: bool) -> None:
    made = callback()
    found: list[bool] = []

    class Ask(Callback):
        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            found.append(_lightning.acts_after_validation(trainer, made))

    trainer(made, Ask(), root=tmp_path, enable_checkpointing=True, max_epochs=1, **options).fit(Worker())
    assert found == [expected]


def test_a_metric_has_its_loggers_prefix(tmp_path: Path) -> None:
    assert _lightning.metric_name(CSVLogger(tmp_path), "pepr_e") == "pepr_e"
    assert _lightning.metric_name(TensorBoardLogger(tmp_path, prefix="a"), "pepr_e") == "a-pepr_e"


@pytest.mark.parametrize("options", [{}, {"sync_tensorboard": True}])
def test_wandb_may_take_tensorboards_steps(tmp_path: Path, options: dict[str, Any]) -> None:
    logger = WandbLogger(save_dir=tmp_path, offline=True, **options)
    assert _lightning.syncs_tensorboard(logger) is bool(options)


@pytest.mark.parametrize("placeholder", [True, False])
def test_whether_tensorboard_lists_a_placeholder(tmp_path: Path, placeholder: bool) -> None:
    logger = TensorBoardLogger(tmp_path, default_hp_metric=placeholder)
    assert _lightning.lists_placeholder(logger) is placeholder
    assert not _lightning.lists_placeholder(CSVLogger(tmp_path))


def test_the_hyperparameters_are_those_that_lightning_logs(tmp_path: Path) -> None:
    class Silent(Worker):
        def __init__(self, lr: float = 0.5) -> None:
            super().__init__()
            self.save_hyperparameters(logger=False)

    for module, expected in ((Tuned(), {"lr": 0.125, "optimizer": "sgd"}), (Silent(), {}), (Worker(), {})):
        run = trainer(root=tmp_path, fast_dev_run=True)
        run.fit(module)
        assert _lightning.hyperparameters_of(run) == expected
