"""What the page is made of, without a browser; test_browser.py opens it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report import make_runs
from lightning_pepr.cli import main
from lightning_pepr.report import data as contents
from lightning_pepr.report.data import collect, fingerprint, nothing_yet
from lightning_pepr.report.page import HERE, SCRIPTS, render, to_json, write_page
from lightning_pepr.space import ModelSpace
from tests.helpers.records import make_run, save_runs

PLOTLY = "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba"


@given(st.recursive(st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.none(), st.lists))
def test_json_can_stand_in_a_script(data: object) -> None:
    text = to_json(data)
    assert not re.search(r"[<>&\u2028\u2029]", text)
    assert json.loads(text) == data


def test_the_policy_allows_the_scripts_of_the_page_and_no_others(tmp_path: Path) -> None:
    page = write_page(save_runs(tmp_path), tmp_path / "r.html").read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    policy = policy.replace("&#39;", "'")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == len(SCRIPTS)
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    assert allowed == [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "connect-src" not in policy, "a file asks nobody"
    assert "script-src 'unsafe-inline'" not in policy
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=", page)


def test_plotly_is_the_published_bundle_with_its_licence() -> None:
    """The file is that of npm's plotly.js-basic-dist-min 4.1.1; a newer one comes with its own digest."""
    file = (HERE / "assets" / "plotly-basic.min.js").read_bytes()
    assert b"plotly.js (basic - minified) v4.1.1" in file[:200]
    assert hashlib.sha256(file).hexdigest() == PLOTLY
    assert "MIT" in (HERE / "assets" / "plotly-LICENSE.txt").read_text(encoding="utf-8")


def test_what_cannot_be_scored_is_left_out_and_told() -> None:
    table = pl.DataFrame(
        {
            "model": ["a", "b", "c", "d"],
            "performance": [0.5, 1.5, 0.7, 0.8],
            "energy_kwh": [1.0, 2.0, -3.0, float("nan")],
            "samples": [0, 10, 10, None],
        }
    )
    with pytest.warns(UserWarning, match="cannot be true") as told:
        data = collect(table)
    assert data["runs"]["p"] == [0.5, None, 0.7, 0.8]
    assert data["runs"]["cost"]["E"] == [1.0, 2.0, None, None]
    assert data["runs"]["samples"] == [None, 10, 10, None]
    assert [str(warning.message) for warning in told] == data["notes"]
    assert any("performance of 1 of the 4 runs cannot be true (that of b is 1.5)" in note for note in data["notes"])
    assert {finding["rule"] for finding in data["findings"]} >= {"not-positive", "performance-range"}
    json.dumps(data, allow_nan=False)


def test_the_last_epoch_or_the_best() -> None:
    run = make_run("a", 1e6, test_performance=None)
    run.epochs[1].performance = 0.99
    assert collect([run])["runs"]["p"] == [0.99]
    assert collect([run], at="last")["runs"]["p"] == [run.epochs[-1].performance]


def test_spaces_are_the_given_one_those_recorded_and_the_published(tmp_path: Path) -> None:
    space = ModelSpace.budget(energy_kwh=2.0)
    space.save(tmp_path / "space.json")
    data = collect([make_run("a", 1e6), make_run("b", 4e6)], space=tmp_path / "space.json")
    assert [each["kind"] for each in data["spaces"]] == ["Given", "Recorded", *["Published"] * 8]
    assert data["spaces"][0]["ranges"] == {"E": [0.0, 2.0]}
    for each in data["spaces"][2:]:
        name = each["key"].removeprefix("published-")
        clean = "without" in each["label"]
        assert each["ranges"]["E"] == list(ModelSpace.published(name, clean=clean).range("energy"))


def test_runs_are_coloured_by_the_type_of_their_model_and_by_what_decided_them() -> None:
    runs = [make_run("resnet18d", 1e6), make_run("pvt_v2_b0", 4e6), make_run("my_own", 2e6)]
    for index, run in enumerate(runs):
        run.settings = {"seed": index % 2, "lr": 0.1, "augment": ["flip"]}
    facets = {facet["name"]: facet for facet in collect(runs)["facets"]}
    kinds = facets["type"]
    assert [kinds["categories"][of] if of is not None else None for of in kinds["of"]] == ["CNN", "Other", None]
    assert facets["seed"]["of"] == [0, 1, 0]
    assert "lr" not in facets, "all have the same"
    assert "augment" not in facets
    table = pl.DataFrame({"model": ["a", "b"], "type": ["x", "y"], "performance": [0.5, 0.6], "time_s": [1.0, 2.0]})
    assert collect(table)["facets"][0] == {"name": "type", "categories": ["x", "y"], "of": [0, 1]}


def test_curves_of_long_runs_keep_first_best_and_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MOST_EVALUATIONS", 40)
    runs = [make_run("a", 1e6, epochs=100), make_run("b", 4e6, epochs=3)]
    runs[0].epochs[57].performance = 0.999
    long, short = collect(runs)["curves"]
    assert len(long["p"]) <= 21
    assert {0, 57, 99} <= set(long["epoch"])
    assert long["epoch"] == sorted(long["epoch"])
    assert long["of"] == 100
    assert short["epoch"] == [0, 1, 2]
    assert "of" not in short


def test_ten_thousand_runs_fit_into_fifteen_megabytes(tmp_path: Path) -> None:
    page = write_page(make_runs(10_000), tmp_path / "many.html")
    assert page.stat().st_size <= 15e6


def test_a_fingerprint_changes_with_the_records(tmp_path: Path) -> None:
    runs = save_runs(tmp_path / "runs", seeds=1)
    before = fingerprint([runs])
    assert fingerprint([runs]) == before
    make_run("new", 2e6).save(runs / "new" / "pepr.json")
    assert fingerprint([runs]) != before
    (runs / "new" / "pepr.json").unlink()
    assert fingerprint([runs]) == before
    assert fingerprint([tmp_path / "nowhere"]) == ()


def test_what_is_not_finite_or_no_mapping_in_what_a_record_says_of_itself_is_left_out() -> None:
    runs = [make_run("a", 1e6), make_run("b", 4e6), make_run("c", 2e6)]
    runs[0].hardware = {"host": "node", "clock": float("nan"), "more": [{"a": float("inf")}, 2.0]}
    runs[0].software = ["torch"]  # type: ignore[assignment]
    runs[0].settings = ["seed"]  # type: ignore[assignment]
    runs[1].settings = {"seed": 1, "lr": float("nan")}
    runs[2].settings = {"seed": 2, "lr": 0.1}
    runs[2].devices["cpu:node"].error_j = float("nan")
    data = collect(runs)
    json.dumps(data, allow_nan=False)
    assert [1, {"host": "node", "clock": None, "more": [{"a": None}, 2.0]}] in data["provenance"]["hardware"]
    assert [1, {}] in data["provenance"]["software"]
    facets = {facet["name"]: facet["of"] for facet in data["facets"]}
    assert facets["seed"] == [None, 0, 1]
    assert "lr" not in facets, "one value, and one that is not known"


def test_no_two_runs_have_the_same_key() -> None:
    table = pl.DataFrame({"model": ["a"], "performance": [0.5], "energy_kwh": [1.0]})
    assert len(set(collect([table, table])["runs"]["key"])) == 2
    names = ["x", "x#2", "x", "y", "x"]
    table = pl.DataFrame({"model": list("abcde"), "performance": [0.5] * 5, "energy_kwh": [1.0] * 5, "run_id": names})
    keys = collect(table)["runs"]["key"]
    assert len(set(keys)) == 5
    assert (keys[0], keys[1], keys[3]) == ("x", "x#2", "y"), "the first of a name keeps it"


def test_a_page_without_runs_waits() -> None:
    page = render({**nothing_yet("no record yet"), "live": True, "tag": '"x"'})
    assert "no record yet" in page
    assert "connect-src &#39;self&#39;" in page


def test_the_command_writes_the_page_and_how_to_make_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, page = save_runs(tmp_path / "my runs"), tmp_path / "out" / "r.html"
    assert main(["report", str(runs), "-o", str(page), "--title", "A & B", "--baseline", "0.5"]) == 0
    assert capsys.readouterr().out.strip() == str(page)
    text = page.read_text(encoding="utf-8")
    assert "<title>A &amp; B</title>" in text
    again = f"lightning-pepr report &#39;{runs}&#39; -o {page} --title &#39;A &amp; B&#39; --baseline 0.5"
    assert again in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "-o", "r.html"], "nowhere"),
        (["RUNS", "-o", "r.pdf"], "expected a name that ends in .html"),
        (["RUNS", "-o", "r.html", "--group", "colour"], "there is no column 'colour' to group by"),
        (["RUNS", "-o", "r.html", "--space", "dermis"], "no published space of that name"),
        (["RUNS", "-o", "r.html", "--baseline", "1.5"], "baseline is 1.5"),
        (["RUNS", "-o", "r.html", "--port", "80"], "--port goes with --serve"),
        (["nowhere", "--serve"], "there is no 'nowhere' to follow"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = str(save_runs(tmp_path / "runs", seeds=1))
    assert main(["report", *(runs if each == "RUNS" else each for each in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "r.html").exists()


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'lightning-pepr\[report\]'"):
        write_page(save_runs(tmp_path), tmp_path / "r.html")


def test_a_taken_port_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["report", str(save_runs(tmp_path)), "--serve", "--port", port]) == 2
    assert f"port {port} cannot be served at" in capsys.readouterr().err


def test_a_report_needs_no_torch(tmp_path: Path) -> None:
    script = f"""
import sys
from lightning_pepr.cli import main
main(["report", {str(save_runs(tmp_path / "runs"))!r}, "-o", {str(tmp_path / "r.html")!r}])
print(sorted({{"torch", "lightning", "torchmetrics", "timm", "pandas", "matplotlib", "mlflow"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"
