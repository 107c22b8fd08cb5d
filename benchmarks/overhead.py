"""What does a callback take from the training? `python -m benchmarks.overhead`.

The same small model is trained with each callback on a simulated board. Every hook is timed by the CPU time of the
thread that runs it; so is an empty callback that comes after it in the same training, and the difference counts, less
that between two empty ones. Wall time would show the other processes of the machine more than the callback.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers import TOOLS, Tool, environment, installed, versions
from benchmarks.table import table
from tests.simnvml import SimDevice, SimDriver

MODULE = "benchmarks.overhead"
STEPS = 1000
LATENCY = 50e-6
"""Seconds that a call of the driver takes."""

PEPR = "lightning-pepr, `PePRCallback`"
EMPTY = "another empty callback"
MONITOR = "Lightning's DeviceStatsMonitor"
PEERS = {"Zeus": "Zeus", "CodeCarbon, tasks": "CodeCarbon, tasks", "carbontracker": "carbontracker"}


# In a process of its own: a training with one callback -------------------------------------------------------------


def train(title: str, count: int, steps: int) -> dict[str, Any]:
    """Train with a callback, and tell what each epoch of it cost in CPU time."""
    import warnings

    import torch
    from lightning.pytorch import Callback, Trainer
    from torch.utils.data import DataLoader, TensorDataset

    from benchmarks.small import Small
    from lightning_pepr.meters.host import HostMeter

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    # Lightning has torch look for CUDA by NVML, and there is but the simulated one.
    torch.cuda.is_available, torch.cuda.device_count = lambda: False, lambda: 0

    data = TensorDataset(torch.ones(2 * steps, 4))
    callback, empty = timed(make_callback(title)), timed(Callback())
    waits = {"driver": waiting_in(callback, HostMeter, "read", "settle"), "disk": waiting_in(callback, os, "fsync")}
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="cpu",
            callbacks=[callback, empty],  # the first to be called is the slower: PePRCallback puts itself there
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            limit_val_batches=10,
            max_epochs=count,
            num_sanity_val_steps=0,
        )
        begun, cpu, own = time.perf_counter(), time.process_time(), time.thread_time()
        trainer.fit(Small(), DataLoader(data, batch_size=2), DataLoader(data, batch_size=2))
        wall = time.perf_counter() - begun
        beside = (time.process_time() - cpu) - (time.thread_time() - own)
    epochs = [
        {key: one[key] - other[key] for key in one} for one, other in zip(callback.spent, empty.spent, strict=True)
    ]
    # The first epoch imports things, the last ends the fit.
    waited = {name: sum(s for epoch, s in found if 1 < epoch < count) / (count - 2) for name, found in waits.items()}
    return {"epochs": epochs[1:-1], "beside": beside / wall, "waited": waited}


def waiting_in(callback: Any, owner: Any, *names: str) -> list[tuple[int, float]]:
    """How long some functions did not run while they were called, wall time less CPU time, with the epoch, from 1."""
    found: list[tuple[int, float]] = []

    def wrap(function: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                waited = (time.perf_counter() - wall) - (time.thread_time() - cpu)
                found.append((len(callback.spent), waited))

        return run

    for name in names:
        setattr(owner, name, wrap(getattr(owner, name)))
    return found


def make_callback(title: str) -> Any:
    """A callback as its documentation shows it; a tracker meters each epoch."""
    from lightning.pytorch import Callback
    from lightning.pytorch.callbacks import DeviceStatsMonitor

    from lightning_pepr import ModelSpace, PePRCallback

    if title == EMPTY:
        return Callback()
    if title == MONITOR:
        return DeviceStatsMonitor()
    if title == PEPR:
        return PePRCallback("val_acc", ModelSpace.budget(energy_kwh=0.1), devices=[0], prog_bar=False)

    class EachEpoch(Callback):
        def __init__(self, tool: Tool) -> None:
            self.tool = tool

        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            self.tool.begin()

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            self.tool.end()

    return EachEpoch(TOOLS[PEERS[title]]([0]))


def timed(callback: Any) -> Any:
    """The same callback, which adds up the CPU and the wall time of its hooks: of each epoch, by step and by epoch."""
    from lightning.pytorch import Callback

    kind = type(callback)
    hooks = [name for name in dir(Callback) if name.startswith("on_")]
    clock, wall = time.thread_time_ns, time.perf_counter_ns

    def wrap(name: str) -> Any:
        hook = getattr(kind, name)
        place = "step" if "batch" in name or name.startswith(("on_before", "on_after")) else "epoch"

        def run(self: Any, trainer: Any, *args: Any, **kwargs: Any) -> Any:
            if self.inside:  # one hook calls another
                return hook(self, trainer, *args, **kwargs)
            if name == "on_train_epoch_start":
                self.spent.append({"step": 0, "epoch": 0, "wall": 0})
            clock(), wall()  # the first call after other work is slower
            self.inside, began_wall, began = True, wall(), clock()
            try:
                return hook(self, trainer, *args, **kwargs)
            finally:
                if self.spent:
                    self.spent[-1][place] += clock() - began
                    self.spent[-1]["wall"] += wall() - began_wall
                self.inside = False

        return run

    members: dict[str, Any] = {name: wrap(name) for name in hooks if "exception" not in name}
    plain = kind.state_key.fget

    def state_key(self: Any) -> str:  # asked for at every hook
        clock()
        began = clock()
        key = plain(self)
        if self.spent:
            self.spent[-1]["step"] += clock() - began
        return key

    callback.spent, callback.inside = [], False
    callback.__class__ = type(kind.__name__, (kind,), {**members, "state_key": property(state_key)})
    return callback


# In a process of its own: the meter between boundaries -------------------------------------------------------------


def watch(boundaries: int, shortest: float, longest: float) -> dict[str, Any]:
    """Mark boundaries, and tell how many calls of the driver they took, and the CPU time of the meter's threads."""
    from lightning_pepr import open_meter

    rng = random.Random(1)
    before = set(threading.enumerate())
    with open_meter(devices=[0]) as meter:
        threads = [thread for thread in threading.enumerate() if thread not in before]
        time.sleep(2.5)  # it learns when the ticks come
        clocks = [time.pthread_getcpuclockid(thread.ident) for thread in threads if thread.ident is not None]
        calls, cpu, begun = SimDriver.calls(), sum(map(time.clock_gettime, clocks)), time.monotonic()
        for _ in range(boundaries):
            time.sleep(rng.uniform(shortest, longest))
            reading = meter.read(wait=False)
        meter.settle(reading)
        elapsed = time.monotonic() - begun
        calls = SimDriver.calls() - calls
        cpu = sum(map(time.clock_gettime, clocks)) - cpu
        idle = SimDriver.calls()
        time.sleep(2.0)
        idle = SimDriver.calls() - idle
    return {
        "calls": calls / boundaries,
        "cpu": cpu / elapsed,
        "driver": calls * LATENCY / elapsed,
        "idle": idle / 2.0,
    }


# Tables ------------------------------------------------------------------------------------------------------------


def in_process(device: SimDevice, function: str, *arguments: Any, module: str = MODULE) -> Any:
    """Do something on a simulated board in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "found.json"
        work = json.dumps([function, arguments])
        env = environment(SimDriver(device, latency=LATENCY).env())
        env.pop("CUDA_VISIBLE_DEVICES", None)
        done = subprocess.run(
            [sys.executable, "-m", module, "--do", work, str(target)], env=env, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{function}{arguments} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return json.loads(target.read_text())


def median(runs: list[dict[str, Any]], key: str) -> float:
    return statistics.median(epoch[key] for run in runs for epoch in run["epochs"]) / 1e3  # µs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=3, help="trainings with each callback (default: 3)")
    parser.add_argument("--boundaries", type=int, default=30, help="boundaries of the meter alone (default: 30)")
    parser.add_argument("--quick", action="store_true", help="one short training each, to see whether it works")
    parser.add_argument("--do", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.do:
        work, target = chosen.do
        function, arguments = json.loads(work)
        does: dict[str, Callable[..., dict[str, Any]]] = {"train": train, "watch": watch}
        Path(target).write_text(json.dumps(does[function](*arguments)))
        return
    repetitions, epochs, steps, boundaries = chosen.repetitions, 5, STEPS, chosen.boundaries
    if chosen.quick:
        repetitions, epochs, steps, boundaries = 1, 3, 50, 3

    titles = [PEPR, MONITOR, *(title for title, tool in PEERS.items() if installed(TOOLS[tool].package)), EMPTY]
    print(f"{versions()}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n", flush=True)
    runs: dict[str, list[dict[str, Any]]] = {title: [] for title in titles}
    for _ in range(repetitions):  # by turns, so that what else the machine does meets all of them
        for title in titles:
            runs[title].append(in_process(SimDevice(), "train", title, epochs, steps))
    floor = runs.pop(EMPTY)
    on = {of: statistics.median(run["waited"][of] for run in runs[PEPR]) * 1e3 for of in ("driver", "disk")}
    idle = statistics.median(run["beside"] for run in floor)
    spent = {
        title: {key: median(found, key) - median(floor, key) for key in ("step", "epoch", "wall")}
        for title, found in runs.items()
    }
    ours = spent[PEPR]["step"] + spent[PEPR]["epoch"]
    rows = []
    for title, it in spent.items():
        beside = statistics.median(run["beside"] for run in runs[title]) - idle
        row = [title, f"{it['step'] / steps:.1f} µs", f"{it['epoch'] / 1e3:.1f} ms"]
        waited = max(0.0, it["wall"] - it["step"] - it["epoch"])
        rows.append([*row, f"{(it['step'] + it['epoch']) / ours:.2f}", f"{waited / 1e3:.1f} ms", f"{beside:.1%}"])
    each = sorted(epoch["step"] / 1e3 / steps for run in floor for epoch in run["epochs"])
    quarter = len(each) // 4
    noise = (each[-1 - quarter] - each[quarter]) / 2
    head = ["beyond an empty callback", "CPU time in its hooks, a step", "and an epoch besides"]
    head += [f"an epoch of {steps} steps, relative to lightning-pepr", "of an epoch spent waiting in its hooks"]
    print(f"### Callbacks\n\n{table([*head, 'CPU time of its threads, of a core'], rows)}\n")
    print(f"Noise: ± {noise:.1f} µs a step (half the interquartile range between two empty callbacks).")
    print(
        f"PePRCallback waits {on['driver']:.1f} ms an epoch for the driver's answers, and {on['disk']:.1f} ms for the "
        "disk, to which the record is written.\n",
        flush=True,
    )

    rows = []
    for title, device, shortest, longest in (
        ("counter, a boundary a second", SimDevice(), 0.9, 1.1),
        ("counter, a boundary every 5 s", SimDevice(), 4.5, 5.5),
        ("no counter, a boundary a second", SimDevice(counter=False), 0.9, 1.1),
    ):
        number = max(3, boundaries if longest < 2 else boundaries // 5)
        found = in_process(device, "watch", number, *((0.2, 0.3) if chosen.quick else (shortest, longest)))
        share = found["cpu"] + found["driver"]
        calls, idle = f"{found['calls']:.1f}", f"{found['idle']:.1f}"
        rows.append([title, calls, idle, f"{found['cpu']:.3%}", f"{share:.3%}"])
    head = ["lightning-pepr's meter", "driver calls a boundary", "and in a second without one"]
    head += ["CPU time of its thread, of a core", "with every driver call taken for 50 µs of CPU time"]
    print(f"### The meter between boundaries\n\n{table(head, rows)}", flush=True)


if __name__ == "__main__":
    main()
