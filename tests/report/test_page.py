"""What the page is written as, without a browser; test_browser_*.py open it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.report import make_runs
from lightning_pepr.cli import main
from lightning_pepr.report.data import collect, nothing_yet
from lightning_pepr.report.page import SCRIPTS, _plotly, render, write_page
from lightning_pepr.space import ModelSpace
from tests.helpers.pages import unpack
from tests.helpers.records import make_run, save_runs


def test_the_policy_allows_the_scripts_of_the_page_and_no_others(tmp_path: Path) -> None:
    page = write_page(save_runs(tmp_path), tmp_path / "r.html").read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    policy = policy.replace("&#39;", "'")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == len(SCRIPTS)
    scripts.insert(0, unpack(page, "plotly"))  # which runs as a script, too, once it is unpacked
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    assert allowed == [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "connect-src" not in policy, "a file asks nobody"
    assert "script-src 'unsafe-inline'" not in policy
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=", page)


def test_the_library_is_that_of_the_plotly_package() -> None:
    assert unpack(render(nothing_yet("")), "plotly") == pytest.importorskip("plotly.offline").get_plotlyjs()


def test_a_page_of_the_same_data_is_the_same() -> None:
    data = collect([make_run("</script><b>"), make_run("\u2028", 4e6)])
    page = render(data)
    assert page == render(data)
    assert json.loads(unpack(page, "data")) == json.loads(json.dumps(data))


@pytest.mark.parametrize(
    ("count", "groups", "spaces", "given", "most"),
    [
        (1, 1, 0, False, 2.5e6),
        (10_000, 1, 0, False, 15e6),
        (10_000, 4, 3, False, 15e6),
        pytest.param(10_000, 4, 3, True, 15e6, marks=pytest.mark.slow),
        pytest.param(9_000, 4, 20, True, 15e6, marks=pytest.mark.slow),
    ],
)
def test_pages_are_not_too_large(
    tmp_path: Path, count: int, groups: int, spaces: int, given: bool, most: float
) -> None:
    """Whether the runs are of several groups, recorded spaces of their own, or are looked at in a given one."""
    runs = make_runs(count)
    costs = [run.epochs[-1].cost for run in runs[: spaces + 1]]
    known = [ModelSpace({resource.field: (0.0, 5 * amount) for resource, amount in cost.items()}) for cost in costs]
    for index, run in enumerate(runs):
        run.group = f"data {index % groups}"
        run.space = known[index % spaces].to_dict() if spaces else None
    page = write_page(runs, tmp_path / "page.html", space=known[-1] if given else None)
    assert page.stat().st_size <= most


def test_a_page_without_runs_waits() -> None:
    page = render({**nothing_yet("no record yet"), "live": True, "tag": '"x"'})
    assert json.loads(unpack(page, "data"))["notes"] == ["no record yet"]
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


@pytest.mark.parametrize("package", ["jinja2", "plotly"])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    _plotly.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'lightning-pepr\[report\]'"):
        render(nothing_yet(""))


def test_a_taken_port_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
