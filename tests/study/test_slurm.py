"""The job array: each run is one job's, whatever the array is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lightning_pepr.cli.study_options import parse

SCRIPT = Path(__file__).parents[2] / "examples" / "slurm.sh"
BASH = shutil.which("bash")

pytestmark = pytest.mark.skipif(BASH is None, reason="bash is not here")


def shard_of(place: Path, **environment: str) -> tuple[int, int]:
    """What the script asks of the command, which stands in the path as a program that prints its arguments."""
    program = place / "lightning-pepr"
    program.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    done = subprocess.run(
        [str(BASH), str(SCRIPT), "--models", "a model, with spaces", "--out", "runs"],
        env={**os.environ, "PATH": f"{place}{os.pathsep}{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    command, *arguments = done.stdout.splitlines()
    assert command == "study"
    assert arguments[:4] == ["--models", "a model, with spaces", "--out", "runs"]
    shard: tuple[int, int] = parse(arguments).shard
    return shard


def test_bash_takes_it() -> None:
    subprocess.run([str(BASH), "-n", str(SCRIPT)], check=True)


@pytest.mark.parametrize("indices", [range(8), range(1, 5), range(4, 8), range(0, 10, 3), range(7, 8)])
def test_each_run_is_done_by_one_job(indices: range, tmp_path: Path) -> None:
    runs = list(range(29))
    done = []
    for index in indices:
        shard, shards = shard_of(
            tmp_path,
            SLURM_ARRAY_TASK_ID=str(index),
            SLURM_ARRAY_TASK_MIN=str(indices[0]),
            SLURM_ARRAY_TASK_MAX=str(indices[-1]),
            SLURM_ARRAY_TASK_STEP=str(indices.step),
        )
        assert shards == len(indices)
        done += runs[shard::shards]
    assert sorted(done) == runs


def test_without_an_array_it_does_all(tmp_path: Path) -> None:
    assert shard_of(tmp_path) == (0, 1)
