"""Facts of the paper, arXiv 2403.12562: its architectures and its spaces, in tables that lie in this folder."""

from __future__ import annotations

import csv
from importlib import resources


def read_table(name: str) -> list[dict[str, str]]:
    """The rows of one of the tables, as text by column."""
    text = resources.files("lightning_pepr.paper").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
