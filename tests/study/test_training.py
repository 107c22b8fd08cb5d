"""One model, trained for real: what it leaves, and what it does not touch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_pepr import ModelSpace, RunRecord
from lightning_pepr.study import training
from lightning_pepr.study.data.nodules import NoduleData
from lightning_pepr.study.runs import Model, Run
from lightning_pepr.study.settings import Settings

pytestmark = pytest.mark.slow

SMALLEST = "test_resnet.r160_in1k"


def train(
    data: NoduleData,
    out: Path,
    *,
    seed: int = 0,
    callbacks: Sequence[Callback] = (),
    on_progress: training.OnProgress | None = None,
    **settings: Any,
) -> Path:
    run = Run(Settings("lidc", **{"epochs": 2, "accelerator": "cpu", **settings}), Model(SMALLEST, SMALLEST, 32), seed)
    return training.train(run, data, out, callbacks=callbacks, on_progress=on_progress)


def test_it_leaves_record_logs_and_the_best_checkpoint(
    few: NoduleData, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    seen: list[tuple[float, int, int]] = []

    def on_progress(*progress: Any) -> None:
        seen.append(progress)

    space = tmp_path / "space.json"
    ModelSpace.budget(energy_kwh=0.01, time_s=600).save(space)
    folder = train(
        few, tmp_path, space=str(space), carbon_intensity=151.0, on_progress=lambda *progress: seen.append(progress)
    )

    record = RunRecord.load(folder)
    assert folder == tmp_path / SMALLEST / "version_0"
    assert record.status == "finished"
    assert record.model == SMALLEST
    assert len(record.epochs) == 2
    assert record.cost.energy_kwh is not None
    assert record.cost.carbon_g == pytest.approx(record.cost.energy_kwh * 151.0)
    assert record.cost.data_samples == 2 * 4 * 64
    assert {"pepr_e", "pepr_t"} <= set(record.epochs[-1].scores)
    assert record.test_performance is not None
    assert 0 < record.test_performance <= 1
    assert record.test_monitor == "test_auroc"

    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    assert {"train_loss", "val_loss", "val_auroc", "test_auroc", "pepr_e", "energy_kwh"} <= set(header.split(","))
    assert len(rows) >= 2
    assert list(folder.glob("events.out.tfevents.*"))
    (checkpoint,) = (folder / "checkpoints").iterdir()
    assert record.best is not None
    assert f"epoch={record.best.epoch}-" in checkpoint.name

    shares = [share for share, _, _ in seen]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 1
    assert {(epoch, epochs) for _, epoch, epochs in seen} == {(1, 2), (2, 2)}
    assert not [str(warning.message) for warning in recwarn if "DataLoader" in str(warning.message)]


def test_the_same_seed_gives_the_same_run(few: NoduleData, tmp_path: Path) -> None:
    """And the random state of the process is left as it was."""
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    folders = [train(few, tmp_path, seed=seed, epochs=1) for seed in (0, 0, 1)]
    assert torch.equal(torch.rand(3), expected)
    assert [folder.name for folder in folders] == ["version_0", "version_1", "version_2"]
    first, again, other = (RunRecord.load(folder).test_performance for folder in folders)
    assert first == pytest.approx(again, abs=1e-6)
    assert first != other


def test_the_best_epoch_is_tested_not_the_last(few: NoduleData, tmp_path: Path) -> None:
    class Spoil(Callback):
        """Undoes all learning after the first epoch."""

        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if trainer.current_epoch:
                for parameter in pl_module.parameters():
                    torch.nn.init.zeros_(parameter)

    record = RunRecord.load(train(few, tmp_path, callbacks=[Spoil()]))
    assert record.best is not None
    assert record.best.epoch == 0
    assert record.epochs[1].performance == pytest.approx(0.5, abs=0.1)
    assert record.test_performance is not None
    assert record.test_performance > (record.epochs[1].performance or 0.0) + 0.05


def test_ctrl_c_is_an_interrupt(few: NoduleData, tmp_path: Path) -> None:
    """It is no exit, and works again afterwards."""
    import signal

    class Interrupt(Callback):
        def on_train_batch_end(self, trainer: Trainer, *args: object, **kwargs: object) -> None:
            if trainer.current_epoch == 1:
                signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(few, tmp_path, callbacks=[Interrupt()])
    assert signal.getsignal(signal.SIGINT) == handler
    record = RunRecord.load(tmp_path / SMALLEST / "version_0")
    assert record.status == "interrupted"
    assert record.test_performance is None


def test_trouble_is_raised(few: NoduleData, tmp_path: Path) -> None:
    class Break(Callback):
        def on_train_batch_end(self, *args: object, **kwargs: object) -> None:
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        train(few, tmp_path, callbacks=[Break()])
    assert RunRecord.load(tmp_path / SMALLEST / "version_0").status == "failed"


def test_denormals_are_flushed(few: NoduleData, tmp_path: Path) -> None:
    """While it trains, and not after."""

    def flushed() -> bool:
        return float(torch.tensor([2e-38]) * 0.25) == 0.0

    class Look(Callback):
        seen = False

        def on_train_batch_end(self, *args: object, **kwargs: object) -> None:
            self.seen = flushed()

    look = Look()
    train(few, tmp_path, epochs=1, callbacks=[look])
    assert look.seen == torch.set_flush_denormal(True)  # False where the processor cannot
    torch.set_flush_denormal(False)
    train(few, tmp_path, epochs=1)
    assert not flushed()
