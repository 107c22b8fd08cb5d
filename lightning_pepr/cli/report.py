"""`lightning-pepr report`: write a page of runs, or serve it while they train."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from lightning_pepr.cli.options import add_at, add_runs
from lightning_pepr.errors import PePRError
from lightning_pepr.utilities.files import FILE_NAME
from lightning_pepr.utilities.text import say


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lightning-pepr report`."""
    add_runs(parser)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("-o", "--output", type=Path, metavar="F.html", help="the file to write")
    serve = "follow a running study instead: a page at the loopback address that updates as records arrive"
    where.add_argument("--serve", action="store_true", help=serve)
    parser.add_argument("--port", type=int, metavar="N", help="where to serve (8650, or a free one)")
    parser.add_argument("--title", metavar="TEXT", help="what the page is called")
    parser.add_argument("--group", metavar="COLUMN", help="look at the runs of each value of this column apart")
    parser.add_argument(
        "--space",
        metavar="NAME_OR_FILE",
        help="the space to begin with: a published one, such as derma_pt, or a file that ModelSpace.save wrote; the "
        "page has a switch",
    )
    parser.add_argument("--baseline", type=float, metavar="P0", help="score (P - P0) / (1 - P0) instead of P")
    add_at(parser)


def run(options: argparse.Namespace) -> int:
    """Write the page, or serve it until Ctrl-C; returns the exit status 0."""
    from lightning_pepr.report.page import TITLE, write_page
    from lightning_pepr.runs.columns import parse_columns

    how = {name: getattr(options, name) for name in ("space", "group", "baseline", "at", "monitor")}
    how["columns"] = parse_columns(options.column)
    title, command = options.title or TITLE, _again(options)
    if options.serve:
        return _serve(options, how, title, command)
    if options.port is not None:
        raise PePRError("--port goes with --serve; a file needs none.")
    output: Path = options.output
    if output.suffix.lower() not in (".html", ".htm"):
        raise PePRError(f"--output is {str(output)!r}; expected a name that ends in .html.")
    say(write_page(options.paths, output, title=title, command=command, **how))
    return 0


def _serve(options: argparse.Namespace, how: dict[str, Any], title: str, command: str) -> int:
    import warnings

    from lightning_pepr.report.data import collect, fingerprint
    from lightning_pepr.report.server import PORT, ReportServer

    for path in options.paths:
        if not path.startswith("mlflow:") and not Path(path).exists():
            raise FileNotFoundError(f"there is no {path!r} to follow; start the study first, or make the folder.")

    def collected() -> dict[str, object]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the page shows them
            return collect(options.paths, **how)

    def open_server(port: int) -> ReportServer:
        return ReportServer(collected, lambda: fingerprint(options.paths), port=port, title=title, command=command)

    try:
        server = open_server(PORT if options.port is None else options.port)
    except OSError as error:
        if options.port is not None:
            why = f"port {options.port} cannot be served at: {error.strerror}. Choose another --port."
            raise OSError(why) from error
        server = open_server(0)  # another report is served
    say(f"{server.url} follows {', '.join(options.paths)} as {FILE_NAME} files arrive. Ctrl-C ends it.")
    try:
        server.serve()
    except KeyboardInterrupt:
        print(file=sys.stderr)
    finally:
        server.release()
    return 0


def _again(options: argparse.Namespace) -> str:
    """The command line that does the same."""
    words = ["lightning-pepr", "report", *options.paths]
    words += ["--serve"] if options.serve else ["-o", str(options.output)]
    for name in ("port", "title", "group", "space", "baseline", "monitor"):
        value = getattr(options, name)
        words += [] if value is None else [f"--{name}", str(value)]
    words += [] if options.at == "best" else ["--at", options.at]
    for column in options.column:
        words += ["--column", column]
    return shlex.join(words)
