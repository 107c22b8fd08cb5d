"""The classifier learns, and logs what the callback and the study rely on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch.utils.data import DataLoader, Subset
from torchmetrics.functional.classification import binary_auroc

from lightning_pepr.study.classifier import TimmClassifier
from lightning_pepr.study.data.nodules import NoduleData

SMALLEST = "test_resnet.r160_in1k"  # timm's own for tests: 0.5 M parameters


def trainer(tmp_path: Path, **options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **options,
    )


def test_fast_dev_run_logs_all_keys(data: NoduleData, tmp_path: Path) -> None:
    fit = trainer(tmp_path, fast_dev_run=True)
    module = TimmClassifier(SMALLEST)
    fit.fit(module, datamodule=data)
    assert {"train_loss", "val_loss", "val_auroc"} <= set(fit.callback_metrics)
    (tested,) = fit.test(module, datamodule=data, verbose=False)
    assert {"test_loss", "test_auroc"} <= set(tested)


@pytest.mark.slow
def test_two_epochs_on_a_subset_are_learnt_from(data: NoduleData, tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    fit = trainer(tmp_path, max_epochs=2, num_sanity_val_steps=0, limit_train_batches=16)
    module = TimmClassifier(SMALLEST)
    fit.fit(module, datamodule=data)
    assert fit.callback_metrics["val_auroc"] > 0.7


def test_auroc_is_of_the_whole(data: NoduleData, tmp_path: Path) -> None:
    """Not the mean over batches."""
    module = TimmClassifier(SMALLEST)
    (tested,) = trainer(tmp_path).test(module, datamodule=data, verbose=False)
    module.eval()
    logits, classes = [], []
    with torch.no_grad():
        for batch in data.test_dataloader():
            images, of_batch = data.on_after_batch_transfer(batch, 0)
            logits.append(module(images))
            classes.append(of_batch)
    scores = torch.cat(logits).softmax(dim=1)[:, 1]
    assert tested["test_auroc"] == pytest.approx(
        float(binary_auroc(scores, torch.cat(classes))), abs=1e-4
    )  # ties round


def test_it_takes_any_number_of_classes_and_channels() -> None:
    module = TimmClassifier(SMALLEST, num_classes=5, in_chans=1)
    assert module(torch.zeros(2, 1, 32, 32)).shape == (2, 5)


def test_weights_follow_the_seed() -> None:
    weights: dict[int, torch.Tensor] = {}
    for seed in (0, 0, 1):
        seed_everything(seed, verbose=False)
        of_seed = torch.cat([p.flatten() for p in TimmClassifier(SMALLEST).parameters()])
        assert torch.equal(weights.setdefault(seed, of_seed), of_seed)
    assert not torch.equal(weights[0], weights[1])


def test_it_is_adam_at_the_papers_rate() -> None:
    optimizer = TimmClassifier(SMALLEST).configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    assert optimizer.param_groups[0]["lr"] == 5e-4


def test_a_checkpoint_knows_its_architecture(data: NoduleData, tmp_path: Path) -> None:
    fit = trainer(tmp_path, fast_dev_run=True)
    module: LightningModule = TimmClassifier(SMALLEST)
    fit.fit(module, datamodule=data)
    fit.save_checkpoint(tmp_path / "model.ckpt")
    again = TimmClassifier.load_from_checkpoint(tmp_path / "model.ckpt", map_location="cpu")
    assert again.hparams["model_name"] == SMALLEST
    for one, other in zip(module.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(RuntimeError, match="no_such_model"):
        TimmClassifier("no_such_model")


@pytest.mark.slow
def test_on_two_processes_auroc_is_of_all_samples(data: NoduleData, tmp_path: Path) -> None:
    """Each process sees half of the data; the logged value is that of one process that sees all."""
    subset = Subset(data.test_dataloader().dataset, range(498))  # even, so that no sample is repeated
    module = TimmClassifier(SMALLEST).eval()
    loader = DataLoader(Floats(subset), batch_size=64)
    (alone,) = trainer(tmp_path).test(module, loader, verbose=False)
    (both,) = trainer(tmp_path, devices=2, strategy="ddp_fork").test(module, loader, verbose=False)
    assert both["test_auroc"] == pytest.approx(alone["test_auroc"], abs=1e-6)
    assert both["test_loss"] == pytest.approx(alone["test_loss"], abs=1e-6)


class Floats(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """What the data module makes of a batch, for a loader without one."""

    def __init__(self, of: Subset[tuple[torch.Tensor, torch.Tensor]]) -> None:
        self.of = of

    def __len__(self) -> int:
        return len(self.of)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, classes = self.of[index]
        return images.float() / 255, classes
