"""What does a callback take in a run of ten thousand short epochs? `python -m benchmarks.long_runs`.

The same training, of two steps and one of validation an epoch, is done with `PePRCallback` on a simulated board and
with a `Callback` that does nothing. The CPU time of all threads of the process is counted, in the first hundred epochs
and in the last, and all bytes that the process writes. A third training adds up what the hooks alone take, which takes
time itself.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.overhead import in_process, make_callback, timed
from benchmarks.peers import versions
from benchmarks.table import table
from tests.simnvml import SimDevice

MODULE = "benchmarks.long_runs"
PEPR, HOOKS, NONE = "lightning-pepr, `PePRCallback`", "its hooks", "a `Callback` that does nothing"
WINDOW = 100


def train(title: str, count: int) -> dict[str, Any]:
    """Train so many epochs, and tell the CPU time that was used by the start of each, and what was written."""
    import warnings

    import torch
    from lightning.pytorch import Callback, Trainer
    from torch.utils.data import DataLoader, TensorDataset

    from benchmarks.small import Small

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.cuda.is_available, torch.cuda.device_count = lambda: False, lambda: 0

    class Marks(Callback):
        def __init__(self) -> None:
            self.cpu: list[float] = []

        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            self.cpu.append(time.process_time())

        on_train_end = on_train_epoch_start

    marks, ours = Marks(), Callback() if title == NONE else make_callback(PEPR)
    spent = timed(ours).spent if title == HOOKS else []
    train_data, val_data = (DataLoader(TensorDataset(torch.ones(n, 4)), batch_size=2) for n in (4, 2))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="cpu",
            callbacks=[marks, ours],
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            logger=False,
            max_epochs=count,
            num_sanity_val_steps=0,
        )
        before = written()
        trainer.fit(Small(), train_data, val_data)
        after = written()
        files = {path.name: path.stat().st_size for path in Path(folder).iterdir()}
    hooks = [(epoch["step"] + epoch["epoch"]) / 1e6 for epoch in spent]
    return {"cpu": marks.cpu, "written": after - before, "files": files, "hooks": hooks}


def written() -> int:
    """The bytes that this process has written, whether to files, pipes or sockets."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


def an_epoch(found: dict[str, Any], begin: int, end: int) -> float:
    """The CPU time of each of some epochs, in milliseconds."""
    return 1e3 * float(found["cpu"][end] - found["cpu"][begin]) / (end - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10_000, help="of the long run (default: 10000)")
    parser.add_argument("--repetitions", type=int, default=1, help="of each training (default: 1)")
    parser.add_argument("--quick", action="store_true", help="a short run, to see whether it works")
    parser.add_argument("--do", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.do:
        import json

        work, target = chosen.do
        _, arguments = json.loads(work)
        Path(target).write_text(json.dumps(train(*arguments)))
        return
    epochs, repetitions = (110, 1) if chosen.quick else (chosen.epochs, chosen.repetitions)
    print(f"{versions()}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n", flush=True)
    runs: dict[str, list[dict[str, Any]]] = {PEPR: [], NONE: [], HOOKS: []}
    for _ in range(repetitions):
        for title, found in runs.items():
            found.append(in_process(SimDevice(), "train", title, epochs, module=MODULE))

    rows, last = [], epochs - 1
    for begin, end in ((2, min(WINDOW, last)), (max(2, last - WINDOW), last)):
        ours, without = (statistics.median(an_epoch(run, begin, end) for run in runs[each]) for each in (PEPR, NONE))
        hooks = statistics.median(statistics.median(run["hooks"][begin:end]) for run in runs[HOOKS])
        of_all = [f"{ours:.1f} ms", f"{without:.1f} ms", f"{ours - without:.1f} ms", f"{ours / without:.2f}"]
        rows.append([f"{begin + 1:,} to {end:,}", *of_all, f"{hooks:.1f} ms"])
    head = ["epochs", "CPU time of an epoch", "with an empty one", "more by", "ratio", "in its hooks (median)"]
    print(f"### CPU time\n\n{table(head, rows)}\n")

    rows = []
    for title in (PEPR, NONE):
        found = runs[title]
        size = statistics.median(run["written"] for run in found)
        files = ", ".join(f"{name} {bytes / 1e6:.1f} MB" for name, bytes in sorted(found[0]["files"].items()))
        rows.append([title, f"{size / 1e6:.1f} MB", f"{size / epochs / 1e3:.1f} kB", files or "none"])
    head = [f"a run of {epochs:,} epochs", "bytes written in all", "an epoch", "files it leaves"]
    print(f"### What is written\n\n{table(head, rows)}", flush=True)


if __name__ == "__main__":
    main()
