"""`lightning-pepr rank`: rank runs, and print or write the ranking."""

from __future__ import annotations

import argparse
from pathlib import Path

from lightning_pepr.cli.options import add_at, add_runs, check_output, read_named_runs, write_table
from lightning_pepr.utilities.text import say


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lightning-pepr rank`."""
    add_runs(parser)
    parser.add_argument("--group", metavar="COLUMN", help="rank the runs of each value of this column apart")
    space = "a published space, such as derma_pt, or a file that ModelSpace.save wrote, instead of the runs' own"
    parser.add_argument("--space", metavar="NAME_OR_FILE", help=space)
    by = "energy, carbon, time, memory, data, parameters, or their letters; the first of several orders the table"
    parser.add_argument("--by", default="energy", metavar="RESOURCE[,…]", help=f"{by} (%(default)s)")
    baseline = "score (P - P0) / (1 - P0) instead of P, and show the free predictor that has P0"
    parser.add_argument("--baseline", type=float, metavar="P0", help=baseline)
    add_at(parser)
    parser.add_argument("--output", type=Path, metavar="F.csv|F.json", help="write the ranking instead of printing it")


def run(options: argparse.Namespace) -> int:
    """Rank runs; returns the exit status 0."""
    from lightning_pepr.ranking import leverage, rank

    check_output(options.output, options.paths)
    runs = read_named_runs(options, options.group)
    how = {"group": options.group, "by": options.by.split(","), "baseline": options.baseline, "at": options.at}
    ranking = rank(runs, space=options.space, **how)
    if options.output is not None:
        write_table(ranking, options.output)
        return 0

    from lightning_pepr.report.table import footnotes, print_ranking

    print_ranking(ranking)
    for line in footnotes(ranking, leverage(runs, **how) if options.space is None else None):
        say(line)
    return 0
