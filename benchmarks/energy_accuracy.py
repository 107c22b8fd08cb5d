"""How near do energy readings come to the truth? `python -m benchmarks.energy_accuracy`.

Every tool meters the same simulated board, whose power and so whose energy is known, all at once, each in a process of
its own and in windows of its own, whose beginning and length are drawn at random. A window of exactly one second would
lock onto the counter's ticks, and flatter everybody.
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
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import TOOLS, environment, installed, versions
from benchmarks.table import table
from tests.simnvml import SimDevice, SimDriver

PASCAL, HOPPER = 4, 9
MODULE = "benchmarks.energy_accuracy"

APART = ("lightning-pepr, `read()`", "Zeus", "CodeCarbon, tasks", "carbontracker")
"""One way of using each tool that finds its devices by itself."""


@dataclass
class Case:
    """What all tools meter at once.

    Attributes:
        boards: The simulated boards.
        count, shortest, longest: How many windows, and their range of lengths in s.
        board: Which of the boards the process uses; None: none of them.
        visible: CUDA_VISIBLE_DEVICES, in which "{uuid}" stands for that board's; None: unset, and the tool gets
            to meter board 0.
        lost_after: Seconds after which the boards are lost.
        nvidia_smi: Whether there is an `nvidia-smi` on the PATH.
        alike: Whether all tools have the same windows: they are compared one by one, and not by their spread.
    """

    boards: list[SimDevice]
    count: int
    shortest: float = 1.0
    longest: float = 1.1
    board: int | None = 0
    visible: str | None = None
    lost_after: float | None = None
    nvidia_smi: bool = True
    alike: bool = False


def wave(**changes: Any) -> SimDevice:
    """A square wave of 70–320 W and 0.73 s, high for 40 % of it; the counter ticks every 100 ms.

    `nvmlDeviceGetPowerUsage` gives the mean over a second, as NVIDIA states it for boards of this kind.
    """
    return SimDevice(low=70, high=320, wave=0.73, duty=0.4, period=0.1, arch=HOPPER, power_window=1.0, **changes)


def without_counter(**changes: Any) -> SimDevice:
    """A board from before there were counters, which shows its mean power over each 100 ms."""
    return SimDevice(**{"low": 70, "high": 320, "wave": 0.73, "duty": 0.4, **changes}, counter=False, arch=PASCAL)


def steady(watts: float) -> SimDevice:
    return SimDevice(low=watts, high=watts, arch=HOPPER)


# In a process of its own: one tool ---------------------------------------------------------------------------------


def measure(
    title: str, gpus: list[int] | None, count: int, shortest: float, longest: float, seed: int
) -> dict[str, Any]:
    """Meter windows with one tool, and tell what it said and when."""
    found: dict[str, Any] = {"windows": [], "trouble": "", "called": 0.0}
    rng = random.Random(seed)
    tool = None
    try:
        if gpus is None:
            pretend_cuda()
        tool = TOOLS[title](gpus)
        tool.begin()  # a window that does not count: some set themselves up in the first one
        time.sleep(2.0)
        tool.end()
        tool.called = 0.0
    except Exception as error:
        found["trouble"] = f"raises {type(error).__name__} when it is set up"
    print("ready", flush=True)
    sys.stdin.readline()
    if tool is None or found["trouble"]:
        return found
    try:
        for _ in range(count):
            time.sleep(rng.uniform(0.0, 0.25))
            tool.begin()
            time.sleep(rng.uniform(shortest, longest))
            tool.end()
    except Exception as error:
        found["trouble"] = f"raises {type(error).__name__} into the training"
    time.sleep(0.3)
    found["windows"] = [vars(window) for window in tool.results()[1:]]
    found["called"] = tool.called
    tool.close()
    return found


def pretend_cuda() -> None:
    """Let torch see the simulated boards as CUDA would, by CUDA_VISIBLE_DEVICES."""
    import types

    import torch

    boards = SimDriver.current().uuids
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(boards)).split(",")
    seen = [uuid if uuid in boards else boards[int(uuid)] for uuid in visible if uuid]
    torch.cuda.is_available = lambda: bool(seen)
    torch.cuda.device_count = lambda: len(seen)
    torch.cuda.is_initialized = lambda: False
    properties: Any = lambda index: types.SimpleNamespace(uuid=seen[index].removeprefix("GPU-"))  # noqa: E731
    torch.cuda.get_device_properties = properties


# All tools on one simulation ---------------------------------------------------------------------------------------


def run(case: Case, titles: list[str]) -> dict[str, dict[str, Any]]:
    """Let all tools meter a case at once; those that poll a board without counter in busy loops come after."""
    busy = [title for title in titles if title.startswith("Zeus") and not case.boards[0].counter]
    found = run_together(case, [title for title in titles if title not in busy])
    for title in busy:
        found |= run_together(case, [title])
    return found


def run_together(case: Case, titles: list[str], prepare_s: float = 30.0) -> dict[str, dict[str, Any]]:
    sim = SimDriver(*case.boards)
    if case.lost_after is not None:
        sim.start(lost_at=prepare_s + case.lost_after)
    env = environment(sim.env(), case.nvidia_smi)
    env.pop("CUDA_VISIBLE_DEVICES", None)
    if case.visible is not None:
        env["CUDA_VISIBLE_DEVICES"] = case.visible.format(uuid=sim.uuids[case.board or 0])
    gpus = None if case.visible is not None else [case.board]
    with tempfile.TemporaryDirectory() as folder:
        children = {}
        for seed, title in enumerate(titles):
            target = str(Path(folder) / f"{seed}.json")
            chance = 0 if case.alike else seed
            work = json.dumps([title, gpus, case.count, case.shortest, case.longest, chance])
            child = subprocess.Popen(
                [sys.executable, "-m", MODULE, "--measure", work, target],
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            children[title] = (child, target)
        for child, _ in children.values():
            assert child.stdout is not None
            while (line := child.stdout.readline()) and line.strip() != "ready":
                pass
        if case.lost_after is not None:
            left = sim.epoch + prepare_s - time.monotonic()
            if left < 0:
                return run_together(case, titles, 2 * prepare_s)
            time.sleep(left)
        for child, _ in children.values():
            if child.poll() is None:
                assert child.stdin is not None
                child.stdin.write("go\n")
                child.stdin.flush()
        found = {}
        for title, (child, target) in children.items():
            _, errors = child.communicate(timeout=60 + case.count * (case.longest + 2))
            if child.returncode == 0 and Path(target).exists():
                found[title] = json.loads(Path(target).read_text())
            else:
                last = (errors.strip().splitlines() or [""])[-1]
                trouble = f"ends the process with exit code {child.returncode}"
                found[title] = {"windows": [], "trouble": trouble, "called": 0.0, "last": last}
    lost = sim.epoch + sim.devices[0].lost_at
    for outcome in found.values():
        for window in outcome["windows"]:
            window["place"] = "after" if window["begin"] > lost else "before" if window["end"] < lost else "across"
            begin, end = min(window["begin"], lost), min(window["end"], lost)
            window["truth"] = 0.0 if case.board is None else sim.truth(case.board, begin, end)
    return found


# Tables ------------------------------------------------------------------------------------------------------------


def accuracy_row(title: str, outcome: dict[str, Any]) -> list[str]:
    """A tool's row of a table of accuracy."""
    windows = outcome["windows"]
    total, truth = sum(w["joules"] for w in windows), sum(w["truth"] for w in windows)
    if outcome["trouble"] or len(windows) < 2 or not total:
        return [title, outcome["trouble"] or "0 J", "", "", "", "", ""]
    ratios = [w["joules"] / w["truth"] for w in windows]
    stated = [w for w in windows if w["error"] is not None]
    inside = sum(abs(w["joules"] - w["truth"]) <= w["error"] for w in stated)
    return [
        title,
        f"{total / truth - 1:+.2%}",
        f"{statistics.stdev(ratios):.2%}",
        f"{max(abs(ratio - 1) for ratio in ratios):.1%}",
        f"{inside} of {len(stated)}" if stated else "states none",
        f"{statistics.median(w['error'] / w['truth'] for w in stated):.2%}" if stated else "",
        f"{1000 * outcome['called'] / len(windows):.1f} ms",
    ]


def outcome_cell(case: Case, outcome: dict[str, Any]) -> str:
    """What a tool says in a case, in a few words."""
    windows = outcome["windows"]
    total, truth = sum(w["joules"] for w in windows), sum(w["truth"] for w in windows)
    notes = {w["note"] for w in windows} - {""}
    if case.board is None:
        text = f"{total:.0f} J where none is due" if total else "no GPU energy, as is right"
    elif outcome["trouble"] and not windows:
        text = ""
    elif total != total:
        text = "unavailable (NaN)"
    elif not total:
        text = "0 J"
    elif case.lost_after is not None:
        before = [w for w in windows if w["place"] == "before"]
        after = [w for w in windows if w["place"] == "after"]
        text = f"before: {sum(w['joules'] for w in before) / sum(w['truth'] for w in before):.1f} × the truth"
        if after:
            text += f"; after: {sum(w['joules'] for w in after):.0f} J"
        if "lower bound" in notes:
            text += ", marked as a lower bound"
    else:
        text = f"{total / truth:.1f} × the truth"
    return "; ".join(filter(None, [text, outcome["trouble"]]))


def device_stats() -> str:
    """What Lightning's DeviceStatsMonitor logs."""
    from lightning.pytorch.accelerators import CPUAccelerator

    keys = list(CPUAccelerator().get_device_stats("cpu"))
    assert not any(word in key for key in keys for word in ("energy", "power"))
    return "no energy (it logs `" + "`, `".join(keys) + "`; on CUDA `torch.cuda.memory_stats`)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=100, help="windows of 1.0–1.1 s (default: 100)")
    parser.add_argument("--long", type=int, default=20, help="windows of 10.0–10.1 s (default: 20)")
    parser.add_argument("--quick", action="store_true", help="two short windows each, to see whether it works")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        work, target = chosen.measure
        found = measure(*json.loads(work))
        Path(target).write_text(json.dumps(found))
        return
    count, few = (2, 2) if chosen.quick else (chosen.windows, max(5, chosen.windows // 5))
    titles = [title for title, tool in TOOLS.items() if installed(tool.package)]

    head = ["", "bias of the sum", "standard deviation", "worst", "truth within the stated error"]
    head += ["stated error (median)", "in calls, a window"]
    monitor = "Lightning's DeviceStatsMonitor"
    accuracy = {
        "Counter, windows of 1.0–1.1 s": Case([wave()], count),
        "Counter, windows of 10.0–10.1 s": Case([wave()], chosen.long, 10.0, 10.1),
        "No counter, windows of 1.0–1.1 s": Case([without_counter()], count),
        "No counter, steady 200 W, windows of 1.0–1.1 s": Case([without_counter(low=200, high=200)], few),
    }
    if chosen.quick:
        del accuracy["Counter, windows of 10.0–10.1 s"]
    print(f"{versions()}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n", flush=True)
    no_energy = device_stats()
    for title, case in accuracy.items():
        found = run(case, titles)
        rows = [accuracy_row(tool, found[tool]) for tool in titles]
        rows.append([monitor, no_energy, *[""] * 5])
        no_energy = "no energy"
        print(f"### {title}\n\n{table(head, rows)}\n", flush=True)

    two = [steady(300), steady(100)]
    cases = {
        "`CUDA_VISIBLE_DEVICES=GPU-<UUID>`": Case(two, 2, board=1, visible="{uuid}", alike=True),
        "`CUDA_VISIBLE_DEVICES=1`": Case(two, 2, board=1, visible="1", alike=True),
        "`CUDA_VISIBLE_DEVICES=` (empty)": Case(two, 2, board=None, visible="", alike=True),
        "no `nvidia-smi` on the PATH": Case([steady(300)], 2, nvidia_smi=False, alike=True),
        "GPU lost halfway": Case([steady(300)], 7, lost_after=4.0, alike=True),
    }
    named = [title for title in APART if title in titles]
    cells = {title: [title] for title in named}
    for case in cases.values():
        for title, outcome in run(case, named).items():
            cells[title].append(outcome_cell(case, outcome))
    rows = [*cells.values(), [monitor, *["no energy"] * len(cases)]]
    print(f"### Where the GPU is not simply there\n\n{table(['', *cases], rows)}", flush=True)


if __name__ == "__main__":
    main()
