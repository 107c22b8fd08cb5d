"""The score profile draws every model, names those it can, and says what it leaves out."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import polars as pl
import pytest

from lightning_pepr import ModelSpace
from lightning_pepr.figures import save_score_profile, score_profile
from lightning_pepr.figures.profile import _r_error
from tests.figures.pictures import EIGHT, SPACE, axes_of, crowd, renderer_of, texts, with_errors


@pytest.mark.parametrize("kind", [dict, pl.DataFrame])
def test_every_model_is_drawn_and_named(kind: Callable[[Any], Any]) -> None:
    figure = score_profile(kind(EIGHT), space=SPACE)
    axes = axes_of(figure)[0]
    dots = np.asarray(axes.collections[-1].get_offsets())
    expected = sorted(zip(EIGHT["r_e"], EIGHT["performance"], strict=True))
    assert sorted(map(tuple, dots.tolist())) == pytest.approx(np.array(expected))
    names = {text.partition("\n")[0] for text in texts(figure)}
    assert set(EIGHT["model"]) <= names


def test_the_area_grows_with_the_parameters() -> None:
    axes = axes_of(score_profile(EIGHT))[0]
    dots = axes.collections[-1]
    r_of_area = [r for _, r in sorted(zip(dots.get_sizes(), np.asarray(dots.get_offsets())[:, 0], strict=True))]
    r_of_params = [r for _, r in sorted(zip(EIGHT["params"], EIGHT["r_e"], strict=True))]
    assert sorted(r_of_area[:1] + r_of_area[-2:]) == sorted(r_of_params[:1] + r_of_params[-2:])


def test_contours_have_one_score_all_along() -> None:
    axes = axes_of(score_profile(EIGHT))[0]
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


def test_names_of_eight_models_do_not_collide() -> None:
    figure = score_profile(EIGHT)
    figure.canvas.draw()
    labels = [text for text in axes_of(figure)[0].texts if text.get_text().partition("\n")[0] in EIGHT["model"]]
    assert len(labels) == 8
    renderer = renderer_of(figure)
    for a, b in combinations(labels, 2):
        one, two = (text.get_window_extent(renderer) for text in (a, b))
        assert not one.overlaps(two), (a.get_text(), b.get_text())
    centres = axes_of(figure)[0].transData.transform(np.column_stack([EIGHT["r_e"], EIGHT["performance"]]))
    for label in labels:
        box = label.get_window_extent(renderer)
        assert not any(box.contains(x, y) for x, y in centres), f"{label.get_text()} covers a dot"


def test_a_crowd_is_drawn_whole_but_only_the_marked_are_named() -> None:
    figure = score_profile(crowd())
    assert len(axes_of(figure)[0].collections[-1].get_offsets()) == 131
    assert sum("a_rather_long" in text for text in texts(figure)) == 2


def test_r_beyond_1_widens_the_picture() -> None:
    left, right = axes_of(score_profile(crowd(20, highest=3.0)))[0].get_xlim()
    assert left < 0
    assert right > 3


@pytest.mark.parametrize(("ending", "begin"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_files_are_written(tmp_path: Path, ending: str, begin: bytes) -> None:
    path = save_score_profile(EIGHT, tmp_path / "made" / f"profile.{ending}", space=SPACE)
    assert path.read_bytes().startswith(begin)


def test_what_was_not_measured_is_said_and_left_out() -> None:
    table = pl.DataFrame({"model": ["a", "b", "c"], "performance": [0.8, 0.9, 0.7], "r_e": [0.0, None, 1.0]})
    figure = score_profile(table)
    assert len(axes_of(figure)[0].collections[-1].get_offsets()) == 2
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
def test_bad_tables_raise(table: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_profile(table, **options)


def test_bars_reach_as_far_as_the_errors() -> None:
    table = with_errors()
    axes = axes_of(score_profile(table))[0]
    level, upright = (c for c in axes.collections if isinstance(c, matplotlib.collections.LineCollection))
    low, high = ([segment[end, 0] for segment in level.get_segments()] for end in (0, 1))
    off = [0.05 * kwh / 0.00043 for kwh in table["energy_kwh"]]
    np.testing.assert_allclose(high, [r + e for r, e in zip(EIGHT["r_e"], off, strict=True)])
    np.testing.assert_allclose(low, [max(0.0, r - e) for r, e in zip(EIGHT["r_e"], off, strict=True)])
    ends = sorted(tuple(segment[:, 1]) for segment in upright.get_segments())
    p, z, n = np.array(sorted(EIGHT["performance"])), 1.959963984540054, 400
    middle, half = (
        (p + z**2 / (2 * n)) / (1 + z**2 / n),
        z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n),
    )
    np.testing.assert_allclose(ends, np.column_stack([middle - half, middle + half]))


def test_without_errors_the_interval_of_the_score_is_drawn_from_line_to_line() -> None:
    table: dict[str, Any] = {"model": ["a", "b"], "performance": [0.8, 0.9], "r_e": [0.0, 1.0]}
    table |= {"pepr_e_low": [0.7, 0.4], "pepr_e_high": [0.85, 0.47]}
    axes = axes_of(score_profile(table))[0]
    upright = next(c for c in axes.collections if len(c.get_segments() if hasattr(c, "get_segments") else []) == 2)
    assert [segment[:, 1].tolist() for segment in upright.get_segments()] == [[0.7, 0.85], [0.8, 0.94]]
    assert any("Bars: the interval of the score" in text.replace("\n", " ") for text in texts(axes.figure))


def test_a_model_of_several_runs_is_named_once() -> None:
    runs = {"model": ["a", "b", "a", "a"], "performance": [0.8, 0.9, 0.81, 0.79], "r_e": [0.0, 1.0, 0.1, 0.05]}
    figure = score_profile(runs)
    assert len(axes_of(figure)[0].collections[-1].get_offsets()) == 4
    assert [text.partition("\n")[0] for text in texts(figure)].count("a") == 1


def test_the_error_of_r_is_that_of_the_line_and_not_of_its_floor() -> None:
    space = ModelSpace({"energy_kwh": (0.1, 0.2)})
    for costs in ([0.01, 0.15, 0.2], [0.1, 0.2, 0.3], [0.01, 0.1, 0.2]):
        cost = np.array(costs)
        off = _r_error(np.asarray(space.normalize(cost, "energy")), cost, np.full(3, 0.01))
        assert off == pytest.approx([0.1] * 3)
