"""A training is to the last bit what it is without the callbacks: what is logged, where it stops, what is random."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.transparency import EVERYWHERE, HOOKS, SPECIAL, Cell, differences

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice


@pytest.mark.parametrize("cell", EVERYWHERE, ids=str)
def test_a_module_that_logs_in_any_hook_is_trained_as_without(cell: Cell, tmp_path: Path) -> None:
    assert differences(cell, str(tmp_path)) == []


@pytest.mark.parametrize("cell", SPECIAL, ids=str)
def test_a_module_of_a_special_kind_is_trained_as_without(cell: Cell, tmp_path: Path) -> None:
    assert differences(cell, str(tmp_path)) == []


def test_every_hook_that_may_log_is_there() -> None:
    assert {cell.hook for cell in EVERYWHERE} == set(HOOKS)


@pytest.mark.slow
def test_two_ranks(tmp_path: Path) -> None:
    """On two real gloo processes."""
    target = tmp_path / "found"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, "-m", "tests.helpers.transparency", str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    for rank in range(2):
        assert json.loads(target.with_suffix(f".{rank}").read_text()) == []
