"""Studies from the command line, for real: what they leave, and what becomes of them when something goes wrong."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from lightning_pepr import RunRecord, load_runs
from lightning_pepr.study.locks import LOCKS

pytestmark = pytest.mark.slow

SMALL = ("test_convnext.r160_in1k", "test_resnet.r160_in1k")  # the least work comes first
QUICK = ("--data", "digits", "--image-size", "32", "--epochs", "1", "--train-samples", "64", "--accelerator", "cpu")

FAMILIES = (  # the smallest, the paper's aliases, and those that take no small images are among them
    "dla46x_c",
    "mobilevitv2_050",
    "convnext_atto",
    "ghostnet_100",
    "gluon_resnet34_v1b",
    "densenet121",
    "pvt_v2_b0",
    "adv_inception_v3",
    "repvgg_a2",
    "halonet26t",
)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where studies go, with locks of their own: another study on this machine is no matter of these tests."""
    yield tmp_path
    for process in psutil.Process().children(recursive=True):
        process.kill()


def command(place: Path, *arguments: str, models: tuple[str, ...] = SMALL[:1]) -> list[str]:
    words = ["--models", ",".join(models), *QUICK, "--out", str(place / "runs"), *arguments]
    return [sys.executable, "-m", "lightning_pepr.cli", "study", *words]


def environment(place: Path, locks: str = "locks") -> dict[str, str]:
    return {**os.environ, LOCKS: str(place / locks), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def study(
    place: Path, *arguments: str, models: tuple[str, ...] = SMALL[:1], status: int = 0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(place, *arguments, models=models),
        env=environment(place),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def start(place: Path, *arguments: str, models: tuple[str, ...], until: str) -> subprocess.Popen[str]:
    """Start a study, and come back when it says something."""
    process = subprocess.Popen(
        command(place, *arguments, models=models), env=environment(place), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    output = ""
    for line in process.stderr:
        output += line
        if until in line:
            return process
    raise AssertionError(output)


def records(place: Path) -> dict[str, list[RunRecord]]:
    """All that counts as a run, by model; an attempt that was put aside does not."""
    found: dict[str, list[RunRecord]] = {}
    for path in (place / "runs").rglob("pepr.json"):
        record = RunRecord.load(path)
        found.setdefault(record.model, []).append(record)
    return found


def test_a_study_trains_is_listed_skips_and_grows(place: Path) -> None:
    planned = study(place, "--seeds", "2", "--fraction", "1.0,0.5", "--dry-run")
    assert planned.stdout.count(SMALL[0]) == 4
    assert "4 runs of 1 model: about" in planned.stdout
    assert "a guess before the first run" in planned.stdout
    assert not (place / "runs").exists()

    first = study(place, "--fraction", "0.5", "--seeds", "2", "--carbon-intensity", "151")
    assert "2 of 2 runs finished." in first.stdout
    assert "run 2 of 2" in first.stderr
    assert "test auroc 0." in first.stderr
    assert "left" in first.stderr
    (found,) = records(place).values()
    assert sorted(record.settings["seed"] for record in found) == [0, 1]
    for record in found:
        assert record.status == "finished"
        assert record.group == "digits, scratch, 50 %"
        assert record.cost.data_samples == 32
        assert record.cost.carbon_g is not None
        assert record.test_performance is not None
        assert record.settings["settings"]["optimizer"] == "adam"
        assert record.hardware["host"]
    assert found[0].test_performance != found[1].test_performance
    assert load_runs(place / "runs")["group"].to_list() == ["digits, scratch, 50 %"] * 2

    more = study(place, "--fraction", "1.0,0.5", "--seeds", "2", "--carbon-intensity", "151", "--shard", "0/2")
    assert "1 of them finished before and skipped" in more.stdout
    assert "learnt from 1 finished run)" in more.stdout
    assert len(records(place)[SMALL[0]]) == 3

    other = study(place, "--lr", "0.1", "--carbon-intensity", "151", status=2)
    assert "holds another study, with --lr 0.0005 instead of 0.1" in other.stderr
    assert other.stderr.count("\n") == 1
    study(place, "--lr", "0.1", "--carbon-intensity", "151", "--append")
    groups = sorted(record.group for record in records(place)[SMALL[0]])
    assert groups == ["digits, scratch, 100 %", "digits, scratch, 100 %, lr 0.1", *["digits, scratch, 50 %"] * 2]


def test_killed_in_the_middle_it_goes_on_where_it_was(place: Path) -> None:
    process = start(place, models=SMALL[:2], until=f"2 of 2 · {SMALL[1]} · scratch · 100 % · seed 0 · epoch")
    (worker,) = psutil.Process(process.pid).children()
    (first,) = records(place)[SMALL[0]]
    process.kill()
    process.wait()
    worker.wait(20)  # it does not train on, unseen
    assert [record.status for record in records(place).get(SMALL[1], [])] in ([], ["running"])

    done = study(place, models=SMALL[:2])
    assert "1 of them finished before and skipped" in done.stdout
    after = records(place)
    assert {name: [record.status for record in found] for name, found in after.items()} == {
        name: ["finished"] for name in SMALL[:2]
    }
    assert after[SMALL[0]][0].run_id == first.run_id
    assert len(load_runs(place / "runs")) == 2


def test_a_run_that_is_killed_costs_that_run_alone(place: Path) -> None:
    """As the kernel does when memory runs out."""
    process = start(place, models=SMALL[:2], until="1 of 2 · " + SMALL[0] + " · scratch · 100 % · seed 0 · epoch")
    (worker,) = psutil.Process(process.pid).children()
    worker.kill()
    assert process.stderr is not None
    output = process.stderr.read()
    assert process.wait() == 1
    assert "failed: the process was ended by SIGKILL, as when memory runs out" in output
    after = records(place)
    assert {name: [record.status for record in found] for name, found in after.items()} == {
        SMALL[0]: ["failed"],
        SMALL[1]: ["finished"],
    }
    again = study(place, models=SMALL[:2])  # what failed is tried again
    assert "2 of 2 runs finished." in again.stdout
    assert [record.status for record in records(place)[SMALL[0]]] == ["finished"]
    assert len(list((place / "runs").rglob("attempt-pepr.json"))) == 1


def test_a_run_that_raises_says_so_in_its_record(place: Path) -> None:
    done = study(place, "--precision", "7-bits", status=1)
    ((record,),) = records(place).values()
    assert record.status == "failed"
    assert "7-bits" in record.error
    assert record.group == "digits, scratch, 100 %"
    assert "0 of 1 run finished." in done.stdout
    (log,) = (place / "runs").rglob("log.txt")
    assert str(log) in done.stdout
    assert "7-bits" in log.read_text(encoding="utf-8")


def test_out_of_memory_is_a_record_and_not_the_end(place: Path) -> None:
    """An allocation that cannot be had: enlarged so far, the images take more than the process may have."""
    limit = 6 << 30
    process = subprocess.run(
        command(place, "--image-size", "512"),
        env=environment(place),
        capture_output=True,
        text=True,
        timeout=280,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        check=False,
    )
    assert process.returncode == 1, process.stdout + process.stderr
    ((record,),) = records(place).values()
    assert record.status == "failed"
    assert "alloc" in record.error.lower() or "memory" in record.error.lower()


def test_ctrl_c_lets_the_run_write_its_record(place: Path) -> None:
    process = start(place, "--epochs", "500", models=SMALL[:1], until="epoch 2 of 500")
    process.send_signal(signal.SIGINT)
    assert process.wait(90) == 130
    ((record,),) = records(place).values()
    assert record.status == "interrupted"
    assert record.error == "Ctrl-C"
    assert record.epochs
    assert record.cost.energy_kwh is not None


def test_the_budget_ends_it(place: Path) -> None:
    """Each run sees 64 images an epoch."""
    done = study(place, "--epochs", "50", "--budget", "data_samples=150", models=SMALL[:2])
    assert "the budget is spent" in done.stdout
    assert "1 run left" in done.stdout
    ((record,),) = records(place).values()
    assert record.status == "interrupted"
    assert record.error == "the study's budget is spent"
    assert 150 <= (record.cost.data_samples or 0) < 50 * 64
    again = study(place, "--epochs", "50", "--budget", "data_samples=150", models=SMALL[:2])
    assert "2 runs left" in again.stdout
    assert len(records(place)) == 1


def test_two_studies_take_turns_on_a_device(place: Path) -> None:
    (place / "locks").mkdir()
    with FileLock(place / "locks" / "lightning-pepr-cpu.lock"):
        process = start(place, models=SMALL[:1], until="waiting for another study on cpu")
        time.sleep(1)
        assert not records(place)
        assert process.poll() is None
    assert process.wait(120) == 0
    assert len(records(place)[SMALL[0]]) == 1


def test_two_studies_with_other_locks_share_the_runs_of_a_folder(place: Path) -> None:
    """As on two GPUs or two machines: each run is trained once."""
    words = command(place, "--seeds", "2", models=SMALL)
    studies = [
        subprocess.Popen(
            words, env=environment(place, locks), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for locks in ("locks", "others")
    ]
    outputs = [study.communicate(timeout=280) for study in studies]
    assert [study.returncode for study in studies] == [0, 0], outputs
    assert all("4 of 4 runs finished." in output for output, _ in outputs)
    trained = [error.count("test auroc 0.") for _, error in outputs]
    assert sum(trained) == 4, outputs
    assert min(trained) >= 1, outputs
    assert any("is trained by process" in error for _, error in outputs)
    assert [record.status for found in records(place).values() for record in found] == ["finished"] * 4
    assert not list((place / "runs").rglob("*attempt*"))
    assert not list((place / "runs").rglob("*.claim*"))


def test_the_claim_of_a_study_that_was_killed_is_taken_over(place: Path) -> None:
    process = start(place, models=SMALL[:1], until="epoch 1 of 1")
    process.kill()
    process.wait()
    assert len(list((place / "runs").rglob("*.claim"))) == 1
    again = study(place)
    assert f"is taken over from process {process.pid} on" in again.stderr
    assert "1 of 1 run finished." in again.stdout
    assert not list((place / "runs").rglob("*.claim*"))


def test_a_full_disk_ends_the_study_and_loses_nothing(place: Path) -> None:
    runs = place / "runs"
    runs.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(runs)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("a small disk needs the right to mount one")
    try:
        study(place, models=SMALL[:1])
        (filler := runs / "filler").write_bytes(b"0" * (shutil.disk_usage(runs).free - 20_000))
        done = study(place, models=SMALL[:2], status=2)
        assert f"there is no space left in {runs}" in done.stderr
        assert "start the study again" in done.stderr
        assert [record.status for record in records(place)[SMALL[0]]] == ["finished"]
        filler.unlink()
        study(place, models=SMALL[:2])
        assert {name: len(found) for name, found in records(place).items()} == dict.fromkeys(SMALL[:2], 1)
    finally:
        subprocess.run(["umount", "-l", str(runs)], check=False)


def test_ten_models_across_families(place: Path) -> None:
    """They train at the smallest size that each accepts."""
    options = ("--image-size", "auto", "--train-samples", "32", "--eval-samples", "20")
    done = study(place, *options, models=FAMILIES)
    assert "10 of 10 runs finished." in done.stdout
    after = records(place)
    assert set(after) == set(FAMILIES)
    sizes = {name: record.settings["model"]["image_size"] for name, (record,) in after.items()}
    assert sizes["halonet26t"] == 256
    assert sizes["adv_inception_v3"] == 96
    assert sizes["dla46x_c"] == 32
    assert after["gluon_resnet34_v1b"][0].settings["model"]["timm"] == "resnet34.gluon_in1k"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--models", "resnet18x"], "unknown model 'resnet18x'. Did you mean 'resnet18"),
        (
            ["--models", "halonet26t,dla34", "--image-size", "64"],
            "images of 64 px are refused by halonet26t (needs 256 px); choose another --image-size, or auto",
        ),
        (["--data", "nowhere"], "--data is 'nowhere', and there is no such file or folder"),
        (["--data", "medmnist:dermamist"], "MedMNIST has no data set 'dermamist'. Did you mean 'dermamnist'"),
        (["--pretrained", "--weights", f"{SMALL[0]}=nowhere.pt"], "there is no such file"),
        (["--weights", f"{SMALL[0]}=w.pt"], "all runs start from random ones; add --pretrained"),
        (["--weights", "dla34=w.pt"], "--weights names 'dla34', which is none of the models of this study"),
        (["--space", "nowhere"], "nowhere"),
        (["--epochs", "0"], "--epochs is 0; expected at least 1"),
    ],
)
def test_bad_input_is_one_line(place: Path, arguments: list[str], expected: str) -> None:
    """It is refused before anything is trained."""
    done = study(place, *arguments, status=2)
    assert expected in done.stderr
    assert done.stderr.startswith("lightning-pepr: ")
    assert done.stderr.count("\n") == 1
    assert not (place / "runs").exists()
