"""A real Chromium for tests that look at pages, as the benchmark of the report has it."""

from __future__ import annotations

from benchmarks.browser import WITHOUT as WITHOUT
from benchmarks.browser import Browser as Browser
from benchmarks.browser import find as find
from benchmarks.browser import launch as launch


def decimal(value: float | None) -> str:
    """A number as the page shows scores and performances."""
    return "–" if value is None else f"{value:.3f}"
