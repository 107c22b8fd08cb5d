"""`lightning-pepr study`: list the runs of a study and what they may cost, do them, and sum up."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from lightning_pepr.cli.study_options import add_options as add_options
from lightning_pepr.cli.study_options import check_options, settings_of
from lightning_pepr.record import RunRecord
from lightning_pepr.space import ModelSpace
from lightning_pepr.study.budget import StudyBudget
from lightning_pepr.study.estimate import StudyEstimate, estimate_study
from lightning_pepr.study.folder import StudyFolder, is_done
from lightning_pepr.study.local import run_here
from lightning_pepr.study.models import read_names
from lightning_pepr.study.process import LOG_FILE, look_up
from lightning_pepr.study.progress import StudyProgress
from lightning_pepr.study.runs import Run, make_runs
from lightning_pepr.study.words import count, duration, outcome
from lightning_pepr.utilities.text import say


def run(options: argparse.Namespace) -> int:
    """Do what the options say; returns the exit status: 0, or 1 if runs have failed."""
    check_options(options)
    settings = settings_of(options)
    names = read_names(options.models)
    weights = dict(options.weights)
    start = [True] * options.pretrained + [False] * (options.scratch or not options.pretrained)
    StudyFolder.open(options.out, settings, append=options.append, write=False)  # refused before anything takes long
    if options.space is not None:
        ModelSpace.of(options.space)
    with StudyProgress([], noun="run") as progress:
        progress.doing("looking up models and data")
        models, size = look_up(
            settings,
            names,
            pretrained=options.pretrained,
            weights=weights,
            on_message=lambda m: progress.doing(f"looking up {m['name']} ({m['number']} of {m['of']})"),
        )
    runs = make_runs(
        settings, models, size, fractions=options.fraction, seeds=options.seeds, pretrained=start, weights=weights
    )
    shard, shards = options.shard
    folder = StudyFolder.open(options.out, settings, append=options.append, write=not options.dry_run)
    difference = folder.difference(settings)
    runs = [replace(run, difference=difference) for run in runs[shard::shards]]
    todo, finished = folder.split(runs)
    estimate = estimate_study(todo, size, finished)
    if options.dry_run:
        _print_runs(todo, estimate)
    skipped = f", {len(finished)} of them finished before and skipped" if finished else ""
    say(f"{count(len(runs), 'run')} of {count(len(models), 'model')}{skipped}: {estimate}.")
    parts = f"{size.train} images to train on, {size.val} to validate, {size.test} to test"
    say(f"Data: {parts}; {size.classes} classes.")
    if options.dry_run:
        return 0
    budget = StudyBudget(folder.path, options.budget)
    if options.engine == "ray" and todo:
        from lightning_pepr.study.ray import run_on_ray

        failed, stopped = run_on_ray(todo, folder, estimate, budget, address=options.ray_address)
    else:
        failed, stopped = run_here(todo, folder, estimate, budget)
    return _sum_up(runs, folder, failed, stopped)


def _print_runs(todo: Sequence[Run], estimate: StudyEstimate) -> None:
    """Print a line for each run: what it is, and how long it may take."""
    width = max([len(run.model.name) for run in todo] + [5])
    say(f"{'model':<{width}}  {'start':<10}  {'data':>6}  {'seed':>4}  {'px':>4}  {'params':>8}  {'time':>12}")
    for run, seconds in zip(todo, estimate.time_s, strict=True):
        share, params = f"{run.fraction * 100:g} %", f"{run.model.params / 1e6:.1f} M"
        say(
            f"{run.model.name:<{width}}  {run.start:<10}  {share:>6}  {run.seed:>4}  {run.model.image_size:>4}  "
            f"{params:>8}  {duration(seconds):>12}"
        )


def _sum_up(runs: Sequence[Run], folder: StudyFolder, failed: Sequence[tuple[Run, RunRecord]], stopped: str) -> int:
    """Print how the study went; returns the exit status."""
    done = sum(is_done(folder.record_of(run)) for run in runs)
    say(f"\n{done} of {count(len(runs), 'run')} finished" + (f"; {stopped}." if stopped else "."))
    for run, record in failed[:20]:
        say(f"failed   {outcome(run.title, record)}")
        say(f"         {folder.path / run.folder / LOG_FILE}")
    if len(failed) > 20:
        say(f"         and {len(failed) - 20} more")
    if failed:
        say("Start the study again to try these again; what is finished is skipped.")
    if done:
        say(f"Rank them            lightning-pepr rank {folder.path} --group group")
    return 1 if failed else 0
