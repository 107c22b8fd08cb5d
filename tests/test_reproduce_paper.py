"""The paper's scores, tables, tests and figures, against arithmetic that shares nothing with the package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
import pytest

from tests.helpers.paths import ROOT

EXAMPLE = ROOT / "examples" / "reproduce_paper.py"
PUBLISHED = ROOT.parent / "shared" / "paper"

COSTS = {"e": "energy", "c": "co2", "t": "train_time", "m": "memR"}
SETTINGS = [
    "derma",
    "derma_pt",
    "derma_small",
    "derma_smallest",
    "lidc",
    "lidc_small",
    "pneumonia",
    "pneumonia_small",
]
FIGURES = ["profile", "energy", "performance_and_pepr_e", "pepr_c_m_t", "pretraining", "training_size"]
FIGURES += [f"profile_{setting}" for setting in SETTINGS]

Reproduced: TypeAlias = tuple[Path, Path, str]
"""The table, the folder of the figures, and what the example printed."""

pytestmark = pytest.mark.slow


def run(table: Path, out: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(EXAMPLE), str(table), "--out", str(out)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)


def made_up(path: Path, models: int = 12) -> Path:
    """A table in the paper's columns, of models and settings whose numbers are drawn at random."""
    rng = np.random.default_rng(4)
    rows = []
    for setting in SETTINGS:
        for i in range(models):
            params = int(1e6 * 1.5**i)
            tests = np.sort(rng.uniform(0.3, 0.9, 10))
            energy = 0.01 * (i + 1) ** rng.uniform(0.8, 1.2)
            row = {"model": f"model_{i:02}", "num_param": params, "memR": rng.uniform(1, 20), "energy": energy}
            row |= {"co2": energy * rng.uniform(60, 120), "train_time": energy * rng.uniform(500, 700)}
            row |= {f"test_{n:02}": p for n, p in enumerate(tests)}
            rows.append(row | {"type": "CNN" if i % 3 else "Other", "efficient": i % 2, "dataset": setting})
    pl.DataFrame(rows).write_csv(path)
    return path


@pytest.fixture(scope="module", params=["published", "made up"])
def reproduced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reproduced:
    """The table, the folder, and what was printed."""
    folder = tmp_path_factory.mktemp("paper")
    if request.param == "published":
        table = PUBLISHED / "results_131x8.csv"
        if not table.exists():
            pytest.skip("the paper's table is not in ../shared/paper")
    else:
        table = made_up(folder / "table.csv")
    done = run(table, folder / "out")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return table, folder / "out", done.stdout


def by_hand(table: Path) -> dict[str, dict[str, np.ndarray]]:
    """R and PePR of every run, by numpy, in the order of the models' names; P and the parameters, too."""
    found = {}
    for (setting,), rows in pl.read_csv(table).sort("model").group_by("dataset"):
        columns = {"performance": rows["test_09"].to_numpy(), "params": rows["num_param"].to_numpy()}
        for letter, cost in COSTS.items():
            spent = rows[cost].to_numpy()
            columns[f"r_{letter}"] = (spent - spent.min()) / (spent.max() - spent.min())
            columns[f"pepr_{letter}"] = columns["performance"] / (1 + columns[f"r_{letter}"])
        found[str(setting)] = columns
    return found


def test_every_score_of_every_setting(reproduced: Reproduced) -> None:
    table, out, _ = reproduced
    scores = pl.read_csv(out / "scores.csv").sort("model")
    expected = by_hand(table)
    assert sorted(expected) == SETTINGS
    for setting, columns in expected.items():
        found = scores.filter(group=setting)
        for name, values in columns.items():
            np.testing.assert_allclose(found[name].to_numpy(), values, rtol=0, atol=1e-12, err_msg=f"{setting} {name}")


def test_the_published_scores(reproduced: Reproduced) -> None:
    table, out, _ = reproduced
    if table.parent != PUBLISHED:
        pytest.skip("there are published scores for the published table only")
    published = pl.read_csv(PUBLISHED / "expected_scores.csv")
    both = pl.read_csv(out / "scores.csv").join(published, left_on=["group", "model"], right_on=["dataset", "model"])
    assert len(both) == len(published) == 5 * 131
    for letter in COSTS:
        for ours, theirs in ((f"r_{letter}", f"{letter.upper()}_n"), (f"pepr_{letter}", f"pepr_{letter}_right")):
            np.testing.assert_allclose(both[ours].to_numpy(), both[theirs].to_numpy(), rtol=0, atol=1e-12)


def test_the_tables_of_the_best(reproduced: Reproduced) -> None:
    table, _, printed = reproduced
    expected, names = by_hand(table), np.array(sorted(set(pl.read_csv(table)["model"])))
    tables = re.findall(r"^(\w+): the five best by PePR-E, and the best by P\n.*\n((?:.+\n){6})", printed, re.MULTILINE)
    assert [setting for setting, _ in tables] == SETTINGS
    for setting, text in tables:
        columns, rows = expected[setting], [line.split() for line in text.splitlines()]
        order = np.argsort(-columns["pepr_e"], kind="stable")
        assert [row[1] for row in rows[:5]] == names[order[:5]].tolist()
        assert [row[-1] for row in rows[:5]] == [f"{score:.4f}" for score in columns["pepr_e"][order[:5]]]
        assert [row[0] for row in rows[:5]] == ["1", "2", "3", "4", "5"]
        at = list(names).index(rows[5][1])
        assert columns["performance"][at] == columns["performance"].max()
        assert rows[5][0] == str(1 + int((columns["pepr_e"] > columns["pepr_e"][at]).sum()))


@pytest.mark.parametrize(
    ("words", "one", "two"),
    [
        ("With pretraining", ["derma_pt"], ["derma"]),
        ("All training data", ["derma_pt", "lidc", "pneumonia"], ["derma_small", "lidc_small", "pneumonia_small"]),
    ],
)
def test_the_t_tests(reproduced: Reproduced, words: str, one: list[str], two: list[str]) -> None:
    table, _, printed = reproduced
    columns = by_hand(table)
    a, b = (np.mean([columns[setting]["performance"] for setting in settings], axis=0) for settings in (one, two))
    n, difference = len(a), a.mean() - b.mean()
    row = re.search(rf"^{words}.*\n  independent (.*)\n  paired (.*)$", printed, re.MULTILINE)
    assert row is not None
    assert f"difference {difference:+.4f}" in row[0]
    pooled = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / n)
    paired = (a - b).std(ddof=1) / np.sqrt(n)
    for text, error, freedom in ((row[1], pooled, 2 * n - 2), (row[2], paired, n - 1)):
        assert f"t = {difference / error:.3f}, df = {freedom}, p = " in text
        low, high = map(float, re.findall(r"interval of the difference (\S+) to (\S+)", text)[0])
        # The ends lie as far from the difference as t's quantile has standard errors: from 1.96 up, 2.2 at df = 11.
        assert low + high == pytest.approx(2 * difference, abs=2e-4)
        assert 1.95 < (high - low) / 2 / error < 2.25
        assert 0.0 <= float(re.findall(r"p = (\S+),", text)[0]) <= 1.0
    if table.parent == PUBLISHED:
        assert float(re.findall(r"p = (\S+),", row[1])[0]) < 0.001  # which is what the paper says


def test_what_changes_without_the_rejected_rows(reproduced: Reproduced) -> None:
    table, _, printed = reproduced
    rows = pl.read_csv(table).sort("dataset", "model")
    # By hand: whoever shares energy and CO2 with another row, at more than 850 W over ten epochs, has another's.
    power = pl.col("energy") * 3.6e6 / (10 * pl.col("train_time"))
    rows = rows.with_columns(bad=(pl.len().over("energy", "co2") > 1) & (power > 850))
    assert f"The audit rejects {rows['bad'].sum()} of {len(rows)} runs." in printed
    lines = {
        line.split()[0]: line.split()[1:] for line in printed.partition("The audit rejects")[2].splitlines() if line
    }
    for setting in SETTINGS:
        there = rows.filter(dataset=setting)
        p, energy, bad = (there[name].to_numpy() for name in ("test_09", "energy", "bad"))
        before = p / (1 + (energy - energy.min()) / np.ptp(energy))
        left = energy[~bad]
        after = p[~bad] / (1 + (left - left.min()) / np.ptp(left))
        places = [(-scores[:, None] > -scores).sum(axis=1) for scores in (before[~bad], after)]
        # Spearman's is Pearson's of the ranks, and few are equal.
        both = [np.array([(x < y).sum() + ((x == y).sum() + 1) / 2 for y in x]) for x in (before[~bad], after)]
        row = lines[setting]
        assert row[:2] == [str(bad.sum()), str((~bad).sum())]
        assert row[2:4] == [f"{energy.max():.4g}", f"{left.max():.4g}"]
        assert row[4] == str((places[0] != places[1]).sum())
        assert float(row[5]) == pytest.approx(np.corrcoef(both[0], both[1])[0, 1], abs=6e-4)
        concordant = np.sign(before[~bad][:, None] - before[~bad]) * np.sign(after[:, None] - after)
        pairs = [np.count_nonzero(x[:, None] != x) for x in (before[~bad], after)]
        assert float(row[6]) == pytest.approx(concordant.sum() / np.sqrt(pairs[0] * pairs[1]), abs=6e-4)
        time = there["train_time"].to_numpy()
        for text, kept, scores in ((row[7], np.ones(len(p), bool), before), (row[8], ~bad, after)):
            spent = time[kept]
            by_time = p[kept] / (1 + (spent - spent.min()) / np.ptp(spent))
            both = [np.array([(x < y).sum() + ((x == y).sum() + 1) / 2 for y in x]) for x in (scores, by_time)]
            assert float(text) == pytest.approx(np.corrcoef(both[0], both[1])[0, 1], abs=6e-4)
        params = there["num_param"].to_numpy()
        for text, kept, scores in ((row[9], np.ones(len(p), bool), before), (row[10], ~bad, after)):
            both = [np.array([(x < y).sum() + ((x == y).sum() + 1) / 2 for y in x]) for x in (scores, params[kept])]
            assert float(text) == pytest.approx(np.corrcoef(both[0], both[1])[0, 1], abs=6e-3)
        names = there["model"].to_numpy()
        first, then = names[before.argmax()], names[~bad][after.argmax()]
        was = 1 + (before > before[names == then]).sum()
        now = 1 + (after > after[names[~bad] == first]).sum() if first in names[~bad] else "dropped"
        assert row[11:] == [first, then, str(was), "/", str(now)]


def test_every_figure_is_a_pdf_as_wide_as_a_column_or_a_page(reproduced: Reproduced) -> None:
    _, out, printed = reproduced
    assert sorted(path.name for path in out.glob("*.pdf")) == sorted(f"{name}.pdf" for name in FIGURES)
    assert f"{len(FIGURES)} figures and scores.csv are in {out}" in printed
    for name in FIGURES:
        data = (out / f"{name}.pdf").read_bytes()
        assert data.startswith(b"%PDF")
        width = re.search(rb"/MediaBox \[\s*0 0 ([\d.]+) ", data)
        assert width is not None
        assert float(width[1]) / 72 in (3.25, 6.75)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no .*; expected"),
        ("model,dataset,energy,test_00,type,efficient\na,x,1.0,0.5,CNN,0\nb,x,2.0,0.5,CNN,0\n", "has no setting derma"),
        ("model,energy,test_00,type,efficient\na,1.0,0.5,CNN,0\n", "there is no column 'dataset'"),
        ("model,dataset,energy,test_00\na,x,1.0,0.5\nb,x,2.0,0.6\n", "type"),
    ],
)
def test_other_tables_are_refused(text: str | None, message: str, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    if text is not None:
        table.write_text(text)
    done = run(table, tmp_path / "out")
    assert done.returncode == 2
    assert re.search(message, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
