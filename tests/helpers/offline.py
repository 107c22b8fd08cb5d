"""W&B and MLflow as the tests of loggers and readers use them: nothing leaves this host."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import servers


@pytest.fixture(scope="module", autouse=True)
def stop_wandb() -> Iterator[None]:
    """End W&B's own process, which takes the folder that it was started in for that of all later runs."""
    yield
    if "wandb" in sys.modules:
        importlib.import_module("wandb").teardown()


@pytest.fixture
def offline(stop_wandb: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """W&B and MLflow that reach nothing beyond this host, and leave nothing behind."""
    for name, value in {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}.items():
        monkeypatch.setenv(name, value)
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name, value in servers.QUIET.items():
        monkeypatch.setenv(name, value)
    if "mlflow" in sys.modules:  # what another test has set
        importlib.import_module("mlflow").set_tracking_uri(None)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    if "wandb" in sys.modules:
        importlib.import_module("wandb").finish()
    if "mlflow" in sys.modules:
        importlib.import_module("mlflow").set_tracking_uri(None)
