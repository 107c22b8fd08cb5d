"""What does a study take beside its training? `python -m benchmarks.study`.

The peak memory of the driver with a plan of a thousand runs, of which none or all are finished; and how long a run
takes until its own code begins, against the time of importing torch, timm and lightning, by turns.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.table import table

IMPORTS = "import torch, timm, lightning"
SEEDS = 8  # of 131 models: 1,048 runs


def dry_run(out: Path, finish: bool) -> dict[str, float]:
    """Plan a study in this process, having let all of its runs be finished first, and tell its peak memory."""
    from lightning_pepr.cli import study as command
    from lightning_pepr.cli.study_options import parse, settings_of
    from lightning_pepr.record import CostEntry, Epoch, RunRecord
    from lightning_pepr.study.folder import StudyFolder
    from lightning_pepr.study.models import read_names
    from lightning_pepr.study.process import look_up
    from lightning_pepr.study.runs import make_runs

    wanted = {"--models": "paper", "--data": "digits", "--image-size": "auto", "--seeds": str(SEEDS), "--out": str(out)}
    options = parse(["--dry-run", *(word for pair in wanted.items() for word in pair)])
    if finish:
        settings = settings_of(options)
        models, size = look_up(settings, read_names(options.models), pretrained=False, weights={})
        folder = StudyFolder.open(out, settings)
        for run in make_runs(settings, models, size, seeds=SEEDS):
            record = RunRecord(run.model.name, status="finished", test_performance=0.5, settings=run.to_dict())
            record.costs = {"time_s": CostEntry(60.0), "energy_kwh": CostEntry(1e-3, quality="estimated")}
            record.epochs = [Epoch(epoch, 40 * epoch, 0.5, record.cost, {"pepr_e": 0.5}) for epoch in range(10)]
            record.save(folder.path / run.folder / "pepr.json")
    command.run(options)
    forbidden = {"torch", "lightning", "timm"} & set(sys.modules)
    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, "forbidden": len(forbidden)}


def seconds_to_import() -> float:
    """Until torch, timm and lightning are imported, from the start of a process."""
    begin = time.monotonic()
    # Not until it has ended, which takes such a process a second more.
    with subprocess.Popen([sys.executable, "-c", f"{IMPORTS}; print(flush=True)"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return time.monotonic() - begin


def seconds_to_start() -> float:
    """Until a run has all that it needs, from when the driver starts its process."""
    from lightning_pepr.study.process import WorkerProcess
    from lightning_pepr.study.runs import Model, Run
    from lightning_pepr.study.settings import Settings

    run = Run(Settings("digits", image_size=32, epochs=1, accelerator="cpu"), Model("dla46_c", "dla46_c", 32))
    with tempfile.TemporaryDirectory() as out, (Path(out) / "log.txt").open("wb") as log:
        begin = time.monotonic()
        worker = WorkerProcess({"task": "train", "run": run, "out": out}, log)
        next(worker.listen())
        taken = time.monotonic() - begin
        worker.process.kill()
        worker.end()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--plan", type=Path, help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--finish", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.plan is not None:
        print(json.dumps(dry_run(chosen.plan, chosen.finish)))
        return

    rows = []
    for finish in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, "-m", "benchmarks.study", "--plan", f"{folder}/runs"] + ["--finish"] * finish
            printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        figures = json.loads(printed.splitlines()[-1])
        assert figures["forbidden"] == 0
        rows.append([f"{131 * SEEDS:,}", "all" if finish else "none", f"{figures['peak_mb']:.0f} MB"])
    print(table(["runs", "of them finished", "peak memory of the driver"], rows), "\n")

    pairs = [(seconds_to_import(), seconds_to_start()) for _ in range(chosen.repeats + 1)][
        1:
    ]  # the first reads the disk
    ratios = [start / imported for imported, start in pairs]
    imported, start = (statistics.median(each) for each in zip(*pairs, strict=True))
    head = [f"`{IMPORTS}`", "start of a run", "ratio (median)", "least and most"]
    cells = [f"{imported:.1f} s", f"{start:.1f} s", f"{statistics.median(ratios):.2f}"]
    print(table(head, [[*cells, f"{min(ratios):.2f}–{max(ratios):.2f}"]]))


if __name__ == "__main__":
    main()
