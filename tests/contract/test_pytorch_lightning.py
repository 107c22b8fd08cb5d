"""The other package: callbacks of `lightning.pytorch` in a trainer of `pytorch_lightning`."""

from __future__ import annotations

import pytest
from torch import nn

from tests.helpers.contract import (
    First,
    MakeTrainer,
    Tiny,
    callbacks_of,
    compare,
    of,
    writer,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers and loggers


def test_callbacks_work_in_a_pytorch_lightning_trainer(trainer_with: MakeTrainer) -> None:
    """Callbacks of `lightning.pytorch`, among those of the other package."""
    pl = pytest.importorskip("pytorch_lightning")
    calls: list[str] = []

    class Other(pl.LightningModule):  # type: ignore[misc, name-defined]
        training_step, validation_step = Tiny.training_step, Tiny.validation_step
        configure_optimizers = Tiny.configure_optimizers
        train_dataloader, val_dataloader = Tiny.train_dataloader, Tiny.val_dataloader

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 1)

        def _in(self, hook: str) -> None:
            if hook == "validation_step":
                self.log("val_acc", 0.5)

    fresh: list[tuple[int, bool]] = []
    stop = pl.callbacks.EarlyStopping("pepr_e", mode="max", stopping_threshold=0.15)
    trainer = trainer_with(
        stop,
        First("first", calls),
        compare("val_acc", "on_validation_start", "on_validation_end", fresh),
        writer(iter([0.1, 0.2, 0.3])),
        make=pl.Trainer,
        max_epochs=3,
    )
    trainer.fit(Other())
    assert stop._check_on_train_epoch_end is True
    assert stop.stopped_epoch == 1
    assert fresh == [(0, True), (1, True)]
    assert callbacks_of(trainer)[0].state_key == "first"
    assert of(calls, "setup", "on_train_end", "teardown") == ["first.setup", "first.on_train_end", "first.teardown"]
