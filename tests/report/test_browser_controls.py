"""What one can do on the page, in a real Chromium: choose, sort, search, pin, compare."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lightning_pepr.auditing import audit
from lightning_pepr.cost import RESOURCES, Resource
from lightning_pepr.ranking import rank
from lightning_pepr.report.page import write_page
from lightning_pepr.runs import load_runs
from lightning_pepr.space import ModelSpace
from tests.helpers.browser import Browser, decimal

pytestmark = pytest.mark.slow


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
    browser.select("#space", "budget, as 6 runs used it")
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


def test_a_model_is_described_by_the_means_of_its_runs(browser: Browser, tmp_path: Path) -> None:
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


def test_the_table_sorts_and_searches_by_mouse_and_keys(browser: Browser, page: Path) -> None:
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


def test_two_models_are_compared_in_a_sentence(browser: Browser, page: Path, runs: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    table = load_runs(runs)
    large, small = (table["model"].to_list().index(name) for name in ("large", "small"))
    browser.click_dot(large)
    tip = browser.text("#tip")
    assert "test" not in browser.text("#compare-sentence")
    assert browser.text("#compare-sentence") == "A is large. Pin another to compare."
    for word in ("large", "± ", "energy counter", "on 1,000 samples", "rank", "NVIDIA A100"):
        assert word in tip
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


def test_energies_of_two_boards_differ_beyond_their_gain(browser: Browser, tmp_path: Path) -> None:
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
    sentences = {}
    browser.run(pin, 0)
    for other in names[1:]:
        browser.run(pin, names.index(other))
        sentences[other] = browser.text("#compare-sentence")
        browser.run(pin, names.index(other))
    without = "Their energy differs by less than the errors of both"
    assert without not in sentences["beside"]
    assert sentences["elsewhere"].endswith(f"{without} with those of their sensors, which are on different boards.")
    assert without not in sentences["far"]
    assert sentences["blurred"].endswith(f"{without}.")
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
