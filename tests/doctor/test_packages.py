"""Extras and loggers are checked against what is installed."""

from __future__ import annotations

import pytest

from lightning_pepr.doctor import examine
from lightning_pepr.doctor.packages import examine_extras


def test_extras_are_checked_against_what_is_installed() -> None:
    found = examine(seconds=0)
    assert found.extras["report"]["missing"] == []
    assert set(found.extras) >= {"carbon", "cli", "mlflow", "report", "study", "wandb"}
    assert found.loggers["tensorboard"]
    assert found.versions["torch"]


def test_a_missing_extra_has_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    version = metadata.version

    def without(name: str) -> str:
        if name.lower() == "matplotlib":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    extras, troubles = examine_extras()
    assert extras["report"]["missing"] == ["matplotlib"]
    assert "pip install 'lightning-pepr[report]'" in [trouble.do for trouble in troubles]
