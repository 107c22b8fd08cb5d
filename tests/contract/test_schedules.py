"""Who monitors a score acts on this epoch's, to the last bit, wherever and however often it is logged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lightning_pepr import ModelSpace, pepr
from tests.helpers.cells import BUDGET_KWH, CELLS, SCHEDULES, performance, run_cell
from tests.helpers.paths import ROOT

# A training metric is known when the training epoch ends; with these schedules the others act before that.
UNSERVED = {("training_step", "twice"), ("training_step", "every_other")}
EVALUATIONS = {"default": 4, "twice": 8, "every_other": 2}


@pytest.fixture(scope="session")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All cells, on two real gloo processes."""
    target = tmp_path_factory.mktemp("cells") / "cells.json"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, "-m", "tests.helpers.cells", str(target)], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-4000:]
    cells: dict[str, Any] = json.loads(target.read_text())
    return cells


@pytest.mark.parametrize(("place", "schedule", "order"), CELLS)
def test_one_process(place: str, schedule: str, order: str, tmp_path: Path) -> None:
    check(run_cell(place, schedule, order, str(tmp_path)), place, schedule, ranks=1)


@pytest.mark.slow
@pytest.mark.parametrize(("place", "schedule", "order"), CELLS)
def test_two_processes(place: str, schedule: str, order: str, two_ranks: dict[str, Any]) -> None:
    check(two_ranks[f"{place}/{schedule}/{order}"], place, schedule, ranks=2)


def check(result: dict[str, Any], place: str, schedule: str, ranks: int) -> None:
    if (place, schedule) in UNSERVED:
        assert result["epoch"] == 0, "the first epoch raises"
        assert result["stop"] == []
        assert "'acc' is not logged in validation" in result["error"]
        assert "check_on_train_epoch_end=True" in result["error"]
        return
    assert result["error"] is None
    assert [seen["evaluations"] for seen in result["stop"]] == list(range(1, EVALUATIONS[schedule] + 1))
    space = ModelSpace.budget(energy_kwh=BUDGET_KWH)
    for seen in result["stop"] + result["checkpoint"]:
        mean = sum(performance(int(seen["evaluations"]), rank) for rank in range(ranks)) / ranks
        assert seen["pepr_e"] == pepr(mean, space.normalize(seen["energy_kwh"], "energy"))
    assert result["checkpoint"] == result["stop"], "both act on the same values"
    costs = [seen["energy_kwh"] for seen in result["stop"]]
    assert costs == sorted(set(costs)), "each evaluation has its own cost, and it grows"


def test_every_schedule_is_covered() -> None:
    assert set(EVALUATIONS) == set(SCHEDULES)
