"""A study on a Ray cluster: one run per GPU, or per node without GPUs; records come back to the driver.

Only the driver writes into the study's folder, once for each run, so that a run whose node dies is neither lost nor
there twice. Nodes need this package and the data where the driver has them; they share no files with it.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightning_pepr.record import RunRecord
from lightning_pepr.study.budget import StudyBudget
from lightning_pepr.study.claims import Claim, Owner, claim
from lightning_pepr.study.estimate import StudyEstimate
from lightning_pepr.study.folder import StudyFolder, failed_since, is_done, put_aside
from lightning_pepr.study.locks import device_lock
from lightning_pepr.study.process import StudyError, execute
from lightning_pepr.study.progress import StudyProgress
from lightning_pepr.study.runs import Run
from lightning_pepr.study.words import outcome
from lightning_pepr.utilities.files import FILE_NAME, INCOMING
from lightning_pepr.utilities.imports import require

ATTEMPTS = 4
"""How many nodes may die under a run before it counts as failed: it may be the run that ends them."""

PATIENCE_S = 300.0
"""How long to wait for a node while the cluster has none."""

_POLL_S = 2.0  # how often to check whether nodes have come


class _Node(NamedTuple):
    """A node of the cluster, and what a run there is given."""

    id: str
    slots: int
    cpus: float
    gpus: int


def run_on_ray(
    todo: Sequence[Run], folder: StudyFolder, estimate: StudyEstimate, budget: StudyBudget, *, address: str = "auto"
) -> tuple[list[tuple[Run, RunRecord]], str]:
    """Do runs on a cluster ("auto" finds it, "local" starts one here); returns the same as `run_here`.

    The budget is checked before each run begins and, for that run alone, after each of its epochs.
    """
    ray = _connect(address)
    remote = ray.remote(_train_on_node)
    waiting = deque(range(len(todo)))
    running: dict[Any, tuple[int, _Node]] = {}
    claims: dict[int, Claim] = {}
    theirs: list[int] = []  # those that another study of the folder trains
    found = [folder.attempt_of(run) for run in todo]
    deaths = [0] * len(todo)
    avoid: dict[int, str] = {}
    failed: list[tuple[Run, RunRecord]] = []
    finished, stopped = 0, ""
    last_node = time.monotonic()
    with StudyProgress([run.title for run in todo], estimate.time_s, noun="run") as progress:
        try:
            while waiting or running or theirs:
                if (waiting or theirs) and budget.is_spent():
                    stopped = budget.verdict(len(waiting) + len(theirs))
                    waiting.clear()
                    theirs.clear()
                    continue
                if not waiting:
                    waiting.extend(theirs)
                nodes = _nodes(ray, todo)
                last_node = time.monotonic() if nodes else last_node
                if not running and time.monotonic() - last_node > PATIENCE_S:
                    raise StudyError(
                        f"the Ray cluster has had no node for {PATIENCE_S:.0f} s. {finished} runs of this start are "
                        "finished and kept; start the study again once there is one, which skips them."
                    )
                for number, node in _assign(waiting, nodes, running, avoid):
                    run = todo[number]
                    claimed = claims.get(number) or claim(folder.path / run.folder)
                    if isinstance(claimed, Owner):
                        if number not in theirs:
                            progress.say(f"{run.title} is trained by {claimed}; it is looked at again at the end")
                            theirs.append(number)
                        continue
                    theirs = [other for other in theirs if other != number]
                    known = folder.record_of(run)
                    if is_done(known) or failed_since(known, found[number]):  # for another study meanwhile
                        claimed.release()
                        finished += 1
                        failed += [(run, known)] if known is not None and not is_done(known) else []
                        continue
                    if claimed.instead_of:
                        progress.say(f"{run.title} is taken over from {claimed.instead_of}")
                    claims[number] = claimed
                    running[_submit(remote, run, node, budget)] = number, node
                if not running:
                    time.sleep(_POLL_S)
                    continue
                ready, _ = ray.wait(list(running), num_returns=1, timeout=_POLL_S)
                for reference in ready:
                    number, node = running.pop(reference)
                    run = todo[number]
                    try:
                        result = ray.get(reference)
                    except ray.exceptions.RayTaskError as error:
                        result = f"{type(error.cause).__name__}: {error.cause}"
                    except ray.exceptions.RayError as error:  # the node, or the process there, is gone
                        deaths[number] += 1
                        lost = f"lost with its node ({type(error).__name__})"
                        if deaths[number] < ATTEMPTS:
                            progress.say(f"{run.title}: {lost}; it is done again elsewhere")
                            avoid[number] = node.id
                            waiting.appendleft(number)
                            continue
                        result = f"{lost} {ATTEMPTS} times"
                    record = _keep(folder, run, result, node)
                    claims.pop(number).release()
                    finished += 1
                    progress.begin(min(finished, len(todo) - 1))
                    progress.say(f"[{finished}/{len(todo)}] {outcome(run.title, record, run.settings.measure)}")
                    if record.status == "failed":
                        failed.append((run, record))
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
            ray.shutdown()
            for claimed in claims.values():
                claimed.release()
    return failed, stopped


def _connect(address: str) -> Any:
    ray = require("ray", "ray", "--engine ray")
    try:
        host, colon, port = address.rpartition(":")
        if colon and port.isdigit() and "://" not in address:  # Ray itself would try for minutes
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        ray.init(
            address=None if address == "local" else address,
            logging_level=logging.ERROR,
            log_to_driver=False,
            include_dashboard=False if address == "local" else None,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ConnectionError(
            f"there is no Ray cluster at {address!r} ({' '.join(str(error).split())[:200]}). Start one with "
            "`ray start --head`, or name it: --ray-address HOST:PORT, or local for this machine alone."
        ) from error
    return ray


def _nodes(ray: Any, todo: Sequence[Run]) -> list[_Node]:
    """The nodes that are alive and have something to train on."""
    on_cpu = todo[0].settings.accelerator == "cpu"
    found = []
    for node in ray.nodes():
        cpus, gpus = node["Resources"].get("CPU", 0.0), int(node["Resources"].get("GPU", 0))
        if node["Alive"] and cpus >= 1:
            on_gpus = gpus and not on_cpu
            slots = (gpus, max(1.0, cpus // gpus), 1) if on_gpus else (1, cpus, 0)
            found.append(_Node(node["NodeID"], *slots))
    return found


def _assign(
    waiting: deque[int], nodes: Sequence[_Node], running: Mapping[Any, tuple[int, _Node]], avoid: Mapping[int, str]
) -> list[tuple[int, _Node]]:
    """Give runs to free slots; a run that was lost goes to another node than before, if there is one."""
    busy = [node.id for _, node in running.values()]
    given = []
    for node in nodes:
        for _ in range(node.slots - busy.count(node.id)):
            number = next((n for n in waiting if len(nodes) == 1 or avoid.get(n) != node.id), None)
            if number is None:
                break
            waiting.remove(number)
            given.append((number, node))
    return given


def _submit(remote: Any, run: Run, node: _Node, budget: StudyBudget) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node.id, soft=False)
    # Retries are ours: Ray would do them on the node that has died, or not at all.
    options = {"num_cpus": node.cpus, "num_gpus": node.gpus, "max_retries": 0, "scheduling_strategy": there}
    return remote.options(**options).remote(run, budget.left)


def _train_on_node(run: Run, budget: dict[str, float]) -> dict[str, bytes]:
    """Do a run for no more than a budget; returns its files, by their path below its folder, without checkpoints."""
    with tempfile.TemporaryDirectory(prefix="lightning-pepr-") as out:
        folder = Path(out) / run.folder
        with device_lock(run.settings):
            execute(run, Path(out), StudyBudget(Path(out), budget).watch())
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and path.suffix != ".ckpt"
        }


def _keep(folder: StudyFolder, run: Run, result: Mapping[str, bytes] | str, node: _Node) -> RunRecord:
    """Put what a run has left, or why it left nothing, into the study's folder, all of it or nothing.

    Returns the record that is in the folder then: a run that is done already stays as it is.
    """
    target = folder.path / run.folder
    known = folder.record_of(run)
    if is_done(known):
        return known
    put_aside(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=INCOMING) as temporary:
        whole = Path(temporary) / "run"
        for name, content in ({} if isinstance(result, str) else result).items():
            path = whole / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if isinstance(result, str):
            record = run.new_record()
            record.status, record.error = "failed", result
        else:
            record = RunRecord.load(whole)
        record.hardware["ray_node"] = node.id
        record.save(whole / FILE_NAME)
        os.replace(whole, target)
    return record
