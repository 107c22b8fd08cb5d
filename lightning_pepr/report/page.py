"""The report: one HTML file with all that it needs, which opens without a network."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning_pepr import runs as runs  # before the modules that import polars: it says how to install it
from lightning_pepr._version import __version__
from lightning_pepr.figures import palette
from lightning_pepr.report.data import collect
from lightning_pepr.report.packing import compress
from lightning_pepr.utilities.files import write_whole
from lightning_pepr.utilities.imports import require

if TYPE_CHECKING:
    from lightning_pepr.runs.columns import Columns
    from lightning_pepr.runs.load import Source
    from lightning_pepr.space import ModelSpace

HERE = Path(__file__).parent
SCRIPTS = ("model.js", "charts.js", "tables.js", "profile.js", "controls.js", "start.js")
TITLE = "What performance costs"


def write_page(
    sources: Source,
    path: str | os.PathLike[str],
    *,
    space: ModelSpace | str | os.PathLike[str] | None = None,
    group: str | None = None,
    baseline: float | None = None,
    at: Literal["best", "last"] = "best",
    columns: Columns | None = None,
    monitor: str | None = None,
    title: str = TITLE,
    command: str = "",
) -> Path:
    """Write the report of some runs: one file that opens by a double click, with nothing to load.

    Args:
        sources: What `load_runs` reads: folders of records, tables, MLflow experiments, W&B's offline runs, and lists.
        path: The HTML file; folders are made.
        space: A space to begin with, or its file or published name; by default that of the runs. The page has a switch.
        group: The column whose values are looked at apart, such as "dataset".
        baseline: P0 in [0, 1): (P - P0) / (1 - P0), floored at 0, is scored instead of P.
        at: "best" takes the model that one would keep, "last" the last epoch.
        columns: For tables with names of their own, same as for `load_runs`.
        monitor: The key of another performance that records have, same as for `load_runs`.
        title: What the page is called.
        command: How to make the page again, for the page to show.

    Returns:
        The path.

    Raises:
        FileNotFoundError: If a source, or the file of the space, does not exist.
        ModuleNotFoundError: If jinja2 or plotly is not installed.
        ValueError: What `load_runs` raises, or if an argument is out of its range.
        OSError: If the file cannot be written; an older one is still whole then.
    """
    data = collect(sources, space=space, group=group, baseline=baseline, at=at, columns=columns, monitor=monitor)
    target = Path(path)
    write_whole(target, render(data, title=title, command=command))
    return target


def render(data: dict[str, Any], *, title: str = TITLE, command: str = "") -> str:
    """The page, as HTML.

    Nothing in the data can run: the data are packed as base64, the template escapes what it puts into HTML, and the
    page's policy allows the scripts that it brings, by their digests, and no other.

    Args:
        data: What `collect` returned.
        title: What the page is called.
        command: How to make it again; empty if the page is not to say so.

    Raises:
        ModuleNotFoundError: If jinja2 or plotly is not installed.
    """
    jinja2 = require("jinja2", "report", "the report")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    library, packed_library = _plotly()
    scripts = [(HERE / "assets" / name).read_text(encoding="utf-8") for name in SCRIPTS]
    page: str = environment.get_template("page.html.j2").render(
        title=title,
        command=command,
        version=__version__,
        policy=_policy([library, *scripts], live=bool(data.get("live"))),
        themes={"light": palette.LIGHT, "dark": palette.DARK},
        css=(HERE / "assets" / "page.css").read_text(encoding="utf-8"),
        scripts=scripts,
        plotly=packed_library,
        data=compress(to_json(data)),
    )
    return page


def to_json(data: Any) -> str:
    """The data of a page as JSON, in as few characters as it takes; refuses what JSON does not have, such as NaN."""
    return json.dumps(data, allow_nan=False, separators=(",", ":"))


@functools.cache
def _plotly() -> tuple[str, str]:
    """The library that draws the charts, from the package that brings it: its text, and that compressed."""
    package = resources.files(require("plotly", "report", "the report"))
    text = (package / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    return text, compress(text)


def _policy(scripts: list[str], live: bool) -> str:
    """The page's content security policy: its own scripts and no others, no network but, of a live page, its server."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(f"'sha256-{digest}'" for digest in hashes),
        "style-src": "'unsafe-inline'",  # plotly sets styles
        "img-src": "data: blob:",  # its download of a picture
        "base-uri": "'none'",
        "form-action": "'none'",
        **({"connect-src": "'self'"} if live else {}),
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())
