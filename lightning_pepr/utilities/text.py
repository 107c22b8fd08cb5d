"""Text from anywhere, as a terminal can take it."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Text as a terminal can take it: what would steer the terminal is replaced. Records come from anywhere.

    >>> printable("resnet\x1b[2J18")
    'resnet\ufffd[2J18'
    """
    return "".join(sign if sign.isprintable() or sign == "\n" else "\ufffd" for sign in text)
