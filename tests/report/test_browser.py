"""The page, in a real Chromium. Pictures of it are left in build/screenshots, to be looked at."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightning_pepr.auditing import audit
from lightning_pepr.cost import RESOURCES, Resource
from lightning_pepr.curve import pepr_curve
from lightning_pepr.functional import normalize, pepr
from lightning_pepr.ranking import rank
from lightning_pepr.report import data as contents
from lightning_pepr.report.page import HERE, write_page
from lightning_pepr.report.server import ReportServer
from lightning_pepr.runs.load import load_runs
from lightning_pepr.space import ModelSpace
from tests.helpers.browser import Browser, launch
from tests.helpers.records import make_run, save_runs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch() as started:
        yield started


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def page(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(runs, tmp_path_factory.mktemp("page") / "report.html", command="lightning-pepr report runs")


def decimal(value: float) -> str:
    return f"{value:.3f}"


def test_it_opens_without_a_network_and_without_a_complaint(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.text("h1") == "What performance costs"
    assert browser.text("#subtitle") == "6 runs of 3 models"
    assert len(browser.all("#profile .point")) >= 6
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    assert browser.errors() == []
    assert not browser.all('.modebar-btn[data-title*="loud"]'), "no button may send the data anywhere"
    browser.screenshot("report-desktop-light")


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
def test_a_switch_of_the_resource_shows_what_rank_gives(
    browser: Browser, page: Path, runs: Path, resource: Resource
) -> None:
    browser.open(page)
    browser.choose(resource.letter)
    expected = rank(runs, by=resource)
    assert browser.column("Model") == expected["model"].to_list()
    assert browser.column(f"PePR-{resource.letter}") == [decimal(score) for score in expected[resource.score_key]]
    assert browser.column("Rank") == [
        f"{a}–{b}" if a != b else str(a) for a, b in expected["rank", "rank_worst"].iter_rows()
    ]
    front = ["yes" if on else "" for on in expected["pareto"]]
    assert browser.column("Pareto") == front
    assert f"PePR-{resource.letter}" in browser.text("#headline")
    assert f"R: {'parameters' if resource.letter == 'N' else resource.name}" in browser.text("#profile .xtitle")
    assert browser.errors() == []


def test_another_space(browser: Browser, page: Path, runs: Path) -> None:
    browser.open(page)
    browser.select("#space", "budget, as 6 runs had it")
    space = ModelSpace.budget(energy_kwh=0.05, time_s=3600)
    expected = rank(runs, space=space)
    assert browser.column("PePR-E") == [decimal(score) for score in expected["pepr_e"]]
    disabled = browser.run(
        "return [...document.querySelectorAll('#resources input:disabled')].map((each) => each.value)"
    )
    assert disabled == ["C", "M", "D", "N"], "a space without a resource has no score of it"
    browser.select("#space", "derma_pt")
    expected = rank(runs, space=ModelSpace.published("derma_pt"))
    assert browser.column("PePR-E") == [decimal(score) for score in expected["pepr_e"]]
    browser.choose("N")
    assert browser.column("Model")[0] == rank(runs, space=ModelSpace.published("derma_pt"), by="N")["model"][0]
    assert "CarbonTracker" in browser.text("#space-about")
    assert browser.errors() == []


amounts = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.0]), st.floats(0, 100))
rows = st.fixed_dictionaries(
    {
        "model": st.sampled_from("abcde"),
        "group": st.just(None),
        "performance": st.one_of(st.none(), st.sampled_from([0.5, 0.75, 0.75, 1.0]), st.floats(0, 1)),
        **{resource.field: amounts for resource in RESOURCES},
        "energy_kwh_error": st.one_of(st.none(), st.floats(0, 10)),
        "carbon_g_error": st.one_of(st.none(), st.floats(0, 10)),
        "gain": st.one_of(st.none(), st.sampled_from([0.0, 0.05, 0.3])),
        "boards": st.one_of(st.none(), st.sampled_from(["x", "y"])),
        "samples": st.one_of(st.none(), st.integers(1, 500)),
    }
)
kinds = dict.fromkeys([*(resource.field for resource in RESOURCES), "performance"], pl.Float64) | {
    "energy_kwh_error": pl.Float64,
    "carbon_g_error": pl.Float64,
    "gain": pl.Float64,
    "boards": pl.String,
    "samples": pl.Int64,
    "group": pl.String,
}


@pytest.fixture(scope="module")
def scores(browser: Browser) -> Browser:
    """A blank page with nothing but the arithmetic."""
    browser.driver.get("about:blank")
    browser.run((HERE / "assets" / "scores.js").read_text(encoding="utf-8") + "; window.Scores = Scores;")
    return browser


EVALUATE = """
const [data, letter, space, baseline] = arguments;
const members = data.runs.model.map((_, index) => index);
const range = space === null ? Scores.rangeOf(data.runs, members, letter) : space;
const found = Scores.evaluate(data, members, letter, range, baseline);
return [...found.of].map(([i, each]) => [
  i, each.r, each.score, each.low, each.high, each.rank, each.worst, found.front.has(i),
]);
"""


@given(
    table=st.lists(rows, min_size=1, max_size=12),
    resource=st.sampled_from(RESOURCES),
    own=st.booleans(),
    baseline=st.sampled_from([None, None, 0.5]),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore")
def test_the_page_scores_ranks_and_bounds_as_rank_does(
    scores: Browser, table: list[dict[str, Any]], resource: Resource, own: bool, baseline: float | None
) -> None:
    frame = pl.DataFrame(table, schema_overrides=kinds).with_row_index("place")
    space = None if own else ModelSpace({each.field: (0.25, 7.5) for each in RESOURCES})
    if not any(row["performance"] is not None for row in table) or not any(
        row[resource.field] is not None for row in table
    ):
        return  # which rank refuses
    expected = rank(frame, by=resource, space=space, baseline=baseline)
    runs = load_runs(frame)
    data = {"runs": contents._columns(runs), "student": contents._student(runs)}  # all that is reckoned with
    found = scores.run(EVALUATE, data, resource.letter, None if own else [0.25, 7.5], baseline)
    key = resource.score_key
    ranked = expected.filter(pl.col("source").ne_missing("baseline")).with_columns(pl.col("row"))
    shown = {row: each for row, *each in found}
    known = {
        row["row"]: [
            row[name] for name in (resource.r_key, key, f"{key}_low", f"{key}_high", "rank", "rank_worst", "pareto")
        ]
        for row in ranked.iter_rows(named=True)
        if row[key] is not None
    }
    assert shown.keys() == known.keys()
    for row, values in known.items():
        assert shown[row][:4] == pytest.approx(values[:4], rel=1e-9, abs=1e-12)
        assert shown[row][4:] == values[4:]


def test_the_table_sorts_and_searches_by_mouse_and_by_keyboard(browser: Browser, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    head = '#runs button[data-key="E"]'
    browser.find(head).click()
    energies = [float(text) for text in browser.column("Energy")]
    assert energies == sorted(energies, reverse=True)
    assert browser.run("return document.querySelector(arguments[0]).closest('th').ariaSort", head) == "descending"
    browser.find(head).send_keys(Keys.ENTER)
    energies = [float(text) for text in browser.column("Energy")]
    assert energies == sorted(energies)
    assert browser.run("return document.activeElement.dataset.key") == "E", "the focus stays where it was"
    browser.find('#runs button[data-key="model"]').send_keys(Keys.SPACE)
    assert browser.column("Model") == sorted(browser.column("Model"))
    browser.find("#search").send_keys("LARGE")
    browser.settle()
    assert set(browser.column("Model")) == {"large"}
    assert browser.text("#found") == "2 of 6 runs"
    assert browser.errors() == []


def click_dot(browser: Browser, run: int) -> None:
    """Click where a run's dot is drawn."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.action_builder import ActionBuilder

    script = """
        const chart = document.getElementById("profile");
        chart.scrollIntoView({ block: "center" });
        for (const trace of chart._fullData) {
          const at = (trace.customdata || []).indexOf(arguments[0]);
          if (at < 0) continue;
          const { xaxis, yaxis } = chart._fullLayout;
          const box = chart.getBoundingClientRect();
          return [box.left + xaxis._offset + xaxis.l2p(trace.x[at]), box.top + yaxis._offset + yaxis.l2p(trace.y[at])];
        }
    """
    x, y = browser.run(script, run)
    actions = ActionBuilder(browser.driver)
    actions.pointer_action.move_to_location(int(x), int(y))
    actions.pointer_action.pause(0.3)
    actions.perform()
    browser.settle()
    ActionChains(browser.driver).click().perform()
    browser.settle()


def test_two_models_are_pinned_and_compared_in_a_sentence(browser: Browser, page: Path, runs: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    table = load_runs(runs)
    large, small = (table["model"].to_list().index(name) for name in ("large", "small"))
    click_dot(browser, large)
    tip = browser.text("#tip")
    assert "test" not in browser.text("#compare-sentence")
    assert browser.text("#compare-sentence") == "A is large. Pin another to compare."
    for told in ("large", "± ", "energy counter", "on 1,000 samples", "rank", "NVIDIA A100"):
        assert told in tip
    browser.find(f'#runs button[data-run="{small}"]').send_keys(Keys.ENTER)
    browser.settle()
    p, e = table["performance"], table["energy_kwh"]
    kept, share = p[small] / p[large], e[small] / e[large]
    sentence = browser.text("#compare-sentence").replace("\u00a0", " ")
    assert sentence.startswith(
        f"B (small) keeps {kept:.1%} of A (large)’s performance at {share:.0%} of its energy.".replace("%", " %")
    )
    assert "do not overlap" in sentence, "0.79 and 0.87 on 1000 samples each"
    pressed = browser.run(
        "return [...document.querySelectorAll('#runs [aria-pressed=true]')].map((each) => each.textContent)"
    )
    assert sorted(pressed) == ["A", "B"]
    browser.choose("T")
    times = table["time_s"]
    assert f"at {times[small] / times[large]:.0%} of its time".replace("%", " %") in browser.text(
        "#compare-sentence"
    ).replace("\u00a0", " ")
    browser.run("document.querySelector('#compare-cards button').click()")
    assert browser.text("#compare-sentence") == "A is small. Pin another to compare."
    assert browser.errors() == []


def test_energies_of_two_boards_are_told_apart_only_beyond_their_gain(browser: Browser, tmp_path: Path) -> None:
    """Sensors of one board are wrong alike; those of two need not be."""
    names = ["one", "beside", "elsewhere", "far", "blurred"]
    table = pl.DataFrame(
        {
            "model": names,
            "performance": [0.8] * 5,
            "energy_kwh": [1.0, 1.05, 1.05, 1.5, 1.3],
            "energy_kwh_error": [0.001, 0.001, 0.001, 0.001, 0.4],
            "gain": [0.05] * 5,
            "boards": ["x", "x", "y", "y", "x"],
        }
    )
    browser.open(write_page(table, tmp_path / "boards.html"))
    pin = "document.querySelector(`#runs button[data-run='${arguments[0]}']`).click()"
    told = {}
    browser.run(pin, 0)
    for other in names[1:]:
        browser.run(pin, names.index(other))
        told[other] = browser.text("#compare-sentence")
        browser.run(pin, names.index(other))
    without = "Their energy differs by less than the errors of both"
    assert without not in told["beside"]
    assert told["elsewhere"].endswith(f"{without} with those of their sensors, which are on different boards.")
    assert without not in told["far"]
    assert told["blurred"].endswith(f"{without}.")
    assert browser.errors() == []


def test_a_model_of_several_runs_is_told_by_its_means(browser: Browser, tmp_path: Path) -> None:
    """As its rank is, and not by its first seed."""
    a, b = [0.950, 0.682, 0.636], [0.7, 0.74]
    table = pl.DataFrame(
        {"model": ["a"] * 3 + ["b"] * 2, "performance": a + b, "energy_kwh": [1.0, 1.0, 1.0, 2.0, 2.0]}
    )
    browser.open(write_page(table, tmp_path / "best.html"))
    assert browser.text("#headline").startswith("a has the best PePR-E (0.756) and the best P (0.756).")
    table = pl.DataFrame(
        {"model": list("aabb"), "performance": [0.95, 0.65, 0.9, 0.86], "energy_kwh": [1.0, 2.0, 5.0, 3.0]}
    )
    browser.open(write_page(table, tmp_path / "keeps.html"))
    score = (0.95 + 0.65 / 1.25) / 2
    assert (
        browser.text("#headline")
        .replace("\u00a0", " ")
        .startswith(
            f"a has the best PePR-E ({decimal(score)}): it keeps 90.9 % of the performance of b, the best by P (0.880) "
            "at 38 % of its energy."
        )
    )
    assert browser.errors() == []


def test_a_run_is_pinned_and_no_other_of_its_name(browser: Browser, tmp_path: Path) -> None:
    tables = [
        pl.DataFrame({"model": [name], "performance": [p], "energy_kwh": [1.0]}) for name, p in (("a", 0.9), ("b", 0.8))
    ]
    browser.open(write_page(tables, tmp_path / "two.html"))
    browser.run("document.querySelectorAll('#runs button[data-run]')[1].click()")
    assert browser.text("#compare-sentence") == "A is b. Pin another to compare."
    browser.run("document.querySelectorAll('#runs button[data-run]')[0].click()")
    assert browser.text("#compare-sentence").startswith("B (a) reaches")


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


def test_dark_colours_are_those_of_the_system_or_of_the_button(browser: Browser, page: Path) -> None:
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
        space = ModelSpace({"energy_kwh": (0.0, 0.01 * (index + 1))}, source=text, device=text, note=text)
        run.space = space.to_dict()
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
    click_dot(browser, 5)
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


def test_runs_of_one_model_are_told_apart_by_group_setting_or_identifier(browser: Browser, tmp_path: Path) -> None:
    runs = {
        "alone": make_run("alone"),
        "again (lr 0.1)": make_run("again", 2e6, 0, settings={"lr": 0.1}),
        "again (lr 0.2)": make_run("again", 2e6, 1, settings={"lr": 0.2}),
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


def test_groups_and_findings(browser: Browser, tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    lines = ["dataset,model,type,performance,energy_kwh,time_s,params"]
    lines += [f"x,m{k},CNN,{0.6 + k / 50},{0.1 + k / 100},{100 + 10 * k},{1e6 * (k + 1)}" for k in range(8)]
    lines += [f"y,m{k},Other,{0.5 + k / 50},{0.2 + k / 100},{90 + 10 * k},{1e6 * (k + 1)}" for k in range(8)]
    lines += ["y,broken,Other,0.7,-1,100,1e6", "y,huge,Other,0.9,40,100,1e8"]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.warns(UserWarning, match="energy_kwh of 1 of the 18 runs cannot be true"):
        made = write_page(table, tmp_path / "groups.html", group="dataset")
    browser.open(made)
    expected = rank(load_runs(table).filter(pl.col("group") == "x"))
    assert browser.column("PePR-E") == [decimal(score) for score in expected["pepr_e"]]
    browser.select("#group", "y")
    assert "broken" in browser.column("Model")
    assert browser.column("PePR-E")[-1] == "–", "what cannot be scored comes last"
    findings = audit(table, group="dataset").filter(pl.col("group") == "y")
    assert len(findings) > 0
    assert sorted(browser.column("Rule", "#findings")) == sorted(findings["rule"])
    assert browser.column("Evidence", "#findings") == findings["evidence"].to_list()
    assert "cannot be true" in browser.text("#notes")
    assert browser.errors() == []


def test_ten_thousand_runs_open_and_switch(browser: Browser, tmp_path: Path) -> None:
    """How fast is measured by benchmarks/report.py; here it works, and nothing that counts is left out."""
    from benchmarks.report import make_runs

    runs = make_runs(10_000, epochs=3)
    made = write_page(runs, tmp_path / "many.html")
    assert made.stat().st_size <= 15e6
    browser.open(made)
    assert browser.text("#subtitle").startswith("10,000 runs of ")
    assert "of 10,000 dots are drawn" in browser.text("#thinned")
    table = rank(runs)
    drawn = set(browser.run("return document.getElementById('profile').data.flatMap((t) => t.customdata || [])"))
    order = {run.run_id: index for index, run in enumerate(runs)}
    front = {order[run] for run in table.filter("pareto")["run_id"]}
    assert front <= drawn, "no run of the front is left out"
    assert order[table["run_id"][0]] in drawn
    browser.choose("T")
    expected = rank(runs, by="time")
    assert browser.column("PePR-T") == [decimal(score) for score in expected["pepr_t"][:25]]
    browser.find("#next").click()
    assert browser.column("PePR-T") == [decimal(score) for score in expected["pepr_t"][25:50]]
    assert browser.errors() == []


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
            told = browser.wait(lambda: (tmp_path / "out.txt").read_text())
            url = told.split()[0]
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
    with ReportServer(lambda: contents.collect(runs), lambda: len(runs), port=0) as server:
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


def test_a_server_that_answers_again_is_not_told_to_be_silent(browser: Browser) -> None:
    runs = [make_run("small"), make_run("large", 16e6)]
    silent = "The server does not answer; this is what it last said."
    with ReportServer(lambda: contents.collect(runs), lambda: len(runs), port=0) as server:
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


def test_a_zoom_shows_what_was_left_out(browser: Browser, tmp_path: Path) -> None:
    from benchmarks.report import make_runs

    browser.open(write_page(make_runs(4000, epochs=1), tmp_path / "zoom.html"))
    shown = "return document.getElementById('profile').data.flatMap((t) => t.customdata || []).length"
    zoom = """
        const D = JSON.parse(document.getElementById("data").textContent);
        const members = D.runs.model.map((_, i) => i);
        const view = Scores.evaluate(D, members, "E", Scores.rangeOf(D.runs, members, "E"), null);
        const rs = members.map((i) => view.of.get(i).r).sort((a, b) => a - b);
        const [low, high] = [(rs[1999] + rs[2000]) / 2, (rs[2099] + rs[2100]) / 2];
        Plotly.relayout("profile", {
          "xaxis.range[0]": low, "xaxis.range[1]": high, "yaxis.range[0]": 0, "yaxis.range[1]": 1 });
    """
    assert browser.run(shown) < 1000
    browser.run(zoom)
    browser.settle()
    assert browser.run(shown) == 100
