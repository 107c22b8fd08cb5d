"""Processes of one machine find the same lock, whatever their temporary folder is."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from lightning_pepr.study import locks
from lightning_pepr.study.locks import LOCKS, device_lock, lock_folder
from lightning_pepr.study.settings import Settings


@pytest.mark.skipif(not Path("/tmp").is_dir(), reason="there is no /tmp")
def test_the_folder_is_the_machines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And not the job's."""
    monkeypatch.delenv(LOCKS, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert lock_folder() == Path("/tmp")
    monkeypatch.setattr(locks, "_SHARED", tmp_path / "nowhere")
    assert lock_folder() == tmp_path


def test_the_variable_names_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder that is not there is made."""
    monkeypatch.setenv(LOCKS, str(tmp_path / "for" / "all"))
    with device_lock(Settings("digits", accelerator="cpu")) as device:
        assert device == "cpu"
        with pytest.raises(Timeout):
            FileLock(tmp_path / "for" / "all" / "lightning-pepr-cpu.lock").acquire(timeout=0)
