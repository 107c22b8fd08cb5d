"""What keeps a host from being measured well, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trouble:
    """Something that keeps this host from being measured well.

    Attributes:
        what: What is wrong.
        do: What to do about it.
        severe: Whether something that should be measured is not, or not to be trusted.
    """

    what: str
    do: str
    severe: bool = False
