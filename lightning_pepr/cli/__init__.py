"""The command line: `lightning-pepr demo | rank | audit | study | report | doctor`."""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from lightning_pepr._version import __version__
from lightning_pepr.errors import PePRError
from lightning_pepr.utilities.text import say

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
    """Run a command; returns the exit status.

    That is 0; 1 if an audit found something; 2 if the input was wrong; 3 if the command itself failed, which is a bug.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser(words).parse_args(words)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return run(options)
    except (PePRError, OSError, ModuleNotFoundError) as error:
        say(f"lightning-pepr: {error}", sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception:  # Python's own status would be 1, which means that an audit found something
        say(traceback.format_exc(), sys.stderr)
        say("lightning-pepr: this is a bug in lightning-pepr; please report it with the lines above.", sys.stderr)
        return 3


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning as a program does: without the line of code that gave it."""
    say(f"lightning-pepr: warning: {message}", sys.stderr)


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
