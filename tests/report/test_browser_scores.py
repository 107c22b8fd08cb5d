"""The page shows what `rank` gives, in a real Chromium: the same digits, and the same ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lightning_pepr.cost import RESOURCES, Resource
from lightning_pepr.functional import normalize, pepr
from lightning_pepr.ranking import rank
from lightning_pepr.report import scores
from lightning_pepr.report.data import collect
from lightning_pepr.report.page import write_page
from lightning_pepr.space import ModelSpace
from tests.helpers.browser import Browser, decimal
from tests.helpers.records import make_run

pytestmark = pytest.mark.slow

SPACE = ModelSpace({each.field: (0.25, 7.5) for each in RESOURCES})
EDGE = [
    {"model": "a", "performance": 0.0, "energy_kwh": 0.0},
    {"model": "b", "performance": 1.07e-160, "energy_kwh": 0.0, "samples": 1},
]  # one of them is not 0, and both are shown as it

amounts = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.0]), st.floats(0, 100), st.floats(0, 1e5))
errors = st.one_of(st.none(), st.floats(0, 10))
rows = st.fixed_dictionaries(
    {
        "model": st.sampled_from("abcde"),
        "group": st.sampled_from([None, "x", "y"]),
        "performance": st.one_of(st.none(), st.sampled_from([0.5, 0.5625, 0.75, 1.0]), st.floats(0, 1)),
        **{resource.field: amounts for resource in RESOURCES},
        "energy_kwh_error": errors,
        "carbon_g_error": errors,
        "gain": st.one_of(st.none(), st.sampled_from([0.0, 0.05, 0.3])),
        "boards": st.one_of(st.none(), st.sampled_from(["x", "y"])),
        "samples": st.one_of(st.none(), st.integers(1, 500)),
    }
)
KINDS: dict[str, Any] = dict.fromkeys(
    [*(r.field for r in RESOURCES), "performance", "energy_kwh_error", "carbon_g_error", "gain"], pl.Float64
)
KINDS |= {"boards": pl.String, "group": pl.String, "samples": pl.Int64}
COLUMNS = ("rank", "rank_worst", "pareto")

EVALUATE = """
const [data, space, group] = arguments;
Object.assign(Model.page, { data });
return data.resources.map(({ letter: resource }) => {
  Object.assign(Model.state, { resource, space, group, search: "" });
  Model.evaluate();
  const { of, order, front, known } = Model.page.view;
  const shown = (i) => ["r", "score", "low", "high"].map((key) => Model.decimal(of.get(i)[key]));
  return order.slice(0, known.length).map((i) => [i, ...shown(i), of.get(i).rank, of.get(i).worst, front.has(i)]);
});
"""


@pytest.fixture(scope="module")
def scripts(browser: Browser, page: Path) -> Browser:
    """A page whose scripts take other data."""
    browser.open(page)
    return browser


def expected(frame: pl.DataFrame, resource: Resource, apart: str | None, **how: Any) -> list[list[Any]]:
    """The rows of a ranking as the page is to show them, in their order; -0.0 is 0."""
    if frame.drop_nulls(["performance", resource.field]).is_empty():
        return []
    key = resource.score_key
    ranking = rank(frame, by=resource, group=None if apart is None else "group", **how).drop_nulls(["row", key])
    if apart is not None:
        ranking = ranking.filter(group=apart)
    numbers = (resource.r_key, key, f"{key}_low", f"{key}_high")
    return [
        [row["row"], *(decimal(row[name] + 0.0) for name in numbers), *(row[name] for name in COLUMNS)]
        for row in ranking.iter_rows(named=True)
    ]


@given(
    table=st.lists(rows, min_size=1, max_size=12),
    own=st.booleans(),
    apart=st.sampled_from([None, "x"]),
    baseline=st.sampled_from([None, None, 0.5]),
)
@example(table=EDGE, own=False, apart=None, baseline=None)
@example(table=EDGE, own=True, apart=None, baseline=None)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore")
def test_the_page_scores_ranks_and_bounds_as_rank_does(
    scripts: Browser, table: list[dict[str, Any]], own: bool, apart: str | None, baseline: float | None
) -> None:
    frame = pl.DataFrame(table, schema_overrides=KINDS).with_row_index("row")
    absent = [name for name in KINDS if name not in frame.columns]
    frame = frame.with_columns(pl.lit(None, dtype=KINDS[name]).alias(name) for name in absent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "SETTINGS", {})  # without the published spaces it takes a third of the time
        data = collect(frame, space=SPACE, baseline=baseline)
    if apart is not None and apart not in frame["group"]:
        apart = None
    found = scripts.run(EVALUATE, data, "own" if own else "given", apart)
    if apart is not None and frame["group"].n_unique() == 1:
        apart = None  # it is all of them
    for resource, shown in zip(RESOURCES, found, strict=True):
        assert shown == expected(frame, resource, apart, space=None if own else SPACE, baseline=baseline)


def test_ranks_of_the_smallest_numbers_are_those_of_rank(browser: Browser, tmp_path: Path) -> None:
    table = pl.DataFrame(EDGE)
    space = ModelSpace({"energy_kwh": (0.25, 7.5)})
    browser.open(write_page(table, tmp_path / "edge.html", space=space))
    ranking = rank(table, space=space)
    assert browser.column("Model") == ranking["model"].to_list()
    places = ranking.select("rank", "rank_worst").iter_rows()
    assert browser.column("Rank") == [f"{best}–{worst}" if best != worst else str(best) for best, worst in places]


def test_epochs_are_scored_in_every_space(scripts: Browser) -> None:
    """Of each evaluation R and the score, as `normalize` and `pepr` have them."""
    runs = [make_run("small", 1e6), make_run("large", 16e6)]
    data = collect(runs, space=SPACE, baseline=0.5)
    script = """
        Object.assign(Model.page, { data: arguments[0] });
        Object.assign(Model.state, { resource: "E", space: arguments[1], group: null });
        Model.evaluate();
        const { r, scores } = Model.evaluationsOf(1);
        return [[...r], scores.map(Model.decimal)];
    """
    own = ModelSpace.from_runs(runs)
    for key, space in (("own", own), ("given", SPACE), ("published-derma_pt", ModelSpace.published("derma_pt"))):
        r = [normalize(epoch.cost.energy_kwh, *space.range("energy")) for epoch in runs[1].epochs]
        gained = [max(0.0, ((epoch.performance or 0.0) - 0.5) / 0.5) for epoch in runs[1].epochs]
        shown_r, shown = scripts.run(script, data, key)
        assert shown_r == pytest.approx(r, rel=1e-6)
        assert shown == [decimal(pepr(p, each)) for p, each in zip(gained, r, strict=True)]


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
