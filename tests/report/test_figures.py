"""The figure draws every model, its contours and its labels, all of them on the canvas."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import combinations

import matplotlib
import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from lightning_pepr import ModelSpace
from lightning_pepr.report.figures import save_score_profile, score_profile

EIGHT = {
    "model": [
        "dla46_c",
        "mobilenetv2_050",
        "pvt_v2_b0",
        "convnext_atto",
        "mobilevitv2_050",
        "ghostnet_100",
        "resnet18d",
        "dla34",
    ],
    "performance": [0.796, 0.744, 0.862, 0.860, 0.840, 0.82, 0.845, 0.852],
    "r_e": [0.41, 0.0, 0.45, 0.2, 0.35, 0.62, 0.5, 1.0],
    "params": [1.0e6, 0.7e6, 3.4e6, 3.4e6, 1.1e6, 3.9e6, 11.2e6, 15.2e6],
}
SPACE = ModelSpace({"energy_kwh": (0.00012, 0.00055)})


def crowd(n: int = 131, dearest: float = 1.0) -> dict[str, list[object]]:
    rng = np.random.default_rng(0)
    r = rng.beta(1, 6, n)
    return {
        "model": [f"a_rather_long_model_name_{i}" for i in range(n)],
        "performance": list(rng.uniform(0.55, 0.88, n)),
        "r_e": list(r / r.max() * dearest),
        "params": list(10 ** rng.uniform(6, 8.1, n)),
    }


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_visible() and text.get_text()]


@pytest.mark.parametrize("kind", [dict, pl.DataFrame])
def test_every_model_is_drawn_and_named(kind: type) -> None:
    figure = score_profile(kind(EIGHT), space=SPACE)
    axes = figure.axes[0]
    dots = np.asarray(axes.collections[-1].get_offsets())
    expected = sorted(zip(EIGHT["r_e"], EIGHT["performance"], strict=True))
    assert sorted(map(tuple, dots.tolist())) == pytest.approx(np.array(expected))
    names = {text.partition("\n")[0] for text in texts(figure)}
    assert set(EIGHT["model"]) <= names


def test_the_area_grows_with_the_parameters() -> None:
    axes = score_profile(EIGHT).axes[0]
    dots = axes.collections[-1]
    r_of_area = [r for _, r in sorted(zip(dots.get_sizes(), np.asarray(dots.get_offsets())[:, 0], strict=True))]
    r_of_params = [r for _, r in sorted(zip(EIGHT["params"], EIGHT["r_e"], strict=True))]
    assert sorted(r_of_area[:1] + r_of_area[-2:]) == sorted(r_of_params[:1] + r_of_params[-2:])


def test_contours_have_one_score_all_along() -> None:
    axes = score_profile(EIGHT).axes[0]
    assert len(axes.lines) >= 4
    for line in axes.lines:
        x, y = np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)
        score = y / (1 + np.maximum(x, 0))
        assert np.ptp(score) < 1e-12
        assert any(float(text) == pytest.approx(score[0]) for text in texts(axes.figure) if is_number(text))


def is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text.replace("\N{MINUS SIGN}", "-")))
    except ValueError:
        return False


def test_best_and_pick_are_marked_in_words() -> None:
    shown = texts(score_profile(EIGHT))
    assert "pvt_v2_b0\nbest P" in shown
    assert "mobilenetv2_050\nbest PePR-E" in shown
    chosen = texts(score_profile(EIGHT, best="dla34", pick="convnext_atto", chosen_on="validation"))
    assert "dla34\nbest P (validation)" in chosen
    assert "convnext_atto\nbest PePR-E (validation)" in chosen
    both = {"model": ["one", "two"], "performance": [0.9, 0.8], "r_e": [0.0, 1.0]}
    assert "one\nbest P and PePR-E" in texts(score_profile(both))


@pytest.mark.parametrize(
    "table",
    [
        EIGHT,
        crowd(),
        crowd(20, dearest=3.0),
        {"model": ["only"], "performance": [0.5], "r_e": [0.0]},
        {"model": ["a", "b"], "performance": [1.0, 0.0], "r_e": [0.0, 7.5]},
    ],
    ids=["eight", "crowd", "beyond-1", "one", "extremes"],
)
def test_no_text_leaves_the_canvas(table: dict[str, list[object]]) -> None:
    figure = score_profile(table, space=SPACE, title="A title", performance_label="Test AUROC")
    figure.canvas.draw()
    drawn = figure.get_tightbbox(figure.canvas.get_renderer())  # of all that is drawn, in inches
    width, height = figure.get_size_inches()
    assert drawn.x0 >= 0
    assert drawn.y0 >= 0
    assert drawn.x1 <= width
    assert drawn.y1 <= height


def test_names_of_eight_models_do_not_collide() -> None:
    figure = score_profile(EIGHT)
    figure.canvas.draw()
    labels = [
        text
        for text in figure.axes[0].texts
        if isinstance(text, Annotation) and text.get_text().partition("\n")[0] in EIGHT["model"]
    ]
    assert len(labels) == 8
    renderer = figure.canvas.get_renderer()
    for a, b in combinations(labels, 2):
        one, two = (matplotlib.text.Text.get_window_extent(text, renderer) for text in (a, b))
        assert not one.overlaps(two), (a.get_text(), b.get_text())


def test_a_crowd_is_drawn_whole_but_only_the_marked_are_named() -> None:
    figure = score_profile(crowd())
    assert len(figure.axes[0].collections[-1].get_offsets()) == 131
    assert sum("a_rather_long" in text for text in texts(figure)) == 2


def test_r_beyond_1_widens_the_picture() -> None:
    left, right = score_profile(crowd(20, dearest=3.0)).axes[0].get_xlim()
    assert left < 0
    assert right > 3


@pytest.mark.parametrize(
    ("resource", "space", "expected"),
    [
        ("energy", SPACE, "0 is 120 mWh, 1 is 550 mWh"),
        ("energy", ModelSpace.budget(energy_kwh=2), "0 is 0 kWh, 1 is 2 kWh"),
        ("T", ModelSpace({"time_s": (60, 7200)}), "time normalised over the model space (0 is 60 s, 1 is 7,200 s)"),
        ("N", ModelSpace({"params": (1.2e6, 25e6)}), "0 is 1.2 M, 1 is 25 M"),
        ("memory", SPACE, "R, memory normalised over the model space"),
    ],
)
def test_the_axis_tells_resource_and_unit(resource: str, space: ModelSpace, expected: str) -> None:
    table = {"model": ["a", "b"], "performance": [0.8, 0.9]}
    table |= {f"r_{letter}": [0.0, 1.0] for letter in "etmn"}
    assert expected in score_profile(table, resource, space=space).axes[0].get_xlabel()


@pytest.mark.parametrize(("ending", "begin"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_files_are_written(tmp_path, ending: str, begin: bytes) -> None:
    path = save_score_profile(EIGHT, tmp_path / "made" / f"profile.{ending}", space=SPACE)
    assert path.read_bytes().startswith(begin)


def test_what_was_not_measured_is_said_and_left_out() -> None:
    table = pl.DataFrame({"model": ["a", "b", "c"], "performance": [0.8, 0.9, 0.7], "r_e": [0.0, None, 1.0]})
    figure = score_profile(table)
    assert len(figure.axes[0].collections[-1].get_offsets()) == 2
    assert any("1 not measured, not drawn" in text for text in texts(figure))


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ({"model": ["a"], "performance": [0.8]}, {}, "no column 'r_e'"),
        ({"model": ["a"], "performance": [None], "r_e": [0.0]}, {}, "nothing to draw"),
        ({"model": ["a"], "performance": [80.0], "r_e": [0.0]}, {}, "80.0"),
        ({"model": ["a"], "performance": [0.8], "r_e": [-1.0]}, {}, "-1.0"),
        ({"model": ["a", "b"], "performance": [0.8, 0.7], "r_e": [0.0]}, {}, "differ in length"),
        ({"model": ["a"], "performance": [0.8], "r_e": [0.0]}, {"pick": "b"}, "'b' is not in the table"),
    ],
)
def test_bad_tables_are_refused(table: dict[str, list[object]], options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_profile(table, **options)


def test_matplotlib_is_imported_only_to_draw_and_pyplot_never() -> None:
    code = (
        "import sys; from lightning_pepr.report import figures\n"
        "assert not {'matplotlib', 'torch', 'lightning', 'polars'} & set(sys.modules)\n"
        "figures.score_profile({'model': ['a'], 'performance': [0.5], 'r_e': [0.0]})\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None; sys.modules['matplotlib.figure'] = None\n"
        "from lightning_pepr.report import figures\n"
        "figures.score_profile({'model': ['a'], 'performance': [0.5], 'r_e': [0.0]})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'lightning-pepr[report]'" in done.stderr
