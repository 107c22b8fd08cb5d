"""The metric on several ranks, and logged by a Lightning module."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn
from torchmetrics import MetricCollection

from lightning_pepr import Cost, ModelSpace, PePR, normalize, pepr
from lightning_pepr.cost import RESOURCES

FULL = ModelSpace.budget(**{resource.field: 2.0 for resource in RESOURCES})

# Several ranks.


def test_merging_states_is_merging_ranks() -> None:
    cost = {"energy": (0.5, 1.5, 2.0), "time": (0.5, 1.5, 1.5), "parameters": (1.5, 1.5, 1.5)}
    for resource, (a, b, merged) in cost.items():
        one, two = PePR(FULL, resource), PePR(FULL, resource)
        one.update(0.5, a)
        two.update(1.0, b)
        one.merge_state(two)
        assert one.compute().item() == pytest.approx(0.75 / (1 + merged / 2))
        never = PePR(FULL, resource)
        never.merge_state(one.metric_state)
        assert never.compute() == one.compute()
    with pytest.raises(ValueError, match="Expected state variable"):
        PePR(FULL, "energy").merge_state(PePR(FULL, "time"))


def _run_rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    try:
        collection = MetricCollection({r.letter: PePR(FULL, r) for r in RESOURCES})
        for _ in range(2):  # as in two epochs
            collection.update([0.5, 0.75][rank], Cost(*[[0.5, 1.5][rank]] * 6))
            scores = {key: score.item() for key, score in collection.compute().items()}
            for resource in RESOURCES:
                merged = 2.0 if resource.merge == "sum" else 1.5
                assert scores[resource.letter] == pytest.approx(0.625 / (1 + merged / 2)), (rank, resource, scores)
            collection.reset()

        metric = PePR(FULL)
        local = metric([0.5, 0.75][rank], [0.5, 1.5][rank])  # forward is of this rank alone
        assert local.item() == pytest.approx([0.5 / 1.25, 0.75 / 1.75][rank])
        assert metric.compute().item() == pytest.approx(0.3125)
        cost = metric.metric_state["cost_energy_kwh"]
        assert isinstance(cost, torch.Tensor)
        assert cost.item() == [0.5, 1.5][rank]  # synchronised no longer

        alone = PePR(FULL, "time", sync_on_compute=False)
        alone.update(1.0, 2.0 * rank)
        assert alone.compute().item() == [1.0, 0.5][rank]

        # A rank that was never updated has no part in it; and if none was, there is no score.
        for name in ("energy", "time"):
            lone = PePR(FULL, name)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert math.isnan(lone.compute().item())
                lone.reset()
                if rank == 1:
                    lone.update(0.75, 1.0)
                assert lone.compute().item() == pytest.approx(0.5)
        Path(folder, f"done{rank}").touch()
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes(tmp_path: Path) -> None:
    spawn(_run_rank, args=(str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
    assert {path.name for path in tmp_path.glob("done*")} == {"done0", "done1"}


# Lightning.


def test_logged_as_an_object_it_gives_each_epochs_score(tmp_path: Path) -> None:
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import Callback, EarlyStopping
    from torch.utils.data import DataLoader, TensorDataset

    performances = [0.5, 0.75, 0.625, 0.25]
    seen: list[dict[str, float]] = []

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)
            self.pepr_e: Any = PePR(FULL, "energy")
            self.pepr_t: Any = PePR(FULL, "time")

        def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
            loss: torch.Tensor = self.layer(batch[0]).square().mean()
            return loss

        def validation_step(self, batch: list[torch.Tensor]) -> None:
            pass

        def on_validation_epoch_end(self) -> None:
            done = self.current_epoch
            spent = Cost(energy_kwh=0.5 * (done + 1), time_s=1.0 * (done + 1))
            for metric in (self.pepr_e, self.pepr_t):
                metric.update(performances[done], spent)
            self.log("pepr_e", self.pepr_e, prog_bar=True)
            self.log("pepr_t", self.pepr_t)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    class Watch(Callback):
        def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if not trainer.sanity_checking:
                seen.append({key: value.item() for key, value in trainer.callback_metrics.items()})

    data: DataLoader[Any] = DataLoader(TensorDataset(torch.ones(4, 4)), batch_size=2)
    stopping = EarlyStopping("pepr_e", mode="max", patience=2)
    trainer = Trainer(
        max_epochs=4,
        accelerator="cpu",
        logger=False,
        callbacks=[Watch(), stopping],
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    module = Module()
    trainer.fit(module, data, data)
    assert len(seen) == 4
    for epoch, values in enumerate(seen):
        p = performances[epoch]
        assert values["pepr_e"] == pytest.approx(pepr(p, normalize(0.5 * (epoch + 1), 0, 2)))
        assert values["pepr_t"] == pytest.approx(pepr(p, normalize(1.0 * (epoch + 1), 0, 2)))
    assert stopping.best_score.item() == pytest.approx(0.5)
    assert not module.pepr_e.update_called  # Lightning has reset it
