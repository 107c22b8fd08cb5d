"""The example of two networks of MONAI, from patches to a ranking and its page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_pepr import RunRecord
from tests.helpers.pages import unpack
from tests.helpers.paths import ROOT


@pytest.mark.slow
def test_the_example_ranks_both_networks_by_their_names(tmp_path: Path) -> None:
    pytest.importorskip("monai", reason="comes with lightning-pepr[dev], which CI installs")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "monai_segmentation.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    ranking = [line.split("┆")[1].strip() for line in done.stdout.splitlines() if line.count("┆") == 7]
    assert set(ranking) >= {"UNet", "SegResNet"}
    page = (tmp_path / "monai_segmentation.html").read_text(encoding="utf-8")
    assert sorted(json.loads(unpack(page, "data"))["runs"]["model"]) == ["SegResNet", "UNet"]
    for name in ("UNet", "SegResNet"):
        (path,) = (tmp_path / "monai_segmentation" / name).glob("version_*/pepr.json")
        run = RunRecord.load(path)
        assert (run.model, run.group, run.status) == (name, "spheres", "finished")
        epochs = len(run.epochs)
        assert run.costs["data_samples"].value == epochs * 8 * 4  # every patch, not every volume
        assert run.test_performance is not None
        assert run.test_performance > 0.3  # Dice of the volumes that were not trained on
