"""`lightning-pepr study`: plans a study, tells what it may cost, drives it and sums it up."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lightning_pepr.cli.study_options import check_options, settings_of
from lightning_pepr.record import RunRecord
from lightning_pepr.study.budget import Purse
from lightning_pepr.study.local import (
    Found,
    Heard,
    StudyError,
    device_lock,
    disk_is_full,
    execute,
    split_runs,
    survey,
)
from lightning_pepr.study.models import read_names
from lightning_pepr.study.progress import Progress, StudyProgress, duration
from lightning_pepr.study.settings import (
    START_S,
    Estimate,
    Run,
    StudyFolder,
    count,
    estimate,
    is_done,
    make_runs,
    summary,
)

NEEDED_BYTES = 1_000_000
"""Free space without which a run that has failed is taken to have failed for want of it."""


def study(options: argparse.Namespace) -> int:
    """Do what the options say; returns the exit status: 0, or 1 if runs have failed.

    Raises:
        ValueError: If the input is wrong; nothing has been trained then.
        OSError: If something cannot be read or written.
        KeyboardInterrupt: On Ctrl-C, after the run has written its record.
    """
    check_options(options)
    settings = settings_of(options)
    names = read_names(options.models)
    weights = dict(options.weights)
    start = [True] * options.pretrained + [False] * (options.scratch or not options.pretrained)
    StudyFolder.open(options.out, settings, append=options.append, write=False)  # refused before anything takes long
    if options.space is not None:
        from lightning_pepr.space import ModelSpace

        ModelSpace.of(options.space)
    with StudyProgress([], noun="run") as progress:
        progress.doing("looking up models and data")
        found = survey(
            settings,
            names,
            pretrained=options.pretrained,
            weights=weights,
            heard=lambda told: progress.doing(f"looking up {told['name']} ({told['number']} of {told['of']})"),
        )
    runs = make_runs(
        settings,
        found.models,
        found.size,
        fractions=options.fraction,
        seeds=options.seeds,
        pretrained=start,
        weights=weights,
    )
    shard, shards = options.shard
    runs = runs[shard::shards]
    folder = StudyFolder.open(options.out, settings, append=options.append, write=not options.dry_run)
    apart = folder.apart(settings)
    runs = [replace(run, apart=apart) for run in runs]
    todo, finished = split_runs(runs, folder)
    guess = estimate(todo, found.size, finished)
    if options.dry_run:
        _print_plan(todo, finished, guess, found)
        return 0
    _print_outlook(todo, finished, guess, found)
    purse = Purse(folder.path, options.budget)
    if options.engine == "ray" and todo:
        from lightning_pepr.study.ray import run_on_ray

        outcome = run_on_ray(todo, folder, guess, purse, address=options.ray_address)
    else:
        outcome = run_here(todo, folder, guess, purse)
    return _sum_up(runs, folder, *outcome)


def run_here(
    todo: Sequence[Run], folder: StudyFolder, guess: Estimate, purse: Purse
) -> tuple[list[tuple[Run, RunRecord]], str]:
    """Do runs one after the other on this machine.

    Returns:
        What failed, and why the study stopped early (empty if it did not).

    Raises:
        StudyError: If the disk is full.
        KeyboardInterrupt: On Ctrl-C.
    """
    failed: list[tuple[Run, RunRecord]] = []
    done = 0
    with StudyProgress([run.title for run in todo], guess.time_s, noun="run", starting=START_S) as progress:
        for number, run in enumerate(todo):
            if purse.is_empty():
                return failed, purse.verdict(len(todo) - number)
            try:
                with device_lock(run.settings, lambda device: progress.say(f"waiting for another study on {device}")):
                    if is_done(folder.record_of(run)):  # by the study that was waited for
                        continue
                    if purse.is_empty():  # by now
                        return failed, purse.verdict(len(todo) - number)
                    progress.begin(number)
                    record = execute(run, folder.path, _listener(progress, purse.watch()))
            except OSError as error:
                if disk_is_full(error):
                    raise _no_space(folder, str(error), done) from error
                raise
            progress.say(f"[{number + 1}/{len(todo)}] {summary(run, record)}")
            if record.status == "failed":
                failed.append((run, record))
                if shutil.disk_usage(folder.path).free < NEEDED_BYTES:  # torch does not say why it cannot write
                    raise _no_space(folder, record.error, done)
            done += is_done(record)
    return failed, purse.verdict(0) if purse.is_empty() else ""


def _no_space(folder: StudyFolder, error: str, done: int) -> StudyError:
    return StudyError(
        f"there is no space left in {folder.path} ({error}). {done} runs of this start are finished and kept; make "
        "some space and start the study again, which skips them."
    )


def _listener(progress: StudyProgress, watch: Heard) -> Heard:
    """Shows how a run goes, and stops it when the budget is spent."""

    def heard(message: dict[str, Any]) -> None:
        if message["event"] == "progress":
            progress.update(Progress(message["share"], message["epoch"], message["epochs"]))
        watch(message)

    return heard


# What is told -------------------------------------------------------------------------------------------------------


def _total(guess: Estimate) -> str:
    """What runs may cost together, in words."""
    if not guess.time_s:
        return "nothing is left to do"
    words = f"about {duration(sum(guess.time_s))}"
    if guess.energy_kwh is not None:
        words += f" and {sum(guess.energy_kwh) * 1e3:.2g} Wh"
    # Errors of many runs do not cancel where the hardware is other than thought, so the factor stays.
    low, high = (duration(sum(guess.time_s) * factor) for factor in (1 / guess.factor, guess.factor))
    basis = f"learnt from {count(guess.runs, 'finished run')}" if guess.runs else "a guess before the first run"
    return f"{words} ({low} to {high}; {basis})"


def _print_outlook(
    todo: Sequence[Run], finished: Sequence[tuple[Run, RunRecord]], guess: Estimate, found: Found
) -> None:
    size = found.size
    skipped = f", {len(finished)} of them finished before and skipped" if finished else ""
    runs, models = count(len(todo) + len(finished), "run"), count(len(found.models), "model")
    print(f"{runs} of {models}{skipped}: {_total(guess)}.")
    print(
        f"Data: {size.train} images to train on, {size.val} to validate, {size.test} to test; {size.classes} classes."
    )


def _print_plan(todo: Sequence[Run], finished: Sequence[tuple[Run, RunRecord]], guess: Estimate, found: Found) -> None:
    width = max([len(run.model.name) for run in todo] + [5])
    print(f"{'model':<{width}}  {'start':<10}  {'data':>6}  {'seed':>4}  {'px':>4}  {'params':>8}  {'time':>12}")
    for run, seconds in zip(todo, guess.time_s, strict=True):
        start = "pretrained" if run.pretrained else "scratch"
        share, params = f"{run.fraction * 100:g} %", f"{run.model.params / 1e6:.1f} M"
        print(
            f"{run.model.name:<{width}}  {start:<10}  {share:>6}  {run.seed:>4}  {run.model.image_size:>4}  {params:>8}"
            f"  {duration(seconds):>12}"
        )
    _print_outlook(todo, finished, guess, found)


def _sum_up(runs: Sequence[Run], folder: StudyFolder, failed: Sequence[tuple[Run, RunRecord]], stopped: str) -> int:
    """Print how the study went; returns the exit status."""
    done = sum(is_done(folder.record_of(run)) for run in runs)
    print(f"\n{done} of {count(len(runs), 'run')} finished" + (f"; {stopped}." if stopped else "."))
    for run, record in failed[:20]:
        print(f"failed   {summary(run, record)}")
        print(f"         {folder.path / run.folder / 'log.txt'}")
    if len(failed) > 20:
        print(f"         and {len(failed) - 20} more")
    if failed:
        print("Start the study again to try these again; what is finished is skipped.")
    if done:
        print(f"Rank them            lightning-pepr rank {folder.path} --group group")
    return 1 if failed else 0
