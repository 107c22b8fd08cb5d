"""`lightning-pepr audit`: find costs that cannot be true, and leave their runs out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_pepr.cli.options import add_runs, check_output, read_named_runs, write_table
from lightning_pepr.utilities.text import say

if TYPE_CHECKING:
    import polars as pl

    from lightning_pepr.runs import Runs


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lightning-pepr audit`."""
    parser.description = (
        "Find costs that cannot be true. Exit status: 0 if nothing was found, 1 if something was, 2 if the input was "
        "wrong, 3 if the command itself failed."
    )
    add_runs(parser)
    group = "the column whose values are spaces of their own (group or dataset, if there)"
    parser.add_argument("--group", metavar="COLUMN", help=group)
    drop = "write the table without the runs that are rejected, and say what that changes in the ranking"
    parser.add_argument("--drop", type=Path, metavar="F.csv", help=drop)
    parser.add_argument("--output", type=Path, metavar="F.csv|F.json", help="write all findings to a file, too")


def run(options: argparse.Namespace) -> int:
    """Audit runs; returns the exit status: 0, or 1 if something was found."""
    from lightning_pepr.auditing import find
    from lightning_pepr.report.findings import print_findings

    check_output(options.output, options.paths)
    check_output(options.drop, options.paths, "--drop", (".csv",))
    runs = read_named_runs(options, options.group)
    findings = find(runs)
    print_findings(findings, runs)
    if options.output is not None:
        write_table(findings.drop("at"), options.output)
    if options.drop is not None:
        _drop(options, runs, findings)
    return 1 if len(findings) else 0


def _drop(options: argparse.Namespace, runs: Runs, findings: pl.DataFrame) -> None:
    """Write the runs that are not rejected, and say what that changes in the ranking."""
    from lightning_pepr.auditing import rejected
    from lightning_pepr.ranking.changes import ranking_changes, write_kept
    from lightning_pepr.report.findings import print_changes

    kept = runs.filter(~rejected(runs, findings))
    write_kept(options.paths, kept, options.drop)
    say(f"{len(kept):,} of {len(runs):,} runs are in {options.drop}.")
    if 0 < len(kept) < len(runs):
        try:
            print_changes(ranking_changes(runs, kept))
        except ValueError as error:
            say(f"They cannot be ranked: {error}")
