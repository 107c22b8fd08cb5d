"""A UNet and a SegResNet segment spheres in three dimensions: which would you keep? With MONAI, offline, on a CPU.

    python examples/monai_segmentation.py

Needs `pip install monai`, and what is in `[all]`.
"""

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from monai.data import DataLoader, Dataset, create_test_image_3d, decollate_batch
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.metrics import DiceMetric
from monai.networks.nets import SegResNet, UNet
from monai.transforms import (
    AsDiscrete,
    Compose,
    EnsureChannelFirstd,
    RandCropByPosNegLabeld,
    RandFlipd,
    ScaleIntensityd,
)

from lightning_pepr import PePRCallback, rank
from lightning_pepr.report.page import write_page

torch.set_num_threads(1)  # enough for networks this small: several wait for one another where a machine is busy

PATCH = (32, 32, 32)
KEYS = ("image", "label")


def volumes(count: int, seed: int) -> list[dict[str, np.ndarray]]:
    """Noisy volumes of 48 voxels a side with five spheres in each, and which voxels these are."""
    random = np.random.RandomState(seed)
    made = []
    for _ in range(count):
        image, label = create_test_image_3d(
            48, 48, 48, num_objs=5, rad_min=4, rad_max=9, noise_max=0.6, num_seg_classes=1, random_state=random
        )
        made.append({"image": image.astype(np.float32), "label": label.astype(np.float32)})
    return made


class Segmentation(LightningModule):
    """Trains on patches, and segments whole volumes by a window that slides over them."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network
        self.loss = DiceCELoss(sigmoid=True)
        self.binary = AsDiscrete(threshold=0.0)  # of logits: a probability of 0.5
        self.dice = DiceMetric(include_background=True)

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        loss = self.loss(self.network(batch["image"]), batch["label"])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        logits = sliding_window_inference(batch["image"], PATCH, sw_batch_size=8, predictor=self.network)
        self.dice([self.binary(each) for each in decollate_batch(logits)], decollate_batch(batch["label"]))

    def on_validation_epoch_end(self) -> None:
        self.log("val_dice", self.dice.aggregate().item(), prog_bar=True)
        self.dice.reset()

    test_step = validation_step

    def on_test_epoch_end(self) -> None:
        self.log("test_dice", self.dice.aggregate().item())
        self.dice.reset()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=5e-3)


# The data: the training set is cut into patches, four of each volume, half of them around a sphere.
prepare = [EnsureChannelFirstd(KEYS, channel_dim="no_channel"), ScaleIntensityd("image")]
augment = [
    RandCropByPosNegLabeld(KEYS, label_key="label", spatial_size=PATCH, num_samples=4),
    RandFlipd(KEYS, prob=0.5, spatial_axis=0),
]
train = DataLoader(Dataset(volumes(8, seed=0), Compose([*prepare, *augment])), batch_size=1, shuffle=True)
val = DataLoader(Dataset(volumes(3, seed=1), Compose(prepare)), batch_size=1)
test = DataLoader(Dataset(volumes(3, seed=2), Compose(prepare)), batch_size=1)

# The networks. Both are trained by one module, so that each run is given a name.
networks = {
    "UNet": lambda: UNet(3, in_channels=1, out_channels=1, channels=(8, 16, 32), strides=(2, 2), num_res_units=2),
    "SegResNet": lambda: SegResNet(
        3, init_filters=8, in_channels=1, out_channels=1, blocks_down=(1, 1, 2), blocks_up=(1, 1)
    ),
}

# Training, and a test of each. The records are in monai_segmentation/<name>/version_<n>/pepr.json.
runs = []
for name, network in networks.items():
    seed_everything(0)
    pepr = PePRCallback("val_dice", name=name, group="spheres")
    trainer = Trainer(
        max_epochs=4,
        accelerator="cpu",
        callbacks=[pepr, ModelCheckpoint(monitor="val_dice", mode="max")],
        logger=CSVLogger("monai_segmentation", name=name),
        log_every_n_steps=2,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Segmentation(network()), train, val)
    trainer.test(dataloaders=test, ckpt_path="best", verbose=False)
    runs.append(pepr.run)

# Which one to keep, in a table and on a page.
print(rank(runs).select("rank", "model", "params", "performance", "energy_kwh", "data_samples", "pepr_e", "pareto"))
write_page(runs, "monai_segmentation.html")
print("every epoch, and all resources: monai_segmentation.html")
