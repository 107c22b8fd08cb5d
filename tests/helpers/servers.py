"""Servers on the loopback, as their users run them, and how to ask them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "NO_PROXY": "127.0.0.1"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(url: str, data: Any = None) -> bytes:
    """What a server on the loopback answers; `data` is posted as JSON."""
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=20) as answer:
        return bytes(answer.read())


@contextlib.contextmanager
def serve(folder: Path, *command: str, ready: str) -> Iterator[str]:
    """Run a server for a while; gives its address.

    Args:
        folder: Where it runs, and leaves its output.
        *command: The module and its arguments; `PORT` stands for the port.
        ready: What it answers as soon as it is up.
    """
    port = free_port()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.replace("PORT", str(port)) for part in command)],
            cwd=folder,
            env={**os.environ, **QUIET},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its workers are in its group
        )
    try:
        address, until = f"http://127.0.0.1:{port}", time.monotonic() + 120
        while True:
            try:
                ask(address + ready)
                break
            except (OSError, urllib.error.URLError):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((folder / "server.log").read_text(encoding="utf-8")) from None
                time.sleep(0.1)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def tensorboard(logs: Path, folder: Path) -> contextlib.AbstractContextManager[str]:
    folder.mkdir(exist_ok=True)
    arguments = ("--logdir", str(logs), "--host", "127.0.0.1", "--port", "PORT")
    return serve(folder, "tensorboard.main", *arguments, ready="/data/runs")


def mlflow(folder: Path) -> contextlib.AbstractContextManager[str]:
    folder.mkdir(exist_ok=True)
    store = (
        "--backend-store-uri",
        f"sqlite:///{folder}/store.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    )
    arguments = ("server", *store, "--host", "127.0.0.1", "--port", "PORT", "--workers", "1")
    return serve(folder, "mlflow", *arguments, ready="/health")


def wandb_entries(folder: Path) -> list[tuple[str, Any]]:
    """The entries of the log of a W&B run that has finished; W&B writes the last of them behind the scenes."""
    from wandb.proto import wandb_internal_pb2

    from lightning_pepr.runs.wandb import read_entries

    (path,) = folder.glob("run-*.wandb")
    entries: list[tuple[str, Any]] = []
    until = time.monotonic() + 60
    while not any(kind == "exit" for kind, _ in entries):
        assert time.monotonic() < until, f"{path} has no end"
        found = [wandb_internal_pb2.Record.FromString(data) for data in read_entries(path)]  # type: ignore[attr-defined]
        entries = [(kind, getattr(entry, kind)) for entry in found if (kind := entry.WhichOneof("record_type"))]
    return entries
