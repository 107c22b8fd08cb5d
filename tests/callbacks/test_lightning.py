"""What Lightning keeps private, as it is read here: the contract tests hold Lightning to it in every schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from torchmetrics import MeanMetric

from lightning_pepr.callbacks import _lightning
from tests.helpers.loggers import Tuned
from tests.helpers.metrics import Kept
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


# What is logged and not yet computed


class Logs(Worker):
    """Logs in training under a name, and keeps what a callback sees and what Lightning makes of it."""

    def __init__(self, log: Any) -> None:
        super().__init__()
        self.log_it = log
        self.metric = MeanMetric()

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        self.log_it(self, index)
        return super().training_step(batch, index)


def as_object(module: Any, index: int, **options: Any) -> None:
    module.metric(index + 1.0)
    module.log("acc", module.metric, **options)


def as_value(module: Any, index: int, **options: Any) -> None:
    module.log("acc", index + 1.0, batch_size=index + 1, **options)


class Look(Callback):
    def __init__(self, *keys: str) -> None:
        self.keys = keys
        self.seen: list[list[Any]] = []
        self.published: list[dict[str, torch.Tensor]] = []
        self.logged: list[frozenset[str]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen.append([_lightning.pending(trainer, key, otherwise="nothing") for key in self.keys])
        self.published.append(dict(_lightning.published(trainer)))
        self.logged.append(_lightning.logged_keys(trainer))
        assert all(result._computed is None for result in trainer.fit_loop._results.values())
        self.seen[-1].append([trainer.callback_metrics.get(key) for key in self.keys])


@pytest.mark.parametrize("log", [as_object, as_value])
@pytest.mark.parametrize("on_step", [False, True])
@pytest.mark.parametrize("fx", ["mean", "max", "sum"])
def test_pending_is_what_lightning_makes(tmp_path: Path, log: Any, on_step: bool, fx: str) -> None:
    keys = ["acc", "acc_epoch", "acc_step"]
    look = Look(*keys)
    options = {"on_step": on_step, "on_epoch": True, "reduce_fx": fx}
    trainer(look, root=tmp_path, max_epochs=2).fit(Logs(lambda module, index: log(module, index, **options)))
    for *seen, lightnings in look.seen:
        named = lightnings[: 2 if on_step else 1]
        assert seen == [*named, *["nothing"] * (3 - len(named))]
        assert all(value is not None for value in named)
    assert "val_acc" in look.published[0]
    assert ("acc" in look.published[0]) is on_step, "of the last batch"
    assert look.logged[0] == {"val_acc", "val_loss", "acc"} | ({"acc_epoch", "acc_step"} if on_step else set())


def test_what_is_logged_on_steps_alone_is_published_and_not_pending(tmp_path: Path) -> None:
    look = Look("acc")
    module = Logs(lambda module, index: as_value(module, index, on_step=True, on_epoch=False))
    trainer(look, root=tmp_path, max_epochs=1).fit(module)
    assert look.seen[0][0] == "nothing"
    assert look.published[0]["acc"] == 4.0


@pytest.mark.filterwarnings("error:.*compute.*was called before")
def test_what_has_no_samples_is_not_there(tmp_path: Path) -> None:
    class Empty(Logs):
        def __init__(self) -> None:
            super().__init__(lambda module, index: None)
            self.kept = Kept()

        def on_train_epoch_start(self) -> None:
            self.log("mean", self.metric)
            self.log("kept", self.kept)

        def on_train_epoch_end(self) -> None:
            self.metric.update(0.5)
            self.kept.update(0.5)

    seen: list[Any] = []

    class Ask(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            seen.extend(_lightning.pending(trainer, key, otherwise=1.0) for key in ("mean", "kept"))

    run = trainer(Ask(), root=tmp_path, max_epochs=2)
    run.fit(Empty())
    assert seen == [None] * 4
    assert run.callback_metrics["mean"] == run.callback_metrics["kept"] == 0.5


def test_the_sanity_check_has_what_is_pending_of_each_loader(tmp_path: Path) -> None:
    class Two(Worker):
        def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> None:
            self.log("acc", (dataloader_idx + 1) / 4)

        def val_dataloader(self) -> Any:
            return [super().val_dataloader(), super().val_dataloader()]

    seen: list[Any] = []

    class Ask(Callback):
        def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if trainer.sanity_checking:
                assert not _lightning.published(trainer)
                keys = [f"acc/dataloader_idx_{loader}" for loader in range(2)]
                assert _lightning.logged_keys(trainer) == set(keys)
                seen.extend(_lightning.pending(trainer, key) for key in keys)

    trainer(Ask(), root=tmp_path, max_epochs=1).fit(Two())
    assert seen == [0.25, 0.5]


def test_what_is_put_is_where_lightning_has_its_own(tmp_path: Path) -> None:
    run = trainer(root=tmp_path)
    _lightning.put(run, {"a": torch.tensor(1.0)}, {"b": 2.0}, logged=False)
    assert run.callback_metrics.keys() == {"a"}
    assert run.progress_bar_metrics == {"b": 2.0}
    assert not run.logged_metrics
    _lightning.put(run, {"a": torch.tensor(1.0)}, {}, logged=True)
    assert run.logged_metrics.keys() == {"a"}
