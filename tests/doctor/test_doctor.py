"""The doctor tells what is so: on simulated boards and counters that are known, and on this very host."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lightning_pepr.cli import main
from lightning_pepr.doctor import examine, summarize
from tests.helpers.rapl import Tree
from tests.simnvml import SimDevice, SimDriver

EXAMINE = """
import json
from lightning_pepr.doctor import examine
print(json.dumps(examine(seconds={seconds})))
"""


def ask(sim: SimDriver, seconds: float = 0.0) -> dict[str, Any]:
    return sim.ask(EXAMINE.format(seconds=seconds))


def told(found: dict[str, Any]) -> str:
    return "\n".join(f"{trouble['what']} {trouble['do']}" for trouble in found["troubles"])


def test_each_board_has_its_meter_its_tick_and_its_latency() -> None:
    found = ask(
        SimDriver(
            SimDevice(name="NVIDIA A", period=0.1),
            SimDevice(name="NVIDIA B", period=0.02, phase=0.003),
            SimDevice(name="NVIDIA Old", counter=False, power_period=0.05),
            latency=0.002,
        )
    )
    a, b, old = found["gpus"]
    assert [gpu["meter"] for gpu in found["gpus"]] == ["counter", "counter", "integrated"]
    assert [gpu["name"] for gpu in found["gpus"]] == ["NVIDIA A", "NVIDIA B", "NVIDIA Old"]
    assert a["driver"] == "580.65.06"
    assert a["period_ms"] == pytest.approx(100, rel=0.1)
    assert b["period_ms"] == pytest.approx(20, rel=0.3)
    assert all(gpu["latency_ms"] >= 2.0 for gpu in (a, b, old))
    assert found["measured"] is True
    assert found["selftest"] is None
    assert "GPU 2 (NVIDIA Old) has no energy counter; its power is added up instead" in told(found)
    assert "GPU 0" not in told(found)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("check", ["0", "1"], ids=["cuda asked", "driver asked"])
def test_the_self_test_tells_the_true_power(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Set to 1, as importing lightning sets it, torch believes the driver that there are two devices.
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", check)
    sim = SimDriver(SimDevice(high=170, wave=0), SimDevice(high=200, wave=0, counter=False))
    found = ask(sim, seconds=5.0)
    test = found["selftest"]
    assert test["seconds"] > 4
    for uuid, watts in zip(sim.uuids, (170.0, 200.0), strict=True):
        gpu = test["gpus"][uuid]
        assert gpu["mean_w"] == pytest.approx(watts, rel=0.02, abs=gpu["error_j"] / test["seconds"])
        assert 0 < gpu["error_j"] < 0.2 * gpu["energy_j"]
    assert test["load"].startswith("none: torch "), "what was no load is not called one"


@pytest.mark.slow
def test_boards_that_contradict_themselves_are_told() -> None:
    """A counter that a reset has made start anew within the test gives a lower bound, and that is said."""
    script = """
import json
import torch  # which takes its time, and is not to be imported within the test
from lightning_pepr.doctor import examine
from tests.simnvml import SimDriver
SimDriver.current().start(reset_at=6.0)
print(json.dumps(examine(seconds=6)))
"""
    found = SimDriver(SimDevice()).ask(script)
    assert any(trouble["grave"] and trouble["what"].startswith("GPU 0:") for trouble in found["troubles"])


def test_a_board_that_refuses_is_grave_and_says_what_to_do() -> None:
    found = ask(SimDriver(SimDevice(denied_at=0.0)))
    (gpu,) = found["gpus"]
    assert gpu["meter"] == "unavailable"
    assert "Insufficient Permissions" in gpu["reason"]
    assert found["measured"] is False
    (trouble,) = (each for each in found["troubles"] if each["grave"])
    assert "Insufficient Permissions" in trouble["what"]
    assert "access to the GPU's sensors" in trouble["do"]


def test_a_driver_that_hangs_does_not_hang_the_doctor() -> None:
    found = ask(SimDriver(init_hang_s=60.0))
    assert found["gpus"] == []
    (trouble,) = (each for each in found["troubles"] if each["grave"])
    assert "did not answer" in trouble["what"]
    assert "nvidia-smi" in trouble["do"]


def test_a_driver_that_does_not_start() -> None:
    found = ask(SimDriver(init_error=9))
    assert "Driver Not Loaded" in told(found)
    assert found["gpus"] == []


def test_mig_is_told() -> None:
    found = ask(SimDriver(SimDevice(migs=["MIG-00000000-0000-4000-8000-000000000001"])))
    assert "shared by MIG" in told(found)


def test_slow_calls_are_told() -> None:
    found = ask(SimDriver(latency=0.06))
    assert "sudo nvidia-smi -pm 1" in told(found)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.add("intel-rapl:0", "package-0", 1000)
    tree.add("intel-rapl:0:0", "dram", 1000)
    return tree


def test_a_readable_rapl_is_a_counter(tree: Tree) -> None:
    found = examine(seconds=0, powercap=tree.root)
    assert found["cpu"]["meter"] == "counter"
    assert found["cpu"]["domains"] == ["package-0", "package-0 dram"]
    assert found["measured"] is True


def test_an_unreadable_rapl_has_the_exact_command(tree: Tree) -> None:
    """As the kernel has it since 2020: the files are there, and reading them is refused."""
    for path in tree.root.glob("*/energy_uj"):
        path.unlink()
        path.mkdir()  # which cannot be read as a file even by root, as these tests may run
    found = examine(seconds=0, powercap=tree.root)
    assert found["cpu"]["meter"] == "estimated"
    assert found["cpu"]["command"] == f"sudo chmod a+r {tree.root}/intel-rapl:*/energy_uj"
    assert found["cpu"]["command"] in told(found)
    files = subprocess.run(
        ["sh", "-c", found["cpu"]["command"].replace("sudo chmod a+r", "ls -d")], capture_output=True, text=True
    )
    assert files.stdout.split() == [f"{tree.root}/intel-rapl:0/energy_uj", f"{tree.root}/intel-rapl:0:0/energy_uj"]


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
def test_ranks_are_those_of_the_launcher(environment: dict[str, str], expected: tuple[Any, ...]) -> None:
    ranks = examine(seconds=0, environment=environment)["ranks"]
    assert tuple(ranks[name] for name in ("launcher", "rank", "ranks", "ranks_here", "shared")) == expected


def test_more_ranks_than_boards_share_them() -> None:
    script = """
import json
from lightning_pepr.doctor import examine
torchrun = {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "4", "CUDA_VISIBLE_DEVICES": CHOSEN}
print(json.dumps(examine(seconds=0, environment=torchrun)))
"""
    sim = SimDriver(*(SimDevice() for _ in range(4)))
    assert sim.ask(script.replace("CHOSEN", "'0,1,2,3'"))["ranks"]["shared"] is False
    found = sim.ask(script.replace("CHOSEN", "'0,1'"))
    assert found["ranks"]["shared"] is True
    assert "4 ranks of this host share 2 GPUs" in told(found)


@pytest.mark.parametrize(("visible", "count"), [("-1", 0), ("", 0), ("1,-1,0", 1), ("1, 0", 2), ("7,0", 0)])
def test_of_the_gpus_those_count_that_cuda_would_see(visible: str, count: int) -> None:
    """CUDA ignores what comes after the first that it does not know."""
    found = SimDriver(SimDevice(), SimDevice()).ask(
        "import json\n"
        "from lightning_pepr.doctor import examine\n"
        "torchrun = {'RANK': '0', 'WORLD_SIZE': '2', 'LOCAL_RANK': '0', 'LOCAL_WORLD_SIZE': '2'}\n"
        f"print(json.dumps(examine(seconds=0, environment={{**torchrun, 'CUDA_VISIBLE_DEVICES': {visible!r}}})))"
    )
    assert found["ranks"]["visible_gpus"] == count
    assert found["ranks"]["shared"] is (count == 1)


@pytest.mark.slow
def test_under_real_torchrun(tmp_path: Path) -> None:
    script = tmp_path / "rank.py"
    script.write_text(
        "import json, os, sys; from lightning_pepr.doctor import examine\n"
        "open(f'{sys.argv[1]}/{os.environ[\"RANK\"]}.json', 'w').write(json.dumps(examine(seconds=0)['ranks']))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    subprocess.run([*command, str(tmp_path)], check=True, capture_output=True, timeout=120)
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert [(rank["launcher"], rank["rank"], rank["ranks"], rank["ranks_here"]) for rank in ranks] == [
        ("torchrun", 0, 2, 2),
        ("torchrun", 1, 2, 2),
    ]


def test_carbon_has_its_source() -> None:
    assert examine(seconds=0, carbon_intensity=151.0, pue=1.5)["carbon"] == {
        "meter": "energy × intensity × PUE",
        "g_per_kwh": 151.0,
        "pue": 1.5,
        "source": "given",
    }
    assert "Denmark" in examine(seconds=0, carbon_intensity="DNK")["carbon"]["source"]
    assert "is not guessed" in told(examine(seconds=0))


def test_extras_are_checked_against_what_is_installed() -> None:
    found = examine(seconds=0)
    assert found["extras"]["report"]["missing"] == []
    assert set(found["extras"]) >= {"carbon", "cli", "mlflow", "report", "study", "wandb"}
    assert found["loggers"]["tensorboard"]
    assert found["versions"]["torch"]


def test_a_missing_extra_has_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    version = metadata.version

    def without(name: str) -> str:
        if name.lower() == "matplotlib":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    found = examine(seconds=0)
    assert found["extras"]["report"]["missing"] == ["matplotlib"]
    assert "pip install 'lightning-pepr[report]'" in told(found)


def test_the_exit_status_says_whether_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor", "--json", "--seconds", "0"])
    found = json.loads(capsys.readouterr().out)
    assert status == (0 if found["measured"] else 1)
    assert main(["doctor", "--seconds", "0"]) == status
    text = capsys.readouterr().out
    for row in summarize(found):
        assert row[0] in text
    for trouble in found["troubles"]:
        assert trouble["what"] in text
        assert trouble["do"] in text
    command = [sys.executable, "-m", "lightning_pepr.cli", "doctor", "--seconds", "0"]
    for sim, expected in ((SimDriver(), 0), (SimDriver(SimDevice(denied_at=0.0)), 1 if status else 0)):
        done = subprocess.run(command, env=sim.env(), capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (expected, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds", "-1"], "seconds is -1.0; expected from 0"),
        (["--pue", "0.5"], "pue is 0.5"),
        (["--carbon-intensity", "XYZ"], "no country of the table"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_it_needs_no_torch_where_there_is_no_gpu() -> None:
    script = "from lightning_pepr.doctor import examine; examine(); import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    if not examine(seconds=0)["gpus"]:
        assert done.stdout.strip() == "False"
