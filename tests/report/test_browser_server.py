"""The report of a study that is followed, in a real Chromium."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from lightning_pepr.ranking import rank
from lightning_pepr.report.data import collect
from lightning_pepr.report.server import ReportServer
from tests.helpers.browser import Browser, decimal
from tests.helpers.records import make_run

pytestmark = pytest.mark.slow


def ask(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)


def test_a_running_study_is_followed(browser: Browser, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    command = [sys.executable, "-m", "lightning_pepr.cli", "report", str(runs), "--serve", "--port", "0"]
    with (tmp_path / "out.txt").open("w+") as out:
        server = subprocess.Popen(
            command, stdout=out, stderr=subprocess.PIPE, env={**os.environ, "NO_PROXY": "127.0.0.1"}
        )
        try:
            said = browser.wait(lambda: (tmp_path / "out.txt").read_text())
            url = said.split()[0]
            browser.open(url)
            assert "no pepr.json in it" in browser.text("#notes"), "it waits for the first record"
            assert browser.errors() == []
            make_run("small", 1e6, status="running").save(runs / "small" / "pepr.json")
            browser.wait(lambda: browser.text("#subtitle") == "1 run of 1 model")
            make_run("large", 16e6).save(runs / "large" / "pepr.json")
            browser.wait(lambda: browser.text("#subtitle") == "2 runs of 2 models")
            assert browser.column("PePR-E") == [decimal(score) for score in rank(runs)["pepr_e"]]
            browser.run("document.querySelectorAll('#runs button[data-run]')[1].click()")
            make_run("medium", 4e6).save(runs / "medium" / "pepr.json")
            browser.wait(lambda: browser.text("#subtitle") == "3 runs of 3 models")
            assert browser.text("#compare-sentence") == "A is large. Pin another to compare.", "a pin stays on its run"
            shutil.rmtree(runs / "medium")
            browser.wait(lambda: browser.text("#subtitle") == "2 runs of 2 models")
            assert browser.errors() == []

            status, body, headers = ask(f"{url}data.json")
            assert status == 200
            assert len(json.loads(body)["runs"]["model"]) == 2
            assert ask(f"{url}data.json", **{"If-None-Match": headers["ETag"]})[0] == 304
            assert ask(url, Host="example.org")[0] == 403, "no other web site may have a browser read it"
            assert ask(f"{url}../../etc/passwd")[0] == 404
            listening = [
                c.laddr for c in psutil.Process(server.pid).net_connections() if c.status == psutil.CONN_LISTEN
            ]
            assert {address.ip for address in listening} == {"127.0.0.1"}
        finally:
            server.send_signal(signal.SIGINT)
            errors = server.communicate(timeout=20)[1]
        assert (server.returncode, errors.strip()) == (0, b"")


def test_new_records_leave_the_page_of_the_table_and_the_zoom(browser: Browser) -> None:
    runs = [make_run(f"m{k:02}", 1e6 * (1 + k), epochs=1) for k in range(80)]
    zoom = """
        Plotly.relayout("profile", {
          "xaxis.range[0]": 0.2, "xaxis.range[1]": 0.6, "yaxis.range[0]": 0.5, "yaxis.range[1]": 0.9 });
    """
    drawn = """
        const { xaxis, yaxis } = document.getElementById("profile")._fullLayout;
        return [...xaxis.range, ...yaxis.range];
    """
    with ReportServer(lambda: collect(runs), lambda: len(runs), port=0) as server:
        browser.open(server.url)
        home = browser.run(drawn)
        browser.find("#next").click()
        assert browser.text("#page") == "Page 2 of 4"
        browser.run(zoom)
        browser.settle()
        runs.append(make_run("new", 40e6, epochs=1))
        browser.wait(lambda: browser.text("#subtitle") == "81 runs of 81 models")
        browser.settle()
        assert browser.text("#page") == "Page 2 of 4"
        assert browser.run(drawn) == pytest.approx([0.2, 0.6, 0.5, 0.9])
        browser.find("#next").click()
        assert browser.text("#page") == "Page 3 of 4"
        del runs[30:]
        browser.wait(lambda: browser.text("#subtitle") == "30 runs of 30 models")
        browser.settle()
        assert browser.text("#page") == "Page 2 of 2", "the last that there is"
        assert browser.run(drawn) == pytest.approx([0.2, 0.6, 0.5, 0.9])
        browser.choose("T")
        assert browser.text("#page") == "Page 1 of 2", "another resource is another table"
        assert browser.run(drawn)[:2] == pytest.approx(home[:2])
        assert browser.errors() == []


def test_a_server_that_answers_again_is_not_called_silent(browser: Browser) -> None:
    runs = [make_run("small"), make_run("large", 16e6)]
    silent = "The server does not answer; this is what it last said."
    with ReportServer(lambda: collect(runs), lambda: len(runs), port=0) as server:
        browser.open(server.url)
        browser.run("window.asked = window.fetch; window.fetch = () => Promise.reject(new TypeError('down'));")
        browser.wait(lambda: browser.text("#live") == silent)
        browser.run("window.fetch = window.asked;")
        browser.wait(lambda: browser.text("#live") == "")
        browser.run("""
            window.drew = Plotly.react;
            Plotly.react = () => { window.failed = true; throw new Error("cannot draw"); };
        """)
        runs.append(make_run("medium", 4e6))
        browser.wait(lambda: browser.run("return window.failed"))
        assert browser.text("#live") != silent, "it is the page that failed"
        assert any("cannot draw" in error for error in browser.errors()), "and it says so where one looks"
        browser.run("Plotly.react = window.drew;")
        runs.append(make_run("huge", 64e6))
        browser.wait(lambda: browser.text("#live").startswith("Updated "))
        assert browser.text("#subtitle") == "4 runs of 4 models", "it went on asking"
