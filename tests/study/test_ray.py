"""A study on a real cluster of two nodes, one of which is killed: each run has one record at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from lightning_pepr import RunRecord, load_runs
from lightning_pepr.study.folder import StudyFolder, is_done
from lightning_pepr.study.locks import LOCKS
from lightning_pepr.study.runs import DataSize, Model, Run, make_runs
from lightning_pepr.study.settings import Settings
from lightning_pepr.utilities.files import FILE_NAME, files_below

pytest.importorskip("ray", reason="ray is not installed: pip install 'lightning-pepr[ray]'")

from lightning_pepr.study.ray import _assign, _keep, _Node, _train_on_node

MODEL = "test_resnet.r160_in1k"
SEEDS = 5


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name: Ray's sockets are in it."""
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def cluster(short: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    for name, value in {
        "RAY_TMPDIR": str(short),
        LOCKS: str(short),  # another study on this machine is no matter of this test
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100 << 20})
    try:
        yield cluster
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


def arguments(out: Path, address: str) -> list[str]:
    options = {
        "--models": MODEL,
        "--data": "digits",
        "--image-size": "32",
        "--epochs": "2",
        "--train-samples": "256",
        "--accelerator": "cpu",
        "--seeds": str(SEEDS),
        "--engine": "ray",
        "--ray-address": address,
        "--out": str(out),
    }
    return [sys.executable, "-m", "lightning_pepr.cli", "study", *(word for pair in options.items() for word in pair)]


def records(out: Path) -> list[RunRecord]:
    return [RunRecord.load(path) for path in files_below(out) if path.name == FILE_NAME]


def held(locks: Path) -> bool:
    """Whether a node is in a run: it then holds the lock of its device."""
    for path in locks.glob("*.lock"):
        try:
            FileLock(path).acquire(timeout=0).lock.release()
        except Timeout:
            return True
    return False


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_node_that_dies_loses_no_run_and_doubles_none(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Hosts of their own share no lock. Were it one, either node could have it again and again, and do all the runs.
    locks = tmp_path / "lasting", tmp_path / "doomed"
    nodes = []
    for folder in locks:
        monkeypatch.setenv(LOCKS, str(folder))
        nodes.append(cluster.add_node(num_cpus=1, object_store_memory=100 << 20))
    lasting, doomed = nodes
    out = tmp_path / "runs"
    log = tmp_path / "log.txt"
    with log.open("w", encoding="utf-8") as file:
        driver = subprocess.Popen(arguments(out, cluster.address), stdout=file, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 400
        while not (any(record.hardware["ray_node"] == doomed.node_id for record in records(out)) and held(locks[1])):
            assert driver.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.1)  # until it has done one run and is in its next
        before = {record.run_id for record in records(out)}
        assert len(before) < SEEDS
        cluster.remove_node(doomed, allow_graceful=False)
        assert driver.wait(400) == 0, log.read_text(encoding="utf-8")
    finally:
        driver.kill()
        driver.wait()

    output = log.read_text(encoding="utf-8")
    assert "lost with its node" in output
    assert "it is done again elsewhere" in output
    assert f"{SEEDS} of {SEEDS} runs finished." in output
    after = records(out)
    assert sorted(record.settings["seed"] for record in after) == list(range(SEEDS))
    assert all(is_done(record) for record in after)
    assert before <= {record.run_id for record in after}
    assert {record.hardware["ray_node"] for record in after} == {lasting.node_id, doomed.node_id}
    assert all(record.hardware["host"] for record in after)
    assert len(load_runs(out)) == SEEDS
    assert not list(out.rglob(".incoming*"))

    again = subprocess.run(arguments(out, cluster.address), capture_output=True, text=True, timeout=200, check=False)
    assert f"{SEEDS} of them finished before and skipped" in again.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_budget_ends_the_run_that_meets_it(cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    out = tmp_path / "runs"
    limits = ["--epochs", "50", "--budget", "data_samples=300"]  # of 256 an epoch
    done = subprocess.run(
        [*arguments(out, cluster.address), *limits], capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f" of 300 samples); {SEEDS - 1} runs left" in done.stdout
    (record,) = records(out)
    assert (record.status, record.error) == ("interrupted", "the study's budget is spent")
    assert 512 <= (record.costs["data_samples"].value or 0.0) < 10 * 256


@pytest.mark.slow
def test_without_a_cluster_it_says_how_to_start_one(tmp_path: Path) -> None:
    done = subprocess.run(
        arguments(tmp_path / "runs", "127.0.0.1:1"),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, LOCKS: str(tmp_path)},
    )
    assert done.returncode == 2, done.stderr
    assert "there is no Ray cluster at '127.0.0.1:1'" in done.stderr
    assert "ray start --head" in done.stderr


def test_a_lost_run_goes_elsewhere_if_there_is_an_elsewhere() -> None:
    one, two = _Node("one", 1, 1.0, 0), _Node("two", 2, 1.0, 1)
    waiting = deque([0, 1, 2, 3])
    assert _assign(waiting, [one, two], {}, {0: "one"}) == [(1, one), (0, two), (2, two)]
    assert list(waiting) == [3]
    assert _assign(waiting, [one, two], {"a": (1, one), "b": (0, two), "c": (2, two)}, {}) == []
    assert _assign(waiting, [one], {}, {3: "one"}) == [(3, one)]


def whole(record: RunRecord) -> bytes:
    return json.dumps(record.to_dict()).encode()


def test_a_record_comes_whole_and_once(tmp_path: Path) -> None:
    settings = Settings("digits", accelerator="cpu")
    (run,) = make_runs(settings, [Model("a", "a", 32)], DataSize(10, 100, 10, 10))
    folder = StudyFolder.open(tmp_path, settings)
    node = _Node("here", 1, 1.0, 0)
    target = tmp_path / run.folder
    _keep(folder, run, {"pepr.json": whole(RunRecord("a", status="failed")), "log.txt": b"why"}, node)
    assert (target / "log.txt").read_bytes() == b"why"
    first = RunRecord("a", status="finished", test_performance=0.5)
    _keep(folder, run, {"pepr.json": whole(first), "sub/x.csv": b"1"}, node)
    assert (target / "sub" / "x.csv").read_bytes() == b"1"
    _keep(folder, run, {"pepr.json": whole(RunRecord("a", status="finished", test_performance=0.9))}, node)
    _keep(folder, run, "it failed again", node)
    (kept,) = records(tmp_path)
    assert (kept.run_id, kept.hardware["ray_node"]) == (first.run_id, "here")


def test_a_run_that_left_nothing_has_a_record_that_says_why(tmp_path: Path) -> None:
    settings = Settings("digits", accelerator="cpu")
    (run,) = make_runs(settings, [Model("a", "a", 32)], DataSize(10, 100, 10, 10))
    _keep(StudyFolder.open(tmp_path, settings), run, "lost with its node", _Node("here", 1, 1.0, 0))
    (kept,) = records(tmp_path)
    assert (kept.status, kept.error, kept.group) == ("failed", "lost with its node", run.group)
    assert kept.hardware == {"ray_node": "here"}


@pytest.mark.slow
def test_on_its_node_a_run_keeps_its_group_and_spends_what_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LOCKS, str(tmp_path))
    settings = Settings("digits", image_size=32, epochs=50, train_samples=64, eval_samples=64, accelerator="cpu")
    run = Run(settings, Model(MODEL, MODEL, 32), difference="lr 0.1")
    files = _train_on_node(run, {"data_samples": 150.0})
    record = json.loads(files["pepr.json"])
    assert record["group"] == "digits, scratch, 100 %, lr 0.1"
    assert (record["status"], record["error"]) == ("interrupted", "the study's budget is spent")
    assert 150 <= record["costs"]["data_samples"]["value"] < 50 * 64
    assert "log.txt" in files
    assert not [name for name in files if name.endswith(".ckpt")]
