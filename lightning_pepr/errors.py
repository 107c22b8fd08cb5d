"""What is raised where a user's input is wrong."""

from __future__ import annotations


class PePRError(ValueError):
    """A mistake in what was given: it names the value, what was expected, and what to do."""
