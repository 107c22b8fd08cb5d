"""An examination covers carbon and packages too, and is light where there is no GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

import pytest

from lightning_pepr.doctor import examine, to_json
from lightning_pepr.doctor.examination import Carbon
from tests.doctor.simulated import examine_on, words
from tests.simnvml import SimDevice, SimDriver


def test_carbon_has_its_source() -> None:
    given = examine(seconds=0, carbon_intensity=151.0, pue=1.5)
    assert given.carbon == Carbon("energy × intensity × PUE", 151.0, 1.5, "given")
    assert "Denmark" in examine(seconds=0, carbon_intensity="DNK").carbon.source
    assert any("is not guessed" in trouble.what for trouble in examine(seconds=0).troubles)


def test_it_needs_no_torch_where_there_is_no_gpu() -> None:
    script = "from lightning_pepr.doctor import examine; examine(); import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    if not examine(seconds=0).gpus:
        assert done.stdout.strip() == "False"


def test_json_keeps_its_names() -> None:
    found = json.loads(to_json(examine(seconds=0)))
    assert list(found) == [
        "schema",
        "measured",
        "gpus",
        "cpu",
        "memory",
        "carbon",
        "ranks",
        "loggers",
        "extras",
        "versions",
        "selftest",
        "troubles",
    ]
    assert found["schema"] == "lightning-pepr/doctor/1"
    assert all(set(trouble) == {"what", "do", "grave"} for trouble in found["troubles"])


def test_ranks_share_the_boards_that_were_found() -> None:
    torchrun = {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "4"}
    sim = SimDriver(SimDevice(period=0.01), SimDevice(period=0.01))
    found = examine_on(sim, f"seconds=0, environment={torchrun}")
    assert (found["ranks"]["visible_gpus"], found["ranks"]["shared"]) == (2, True)
    assert "4 ranks of this host share 2 GPUs" in words(found)


def test_extras_are_checked_against_what_is_installed() -> None:
    found = examine(seconds=0)
    assert found.extras["report"]["missing"] == []
    assert set(found.extras) >= {"carbon", "cli", "mlflow", "report", "study", "wandb"}
    assert found.loggers["tensorboard"]
    assert found.versions["torch"]


def test_a_missing_extra_has_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version

    def without(name: str) -> str:
        if name.lower() == "matplotlib":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    found = examine(seconds=0)
    assert found.extras["report"]["missing"] == ["matplotlib"]
    assert "pip install 'lightning-pepr[report]'" in [trouble.do for trouble in found.troubles]
