"""Packages that come with an extra, and what to do where one is missing."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any


def require(package: str, extra: str, purpose: str) -> Any:
    """Import a module that comes with an extra; the error says what needs it, and the line that installs it.

    >>> require("nowhere", "cli", "reading runs")
    Traceback (most recent call last):
    ...
    ModuleNotFoundError: reading runs needs nowhere: pip install 'lightning-pepr[cli]'
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] != package.partition(".")[0]:
            raise  # the package is there, and something that it needs is not
        raise missing(package, extra, purpose) from error


def missing(package: str, extra: str, purpose: str) -> ModuleNotFoundError:
    """The error of `require`, where a package is needed that is not to be imported."""
    package = package.partition(".")[0]
    return ModuleNotFoundError(f"{purpose} needs {package}: pip install 'lightning-pepr[{extra}]'", name=package)


def is_installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def package_file(package: str, *parts: str) -> Path | None:
    """The path of a file that a package brings, without importing it; None if the package is not installed."""
    spec = importlib.util.find_spec(package)
    places = None if spec is None else spec.submodule_search_locations
    return Path(places[0], *parts) if places else None
