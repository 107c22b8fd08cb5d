"""Folders by the names that Lightning and fsspec give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_pepr.utilities.stores import local_folder


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("runs", Path("runs")),
        ("~/runs", Path.home() / "runs"),
        ("file:///tmp/runs", Path("/tmp/runs")),
        ("file:/tmp/runs", Path("/tmp/runs")),  # what Lightning makes of the one before as a trainer's root
        ("memory://runs", None),
    ],
)
def test_which_folders_are_on_this_host(folder: str, expected: Path | None) -> None:
    assert local_folder(folder) == expected
