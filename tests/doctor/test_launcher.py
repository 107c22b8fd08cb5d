"""Ranks are those of the launcher, and share the boards that CUDA shows them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_pepr.doctor.launcher import examine_ranks


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ("", 0, 1, 1, False)),
        (
            {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x"},
            ("torchrun", 3, 4, 2, False),
        ),
        (
            {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_NTASKS_PER_NODE": "4(x2)"},
            ("SLURM", 5, 8, 4, False),
        ),
        (
            {"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_LOCALID": "0", "SLURM_NNODES": "1"},
            ("SLURM", 0, 2, 2, False),
        ),
        (
            {"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"},
            ("torchrun", 0, 2, None, False),
        ),
    ],
    ids=["none", "torchrun", "slurm-two-nodes", "slurm-one-node", "torchrun-in-slurm"],
)
def test_ranks_are_those_of_the_launcher(environment: dict[str, str], expected: object) -> None:
    ranks, _ = examine_ranks(environment, gpus=0)
    assert (ranks.launcher, ranks.rank, ranks.ranks, ranks.ranks_here, ranks.shared) == expected


def test_more_ranks_than_boards_share_them() -> None:
    torchrun = {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "4"}
    ranks, troubles = examine_ranks({**torchrun, "CUDA_VISIBLE_DEVICES": "0,1,2,3"}, gpus=4)
    assert ranks.shared is False
    assert not troubles
    ranks, (trouble,) = examine_ranks({**torchrun, "CUDA_VISIBLE_DEVICES": "0,1"}, gpus=4)
    assert ranks.shared is True
    assert "4 ranks of this host share 2 GPUs" in trouble.what


@pytest.mark.parametrize(("visible", "count"), [("-1", 0), ("", 0), ("1,-1,0", 1), ("1, 0", 2), ("7,0", 0)])
def test_of_the_gpus_those_count_that_cuda_would_see(visible: str, count: int) -> None:
    """CUDA ignores what comes after the first that it does not know."""
    torchrun = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
    ranks, _ = examine_ranks({**torchrun, "CUDA_VISIBLE_DEVICES": visible}, gpus=2)
    assert ranks.visible_gpus == count
    assert ranks.shared is (count == 1)


@pytest.mark.slow
def test_under_real_torchrun(tmp_path: Path) -> None:
    script = tmp_path / "rank.py"
    script.write_text(
        "import os, sys; from lightning_pepr.doctor import examine, to_json\n"
        "open(f'{sys.argv[1]}/{os.environ[\"RANK\"]}.json', 'w').write(to_json(examine(seconds=0)))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    subprocess.run([*command, str(tmp_path)], check=True, capture_output=True, timeout=120)
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text())["ranks"] for rank in (0, 1)]
    assert [(rank["launcher"], rank["rank"], rank["ranks"], rank["ranks_here"]) for rank in ranks] == [
        ("torchrun", 0, 2, 2),
        ("torchrun", 1, 2, 2),
    ]
