"""How the page looks, in a real Chromium. Pictures of it are left in build/screenshots, for somebody to look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_pepr.curve import pepr_curve
from lightning_pepr.functional import normalize, pepr
from lightning_pepr.report.page import write_page
from lightning_pepr.runs import load_runs
from lightning_pepr.space import ModelSpace
from tests.helpers.browser import Browser, decimal
from tests.helpers.records import make_run

pytestmark = pytest.mark.slow


def test_it_opens_without_a_network_and_without_a_complaint(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.text("h1") == "What performance costs"
    assert browser.text("#subtitle") == "6 runs of 3 models"
    assert len(browser.all("#profile .point")) >= 6
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    assert browser.errors() == []
    assert not browser.all('.modebar-btn[data-title*="loud"]'), "no button may send the data anywhere"
    browser.screenshot("report-desktop-light")


def test_dark_colours_come_from_the_system_or_the_button(browser: Browser, page: Path) -> None:
    browser.open(page, dark=True)
    colour = "return getComputedStyle(document.body).backgroundColor"
    paper = "return document.getElementById('profile')._fullLayout.paper_bgcolor"
    assert (browser.run(colour), browser.run(paper)) == ("rgb(20, 25, 31)", "#14191F")
    pin = "document.querySelectorAll('#runs button[data-run]').forEach((each, k) => { if (k % 3 === 0) each.click(); })"
    browser.run(pin)
    browser.settle()
    browser.screenshot("report-desktop-dark-compared")
    browser.find("#theme").click()
    browser.settle()
    assert (browser.run(colour), browser.run(paper)) == ("rgb(255, 255, 255)", "#FFFFFF")
    assert browser.errors() == []


def test_on_a_phone_nothing_but_tables_scrolls_sideways(browser: Browser, page: Path) -> None:
    browser.open(page, width=360, height=740)
    browser.run("document.querySelectorAll('#runs button[data-run]')[0].click()")
    browser.settle()
    assert browser.run("return document.documentElement.scrollWidth") <= 360
    width = browser.run("return document.querySelector('#profile .main-svg').getBoundingClientRect().right")
    assert width <= 360
    assert browser.errors() == []
    browser.screenshot("report-phone", width=360)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_no_violation(browser: Browser, page: Path, dark: bool, width: int) -> None:
    browser.open(page, width=width, dark=dark)
    browser.run("document.querySelectorAll('#runs button[data-run]')[0].click()")
    browser.run("document.querySelectorAll('#runs button[data-run]')[3].click()")
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    browser.settle()
    found = [(each["id"], each["impact"], [node["html"][:200] for node in each["nodes"]]) for each in browser.axe()]
    assert found == []


def test_curves_are_those_of_pepr_curve(browser: Browser, page: Path, runs: Path) -> None:
    browser.open(page)
    table = load_runs(runs)
    at = table["run_id"].to_list().index("medium-0")
    browser.run("document.querySelector(`#runs button[data-run='${arguments[0]}']`).click()", at)
    browser.settle()
    run = make_run("medium", 4e6)
    expected = pepr_curve(
        [epoch.performance or 0.0 for epoch in run.epochs],
        [epoch.cost for epoch in run.epochs],
        ModelSpace.from_runs(table),
    )
    assert browser.column("PePR-E", "#curves-data") == [decimal(score) for score in expected.score]
    assert browser.column("Epoch", "#curves-data") == ["0", "1", "2", "3", "4"]
    traces = browser.run(
        "return document.getElementById('curves').data.filter((t) => t.yaxis !== 'y2').map((t) => t.y)"
    )
    assert traces == [pytest.approx(list(expected.score), rel=1e-4)]  # curves have five digits


def test_energy_by_stage_and_device(browser: Browser, page: Path, runs: Path) -> None:
    browser.open(page)
    browser.run("document.querySelectorAll('#runs button[data-run]')[0].click()")
    browser.settle()
    bars = "return document.getElementById(arguments[0]).data.map((t) => [t.name, t.x[0]])"
    stages, devices = dict(browser.run(bars, "stages")), dict(browser.run(bars, "devices"))
    energy = float(browser.column("Energy")[0])
    assert sum(stages[name] for name in ("train", "validate", "other")) == pytest.approx(energy, rel=0.005)
    assert stages["test"] == pytest.approx(energy / 20, rel=0.01)
    assert devices == {
        "GPU: NVIDIA A100": pytest.approx(energy * 0.75, rel=0.005),
        "CPU: AMD EPYC": pytest.approx(energy * 0.25, rel=0.005),
    }


def test_one_run_alone(browser: Browser, tmp_path: Path) -> None:
    make_run("only", 4e6).save(tmp_path / "pepr.json")
    browser.open(write_page(tmp_path, tmp_path / "one.html"))
    run = make_run("only", 4e6)
    space = ModelSpace.from_dict(run.space or {})
    score = pepr(run.performance, normalize(run.cost.energy_kwh, *space.range("energy")))
    headline = browser.text("#headline")
    assert headline.startswith(
        f"only reaches P = {decimal(run.performance or 0)} for 10 Wh: PePR-E is {decimal(score or 0)}."
    )
    assert len(browser.column("PePR-E", "#curves-data")) == 5
    browser.choose("T")
    browser.select("#space", "These runs")
    assert "so R is 0 and PePR is P" in browser.text("#headline")
    assert browser.errors() == []
    browser.screenshot("report-one-run")


def test_labels_say_in_what_runs_of_a_model_differ(browser: Browser, tmp_path: Path) -> None:
    runs = {
        "alone": make_run("alone"),
        "again (lr=0.1)": make_run("again", 2e6, 0, settings={"lr": 0.1}),
        "again (lr=0.2)": make_run("again", 2e6, 1, settings={"lr": 0.2}),
        "seeded (seed 0)": make_run("seeded", 2e6, 0, settings={"seed": 0}),
        "seeded (seed 1)": make_run("seeded", 2e6, 1, settings={"seed": 1}),
        "twin (twin-0)": make_run("twin", 3e6, 0),
        "twin (twin-1)": make_run("twin", 3e6, 1),
        "there (x)": make_run("there", 4e6, 0, group="x"),
        "there (y)": make_run("there", 4e6, 1, group="y"),
    }
    for number, run in enumerate(runs.values()):
        run.save(tmp_path / str(number) / "pepr.json")
    browser.open(write_page(tmp_path, tmp_path / "page.html"))
    assert browser.errors() == []
    names = set()
    for position in range(len(runs)):
        browser.run("document.querySelectorAll('#runs button[data-run]')[arguments[0]].click()", position)
        browser.settle()
        drawn = browser.run("return document.getElementById('curves').data.map((trace) => trace.name)")
        names |= {name.partition(": ")[2] for name in drawn}  # after the letter of its pin
    assert names == set(runs)


def test_a_zoom_shows_what_was_left_out(browser: Browser, tmp_path: Path) -> None:
    from benchmarks.report import make_runs

    browser.open(write_page(make_runs(4000, epochs=1), tmp_path / "zoom.html"))
    shown = "return document.getElementById('profile').data.flatMap((t) => t.customdata || []).length"
    zoom = """
        const rs = [...Model.page.view.of.values()].map((each) => each.r).sort((a, b) => a - b);
        const [low, high] = [(rs[1999] + rs[2000]) / 2, (rs[2099] + rs[2100]) / 2];
        Plotly.relayout("profile", {
          "xaxis.range[0]": low, "xaxis.range[1]": high, "yaxis.range[0]": 0, "yaxis.range[1]": 1 });
    """
    assert browser.run(shown) < 1000
    browser.run(zoom)
    browser.settle()
    assert browser.run(shown) == 100
