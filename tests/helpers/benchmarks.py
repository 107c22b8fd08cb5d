"""Benchmarks in their quick mode, and the tables that they print."""

from __future__ import annotations

import subprocess
import sys

from tests.helpers.paths import ROOT


def tables(script: str) -> dict[str, dict[str, list[str]]]:
    """Run a benchmark's quick mode, and parse its tables: by heading, and then by the first cell of each row."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{script}", "--quick"], cwd=ROOT, capture_output=True, text=True, timeout=850
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, dict[str, list[str]]] = {}
    heading = ""
    for line in done.stdout.splitlines():
        if line.startswith("### "):
            heading = line[4:]
        elif line.startswith("| "):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            found.setdefault(heading, {})[cells[0]] = cells[1:]
    return found
