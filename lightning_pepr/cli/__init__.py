"""The command line: `lightning-pepr demo | rank | audit | study | report | doctor`."""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from lightning_pepr._version import __version__
from lightning_pepr.errors import PePRError

COMMANDS = {
    "demo": "train, meter and rank some models on lung nodules, in four minutes",
    "rank": "rank runs: records, CSV tables, MLflow, W&B",
    "audit": "find costs that cannot be true; exit status 1 if there are any",
    "study": "train, meter and record many models on one data set",
    "report": "a page of runs for a browser, written or served",
    "doctor": "what can be measured on this host, how well, and what to do about it",
}
"""The commands and what each does. Each has a module here, with `add_options` and `run`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 if an audit found something, or 2 if the input was wrong."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser(words).parse_args(words)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return run(options)
    except (PePRError, OSError, ModuleNotFoundError) as error:
        print(f"lightning-pepr: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning as a program does: without the line of code that gave it."""
    print(f"lightning-pepr: warning: {message}", file=sys.stderr)


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """A parser of a command line; only the command that it names is imported."""
    parser = argparse.ArgumentParser(
        prog="lightning-pepr", description="What the performance of models costs, scored as PePR = P / (1 + R)."
    )
    parser.add_argument("--version", action="version", version=f"lightning-pepr {__version__}")
    commands = parser.add_subparsers(title="commands", required=True)
    for name, what in COMMANDS.items():
        subparser = commands.add_parser(name, help=what)
        if name in words:
            command = importlib.import_module(f"lightning_pepr.cli.{name}")
            command.add_options(subparser)
            subparser.set_defaults(run=command.run)
    return parser
