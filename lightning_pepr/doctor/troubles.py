"""What keeps a host from being measured well, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trouble:
    """What is wrong, what to do about it, and whether something is unmeasured or wrong that should be measured."""

    what: str
    do: str
    severe: bool = False
