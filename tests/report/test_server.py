"""The server of a page, without a browser; test_browser_server.py follows a study with one."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
import threading
import time
from typing import Any

import pytest

from lightning_pepr.report import server as server_module
from lightning_pepr.report.data import collect
from lightning_pepr.report.server import MOST, ReportServer, host_names
from tests.helpers.records import make_run


class Study:
    """Sources that fail on demand."""

    def __init__(self) -> None:
        self.runs = [make_run("a", 1e6)]
        self.fails: dict[str, Exception] = {}
        self.collected = 0

    def collect(self) -> dict[str, Any]:
        self.collected += 1
        if "collect" in self.fails:
            raise self.fails["collect"]
        return collect(self.runs)

    def fingerprint(self) -> object:
        if "fingerprint" in self.fails:
            raise self.fails["fingerprint"]
        return len(self.runs)


def ask(server: ReportServer, path: str = "/data.json") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://").rstrip("/"), timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def data_of(server: ReportServer) -> dict[str, Any]:
    status, body = ask(server)
    assert status == 200
    return dict(json.loads(body))


FAILURES = [
    (FileNotFoundError(2, "No such file", "runs/.incoming-1"), "[Errno 2] No such file: 'runs/.incoming-1'"),
    (ValueError("no pepr.json in it"), "no pepr.json in it"),
    (AttributeError("no attribute 'items'"), "AttributeError: no attribute 'items'"),
    (ValueError(), "ValueError: "),
]


@pytest.mark.parametrize(("error", "note"), FAILURES, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("where", ["collect", "fingerprint"])
def test_what_fails_is_noted_on_the_page_that_stays(
    error: Exception, note: str, where: str, capfd: pytest.CaptureFixture[str]
) -> None:
    study = Study()
    study.fails[where] = error
    with ReportServer(study.collect, study.fingerprint, port=0) as server:
        waiting = data_of(server)
        assert (waiting["notes"], waiting["runs"]["model"]) == ([note], [])
        study.fails.clear()
        study.runs.append(make_run("b", 4e6))
        assert data_of(server)["runs"]["model"] == ["a", "b"]
        study.fails[where] = error
        study.runs.append(make_run("c", 4e6))
        kept = data_of(server)
        assert (kept["notes"], kept["runs"]["model"]) == ([note], ["a", "b"])
        status, page = ask(server, "/")
        assert status == 200
        assert b"<h1" in page
    assert capfd.readouterr().err == ""


def test_a_fingerprint_that_failed_is_taken_anew() -> None:
    study = Study()
    with ReportServer(study.collect, study.fingerprint, port=0) as server:
        data_of(server)
        data_of(server)
        assert study.collected == 1, "nothing has changed"
        study.fails["fingerprint"] = OSError("gone")
        assert data_of(server)["notes"] == ["gone"]
        study.fails.clear()
        assert data_of(server)["notes"] == [], "it is as before the failure, and yet read again"


def test_connections_on_which_nothing_comes_end(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert server_module.IDLE_S <= 10
    monkeypatch.setattr(server_module, "IDLE_S", 1.0)
    study = Study()
    with ReportServer(study.collect, study.fingerprint, port=0) as server, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", int(server.url.rstrip("/").rpartition(":")[2]))
        idle = [stack.enter_context(socket.create_connection(address, timeout=30)) for _ in range(300)]
        for each in idle[::2]:
            each.sendall(b"GET / HT")
        assert ask(server)[0] == 200, "who comes after them is answered"
        assert {each.recv(1) for each in idle} == {b""}
    assert capfd.readouterr().err == ""


def test_of_too_many_connections_the_oldest_end() -> None:
    study = Study()
    with ReportServer(study.collect, study.fingerprint, port=0) as server, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", int(server.url.rstrip("/").rpartition(":")[2]))
        idle = [stack.enter_context(socket.create_connection(address, timeout=30)) for _ in range(3 * MOST)]
        for each in idle[:-MOST]:
            assert each.recv(1) == b""
        assert ask(server)[0] == 200


def test_a_connection_that_is_reset_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    study, before = Study(), set(threading.enumerate())  # another test's server may have connections
    with ReportServer(study.collect, study.fingerprint, port=0) as server:
        address = ("127.0.0.1", int(server.url.rstrip("/").rpartition(":")[2]))
        for request in (b"", b"GET / HT", f"GET / HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\n\r\n".encode() * 20):
            with socket.create_connection(address, timeout=30) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(request)
        assert ask(server)[0] == 200
    while any("process_request_thread" in thread.name for thread in set(threading.enumerate()) - before):
        time.sleep(0.01)
    assert capfd.readouterr().err == ""


def test_at_the_port_of_http_browsers_name_none() -> None:
    assert host_names(80) == {"127.0.0.1", "127.0.0.1:80", "localhost", "localhost:80"}
    assert host_names(8650) == {"127.0.0.1:8650", "localhost:8650"}


def test_data_that_json_cannot_hold_are_noted() -> None:
    study = Study()
    with ReportServer(lambda: {**collect(study.runs), "baseline": float("nan")}, study.fingerprint, port=0) as server:
        (note,) = data_of(server)["notes"]
    assert "not JSON compliant" in note
