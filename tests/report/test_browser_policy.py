"""Nothing but the page's own scripts runs on it, in a real Chromium."""

from __future__ import annotations

import base64
import gzip
import re
from pathlib import Path

import pytest

from lightning_pepr.report.packing import compress
from lightning_pepr.report.page import write_page
from lightning_pepr.space import ModelSpace
from tests.helpers.browser import Browser
from tests.helpers.records import make_run

pytestmark = pytest.mark.slow


HOSTILE = [
    '<img src=x onerror="window.HACKED=1">',
    "</script><script>window.HACKED=1</script>",
    "<!--<script>",
    "{{7*7}}{% raw %}",
    '<a href="javascript:window.HACKED=1">click</a>',
    "%{x}<b>bold</b>",
    "\u202egnp.exe",
    '" onmouseover="window.HACKED=1" x="',
    "</title><svg onload=window.HACKED=1>",
    "\u2028\u2029\x00\x01",
    '<iframe srcdoc="<script>parent.HACKED=1</script>">',
    "a" * 3000,
]


def test_nothing_in_a_record_can_run_or_be_markup(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / '<img src=x onerror="window.HACKED=1">'
    for index, text in enumerate(HOSTILE):
        run = make_run(text, 1e6 * (index + 1), run_id=f"{text}{index}")
        run.monitor = run.test_monitor = run.error = text
        run.costs["memory_gb"].reason = text
        run.costs["energy_kwh"].quality = text
        run.devices = {f"gpu:{text}": run.devices["gpu:GPU-5f"], text: run.devices["cpu:node"]}
        for device in run.devices.values():
            device.name = text
        run.software = run.hardware = {text: text}
        run.carbon = {"source": text, text: text}
        run.space = ModelSpace({"energy_kwh": (0.0, 0.01 * (index + 1))}, source=text, device=text, note=text).to_dict()
        run.stages[text] = run.stages["train"]
        run.save(folder / str(index) / "pepr.json")
    made = write_page(folder, tmp_path / "hostile.html", title=HOSTILE[8], command=HOSTILE[1])
    browser.open(made)
    elements = (
        "return ['img', 'iframe', 'svg[onload]', 'b', 'body a:not(.skip):not(.modebar-btn)']"
        ".map((css) => document.querySelectorAll(css).length)"
    )
    for step in (
        "",
        "document.querySelectorAll('#runs button[data-run]')[0].click()",
        "document.querySelectorAll('#runs button[data-run]')[1].click()",
        "const colour = document.querySelector('#colour'); colour.value = 'device';"
        "colour.dispatchEvent(new Event('change'))",
        "document.querySelectorAll('details').forEach((each) => { each.open = true; })",
        "const space = document.querySelector('#space'); space.selectedIndex = 3;"
        "space.dispatchEvent(new Event('change'))",
    ):
        browser.run(step)
        browser.settle()
        assert browser.run("return window.HACKED") is None
        assert browser.run(elements) == [0, 0, 0, 0, 0], step
    browser.click_dot(5)
    assert browser.run("return window.HACKED") is None
    assert browser.text("#tip strong") in HOSTILE
    assert browser.text("h1") == HOSTILE[8]
    assert set(browser.column("Model")) <= set(HOSTILE) | {HOSTILE[9].replace("\x00", "\ufffd")}
    assert browser.errors() == []
    browser.screenshot("report-hostile")


def test_script_that_got_in_would_not_run(browser: Browser, page: Path, tmp_path: Path) -> None:
    """The page's policy is a second lock: a script that is not its own is refused, inline or from elsewhere."""
    text = page.read_text(encoding="utf-8")
    broken = tmp_path / "broken.html"
    injected = "<script>window.HACKED=1</script><img src=x onerror='window.HACKED=1'>"
    broken.write_text(text.replace('<main id="main">', f'<main id="main">{injected}', 1), encoding="utf-8")
    browser.open(broken)
    assert browser.run("return window.HACKED") is None
    assert any("Content Security Policy" in error for error in browser.errors())


def change_library(page: Path, target: Path, change: str) -> Path:
    """The page with something at the end of its library of charts."""
    text = page.read_text(encoding="utf-8")
    found = re.search('<script type="text/plain" id="plotly">([^<]+)</script>', text)
    assert found is not None
    library = gzip.decompress(base64.b64decode(found[1])).decode()
    target.write_text(text.replace(found[1], compress(library + change), 1), encoding="utf-8")
    return target


def test_a_changed_library_does_not_run(browser: Browser, page: Path, tmp_path: Path) -> None:
    browser.driver.get(change_library(page, tmp_path / "changed.html", ";window.HACKED=1").as_uri())
    browser.wait(lambda: "not the one that the page was made with" in browser.text("#headline"))
    assert browser.run("return window.HACKED") is None
    assert browser.run("return typeof Plotly") == "undefined"
    assert any("Content Security Policy" in error for error in browser.errors())
    browser.open(change_library(page, tmp_path / "same.html", ""))
    assert browser.errors() == [], "it is the change that is refused"


def test_a_browser_that_cannot_unpack_says_so(browser: Browser, page: Path) -> None:
    command = {"source": "delete window.DecompressionStream"}
    made = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", command)
    try:
        browser.driver.get(page.as_uri())
        browser.wait(lambda: browser.text("#headline").startswith("This browser cannot unpack the page."))
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", made)
    assert browser.errors() == []
