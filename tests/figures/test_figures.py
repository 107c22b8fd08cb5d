"""Figures draw everything that there is, say what they leave out, and are fit for print."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import matplotlib
import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure
from matplotlib.testing.compare import compare_images
from matplotlib.text import Annotation

from lightning_pepr import Cost, ModelSpace, figures, pepr_curve, rank
from lightning_pepr.figures import (
    against_parameters,
    cost_by_stage,
    forecasts,
    pepr_curves,
    save_figure,
    save_score_profile,
    score_profile,
    violins,
)
from lightning_pepr.figures.palette import LIGHT
from lightning_pepr.figures.profile import _of_r
from lightning_pepr.figures.style import Width
from lightning_pepr.forecast import forecast
from lightning_pepr.record import Epoch, RunRecord, Stage

BASELINE = Path(__file__).parent / "baseline"
DPI = 60
FONT = {"font.family": "DejaVu Sans", "text.hinting": "none"}  # it comes with matplotlib


def draw_for_comparison(picture: str, path: Path) -> None:
    with matplotlib.rc_context(FONT):
        PICTURES[picture]("page" if picture.startswith("profile") else "column").savefig(path, dpi=DPI)


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


LONG = "A title that is a good deal longer than a column of a page of two columns is wide, and so has to be broken"


def with_errors() -> dict[str, list[object]]:
    """The eight with an energy, its error, and the samples of P."""
    energy = [0.00012 + 0.00043 * r for r in EIGHT["r_e"]]
    error = [0.05 * kwh for kwh in energy]
    kinds = ["CNN", "CNN", "Transformer", "CNN", "Hybrid", "CNN", "CNN", None]
    return {**EIGHT, "energy_kwh": energy, "energy_kwh_error": error, "samples": [400] * 8, "type": kinds}


CURVES = {
    name: pepr_curve(p, kwh, ModelSpace.budget(energy_kwh=0.2))
    for name, p, kwh in [
        ("convnext_atto", [0.5, 0.6, 0.7, 0.72, 0.75, 0.76], [0.02, 0.04, 0.06, 0.08, 0.1, 0.12]),
        ("resnet18d", [0.6, 0.75, 0.78, 0.79, 0.8, 0.81], [0.03, 0.07, 0.1, 0.15, 0.2, 0.26]),
        (
            "a_model_whose_name_is_long_indeed_" * 2,
            [0.2, 0.3, 0.5, 0.6, 0.7, 0.71],
            [0.01, 0.03, 0.05, 0.07, 0.09, 0.1],
        ),
    ]
}
SPENT = np.cumsum([0.018, *(0.01 + 0.0005 * math.sin(7.0 * n) for n in range(19))]).tolist()


def records() -> list[RunRecord]:
    """Three runs with stages and epochs, and one whose energy was not measured."""
    space = ModelSpace.budget(energy_kwh=0.2)
    runs = []
    for name, wh in (("convnext_atto", 30), ("resnet18d", 50), ("resnet18d", 90)):
        run = RunRecord(name, monitor="val_acc", space=space.to_dict(), carbon={"g_per_kwh": 150.0, "pue": 1.2})
        shares = {"train": 0.75, "validate": 0.2, "other": 0.05, "test": 0.1}
        run.stages = {stage: Stage(round(wh * share * 3.6e9), round(6e10 * share)) for stage, share in shares.items()}
        run.epochs = [Epoch(n, n, 0.5 + 0.04 * n, Cost(energy_kwh=wh * (n + 1) / 8000)) for n in range(8)]
        runs.append(run)
    runs.append(RunRecord("unmetered", stages={"train": Stage(None, 10**10)}))
    return runs


def the_pictures() -> dict[str, Callable[[Width], Figure]]:
    """Each kind of figure, of data that do not change."""
    crowded = crowd() | {"type": ["CNN" if i % 3 else "Other" for i in range(131)]}
    crowded |= {"pepr_e": [p / (1 + r) for p, r in zip(crowded["performance"], crowded["r_e"], strict=True)]}
    crowded |= {"energy_kwh": [0.001 + 0.2 * r for r in crowded["r_e"]]}
    groups = {"with": crowded["performance"][:60], "without": [0.9 * p for p in crowded["performance"][60:]]}
    return {
        "profile": lambda width: score_profile(EIGHT, space=SPACE, title=LONG, width=width),
        "profile-errors": lambda width: score_profile(with_errors(), color_by="type", width=width),
        "profile-crowd": lambda width: score_profile(crowded, color_by="type", title=LONG, width=width),
        "profile-lines": lambda width: score_profile(None, width=width),
        "parameters": lambda width: against_parameters(crowded, color_by="type", title=LONG, width=width),
        "parameters-cost": lambda width: against_parameters(crowded, ["energy_kwh"], width=width),
        "violins": lambda width: violins(
            groups, between={("with", "without"): "t(129) = 5.1"}, title=LONG, width=width
        ),
        "curves": lambda width: pepr_curves(CURVES, title=LONG, width=width),
        "stages": lambda width: cost_by_stage(records(), title=LONG, width=width),
        "forecasts": lambda width: forecasts(SPENT, 30, title=LONG, width=width),
    }


PICTURES = the_pictures()
every_picture = pytest.mark.parametrize("picture", PICTURES)
every_width = pytest.mark.parametrize("width", ["column", "page", 10.0])


def test_every_figure_of_the_module_is_among_them() -> None:
    drawn = {"score_profile", "against_parameters", "violins", "pepr_curves", "cost_by_stage", "forecasts"}
    assert drawn | {"save_figure", "save_score_profile"} == set(figures.__all__)


@every_picture
@every_width
def test_nothing_is_cut_off(picture: str, width: Width) -> None:
    figure = PICTURES[picture](width)
    figure.canvas.draw()
    inches, height = figure.get_size_inches()
    assert inches == {"column": 3.25, "page": 6.75}.get(width, width)
    drawn = figure.get_tightbbox(figure.canvas.get_renderer())  # of all that is drawn, in inches
    # Rounding aside, of a hundredth of an inch.
    assert drawn.x0 >= -0.01
    assert drawn.y0 >= -0.01
    assert drawn.x1 <= inches + 0.01
    assert drawn.y1 <= height + 0.01


@every_picture
def test_words_do_not_lie_on_each_other(picture: str) -> None:
    """Titles, labels, ticks, notes and keys; names of models are tested below, since a crowd covers everything."""
    for width in ("column", "page"):
        figure = PICTURES[picture](width)
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        boxes = {}
        for axes in figure.axes:
            fixed = [
                axes.xaxis.label,
                axes.yaxis.label,
                axes._left_title,
                *(text for text in axes.texts if getattr(text, "arrow_patch", None) is None),
            ]
            ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
            left, bottom, right, top = (axes.bbox.x0 - 1, axes.bbox.y0 - 1, axes.bbox.x1 + 1, axes.bbox.y1 + 1)
            for text in [*fixed, *ticks]:
                box = matplotlib.text.Text.get_window_extent(text, renderer)
                x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
                hidden = text in ticks and not (left <= x <= right or bottom <= y <= top)  # a tick beyond the limits
                if text.get_visible() and text.get_text() and not hidden:
                    boxes[text] = box
        for legend in figure.legends:
            boxes |= {text: text.get_window_extent(renderer) for text in legend.get_texts()}
        for one, two in combinations(boxes, 2):
            across = max(0.0, min(boxes[one].x1, boxes[two].x1) - max(boxes[one].x0, boxes[two].x0))
            along = max(0.0, min(boxes[one].y1, boxes[two].y1) - max(boxes[one].y0, boxes[two].y0))
            assert min(across, along) <= 1.5, f"{one.get_text()!r} and {two.get_text()!r} in a {width}"


@every_picture
def test_pictures_are_as_they_were(picture: str, tmp_path: Path) -> None:
    """Against tests/report/baseline; `python -m tests.figures.test_figures` draws these anew, to be looked at."""
    baseline = BASELINE / f"{picture}.png"
    drawn = tmp_path / baseline.name
    draw_for_comparison(picture, drawn)
    # Other versions of matplotlib and FreeType draw letters a little differently.
    assert compare_images(str(baseline), str(drawn), tol=12) is None


def test_a_picture_that_has_changed_is_noticed(tmp_path: Path) -> None:
    other = tmp_path / "forecasts.png"
    with matplotlib.rc_context(FONT):
        forecasts([1.3 * kwh for kwh in SPENT], 24, title=LONG).savefig(other, dpi=DPI)
    assert compare_images(str(BASELINE / "forecasts.png"), str(other), tol=12) is not None


@every_picture
def test_pdfs_are_vectors_with_their_letters(picture: str, tmp_path: Path) -> None:
    figure = PICTURES[picture]("page")
    path = save_figure(figure, tmp_path / "made" / "figure.pdf")
    data = path.read_bytes()
    assert b"/Subtype /Image" not in data
    kinds = set(re.findall(rb"/Subtype /(Type3|Type0|CIDFontType2|Type1|TrueType)\b", data))
    assert kinds == {b"Type0", b"CIDFontType2"}  # which is how matplotlib writes Type 42
    assert b"/FontFile2" in data  # embedded
    points = re.search(rb"/MediaBox \[\s*0 0 ([\d.]+) ([\d.]+)", data)
    assert points is not None
    assert float(points[1]) == pytest.approx(6.75 * 72)
    again = save_figure(PICTURES[picture]("page"), tmp_path / "again.pdf")
    assert again.read_bytes() == data  # a file under version control changes only if the picture does


def test_the_user_s_settings_are_left_alone(tmp_path: Path) -> None:
    with matplotlib.rc_context({"pdf.fonttype": 3, "savefig.bbox": "tight"}):
        before = dict(matplotlib.rcParams)
        figure = score_profile(EIGHT)
        figure.savefig(tmp_path / "a.pdf")
        assert dict(matplotlib.rcParams) == before
    assert b"/Type3" not in (tmp_path / "a.pdf").read_bytes()


@pytest.mark.parametrize("width", ["wide", 0.1, math.nan, None])
def test_widths_that_cannot_be_printed(width: object) -> None:
    with pytest.raises(ValueError, match="expected 'column'"):
        score_profile(EIGHT, width=width)  # type: ignore[arg-type]


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
        "import sys; from lightning_pepr import figures\n"
        "assert not {'matplotlib', 'torch', 'lightning', 'polars'} & set(sys.modules)\n"
        "figures.score_profile({'model': ['a'], 'performance': [0.5], 'r_e': [0.0]})\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None; sys.modules['matplotlib.figure'] = None\n"
        "from lightning_pepr import figures\n"
        "figures.score_profile({'model': ['a'], 'performance': [0.5], 'r_e': [0.0]})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'lightning-pepr[report]'" in done.stderr


# Against parameters.


def test_each_value_is_drawn_against_the_logarithm_of_the_parameters() -> None:
    ranking = rank(pl.DataFrame({"model": list("abc"), "performance": [0.5, 0.6, 0.9], "energy_kwh": [1.0, 2.0, 4.0]}))
    table = ranking.with_columns(params=pl.Series([2e6, None, 8e7]))
    figure = against_parameters(table, ["performance", "pepr_e", "energy_kwh"])
    assert [axes.get_ylabel() for axes in figure.axes] == ["Performance P", "PePR-E", "Energy, kWh"]
    for axes, name in zip(figure.axes, ["performance", "pepr_e", "energy_kwh"], strict=True):
        assert axes.get_xscale() == "log"
        (dots,) = axes.collections
        known = table.drop_nulls("params")
        np.testing.assert_allclose(np.asarray(dots.get_offsets()), known.select("params", name).to_numpy())
        assert "1 not measured, not drawn." in [text.get_text() for text in axes.texts]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_the_median_is_that_of_the_parameters() -> None:
    table = {"params": [1e6, 3e6, 1e8], "performance": [0.5, 0.6, 0.7]}
    (axes,) = against_parameters(table, "performance").axes
    assert "median 3 M" in texts(axes.figure)
    assert [line.get_xdata()[0] for line in axes.lines] == [3e6]
    assert not against_parameters(table, "performance", median=False).axes[0].lines


def test_intervals_of_scores_are_drawn() -> None:
    table = {"params": [1e6, 1e7], "pepr_e": [0.5, 0.6], "pepr_e_low": [0.4, 0.6], "pepr_e_high": [0.55, 0.65]}
    bars, _ = against_parameters(table, "pepr_e").axes[0].collections
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    assert ends == [[0.4, 0.55], [0.6, 0.65]]


def test_categories_keep_their_colour_and_marker() -> None:
    table = {"params": [1e6, 1e7, 1e8], "performance": [0.5, 0.6, 0.7], "type": ["Other", "CNN", None]}
    figure = against_parameters(table, "performance", color_by="type")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["CNN", "Other", "unknown"]
    shown = [matplotlib.colors.to_hex(dots.get_facecolor()[0]).upper() for dots in figure.axes[0].collections]
    assert shown == list(LIGHT.series[:3])
    shapes = {str(dots.get_paths()[0].vertices.round(3).tolist()) for dots in figure.axes[0].collections}
    assert len(shapes) == 3  # told without colour, too


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ({"params": [1e6]}, {}, "no column 'performance', 'pepr_e'"),
        ({"params": [None], "performance": [0.5]}, {"values": "performance"}, "none of the 1 models has both"),
        ({"params": [1e6], "performance": [0.5]}, {"values": []}, "values is empty"),
        ({"params": [1e6], "performance": [0.5]}, {"values": "performance", "color_by": "type"}, "no column 'type'"),
    ],
)
def test_what_cannot_be_drawn_against_parameters(
    table: dict[str, list[object]], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        against_parameters(table, **options)


# Violins.


def test_violins_show_every_value_and_the_quartiles() -> None:
    figure = violins({"a": [0.1, 0.2, None, 0.3, 0.4, 0.5], "b": [0.7]}, between={("b", "a"): "differ"})
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a\nn = 5", "b\nn = 1"]
    dots = [c for c in axes.collections if isinstance(c, matplotlib.collections.PathCollection)]
    assert sorted(np.asarray(dots[0].get_offsets())[:, 1]) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert [line.get_ydata()[0] for line in axes.lines[:2]] == [0.3, 0.7]  # the medians
    assert {"differ", "1 not known, not drawn."} <= {text.get_text() for text in axes.texts}


@pytest.mark.parametrize(
    ("groups", "between", "message"),
    [
        ({}, None, "groups is empty"),
        ({"a": [None, math.nan]}, None, "the group 'a' has no value"),
        ({"a": [0.1]}, {("a", "b"): "p"}, "no group 'b' to compare"),
    ],
)
def test_groups_that_cannot_be_drawn(
    groups: dict[str, list[float]], between: dict[tuple[str, str], str] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        violins(groups, between=between)


# Curves.


def test_curves_tell_maximum_place_and_area() -> None:
    figure = pepr_curves(CURVES)
    (axes,) = figure.axes
    for curve, text in zip(CURVES.values(), figure.legends[0].get_texts(), strict=True):
        at = curve.resource[curve.best_index]
        assert f"{curve.best:.3f} at R = {at:.2f} (" in text.get_text()
        assert f"area {curve.area:.3f}" in text.get_text()
        rings = [line for line in axes.lines if len(line.get_xdata()) == 1 and line.get_xdata()[0] == at]
        assert [ring.get_ydata()[0] for ring in rings] == [curve.best]


def test_the_area_told_is_that_under_the_thin_line() -> None:
    curve = CURVES["resnet18d"]
    axes = pepr_curves({"run": curve}).axes[0]
    x, y = (np.asarray(values, dtype=float) for values in axes.lines[0].get_data())
    assert axes.lines[0].get_drawstyle() == "steps-post"
    grid = (np.arange(100_000) + 0.5) / 100_000
    under = np.where(grid < x[0], 0.0, y[np.clip(np.searchsorted(x, grid, side="right") - 1, 0, None)])
    assert under.mean() == pytest.approx(curve.area, abs=1e-4)


def test_records_are_drawn_in_their_space() -> None:
    runs = records()[:3]
    figure = pepr_curves(runs)
    labels = [text.get_text().partition(":")[0] for text in figure.legends[0].get_texts()]
    assert labels == ["convnext_atto", "resnet18d (1)", "resnet18d (2)"]
    space = ModelSpace.from_dict(runs[0].space or {})
    expected = pepr_curve([e.performance for e in runs[0].epochs], [e.cost for e in runs[0].epochs], space)
    assert f"area {expected.area:.3f}" in figure.legends[0].get_texts()[0].get_text()
    wider = pepr_curves(runs[0], space=ModelSpace.budget(energy_kwh=0.02))
    assert wider.axes[0].get_xlim()[1] > 1


def test_runs_of_different_spaces_are_not_drawn_together() -> None:
    one, two, *_ = records()
    two.space = ModelSpace.budget(energy_kwh=0.3).to_dict()
    with pytest.raises(ValueError, match="several have energy, so their scores do not compare"):
        pepr_curves([one, two])
    with pytest.raises(ValueError, match="none have time"):
        pepr_curves(one, "time")
    with pytest.raises(ValueError, match="no run to draw"):
        pepr_curves([])
    with pytest.raises(ValueError, match="unmetered has no evaluation whose energy was measured"):
        pepr_curves(records(), space=ModelSpace.budget(energy_kwh=1))


# Stages.


@pytest.mark.parametrize(
    ("resource", "unit", "of_run"), [("energy", "Energy, Wh", 30.0), ("carbon", "Carbon, g CO2e", 30 * 0.15 * 1.2)]
)
def test_stages_add_up_to_the_run(resource: str, unit: str, of_run: float) -> None:
    figure = cost_by_stage(records(), resource)
    (axes,) = figure.axes
    assert axes.get_xlabel() == unit
    first = [bar for bar in axes.patches if abs(bar.get_y() + bar.get_height() / 2) < 0.1]
    *run, test = first
    assert sum(bar.get_width() for bar in run) == pytest.approx(of_run)
    assert test.get_width() == pytest.approx(0.1 * of_run)
    assert test.get_x() > of_run  # apart from the run
    assert len({bar.get_hatch() for bar in first}) == 4  # told without colour, too
    assert " not measured" in texts(figure)
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "unmetered"


def test_stages_that_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="memory is not recorded by stage"):
        cost_by_stage(records(), "memory")
    with pytest.raises(ValueError, match="none of the 1 runs has measured its energy"):
        cost_by_stage(records()[3])
    assert cost_by_stage(records()[3], "time").axes[0].get_xlabel() == "Time, s"


# Forecasts.


def test_forecasts_are_those_of_forecast() -> None:
    axes = forecasts(SPENT, 30, level=0.8).axes[0]
    expected, spent = axes.lines[:2]
    told = [forecast(SPENT[:n], 30, 0.8) for n in range(2, 21)]
    np.testing.assert_allclose(expected.get_ydata(), [1e3 * each.expected for each in told])
    assert list(expected.get_xdata()) == list(range(2, 21))
    np.testing.assert_allclose(spent.get_ydata(), [0.0, *(1e3 * kwh for kwh in SPENT)])
    vertices = axes.collections[0].get_paths()[0].vertices
    assert vertices[:, 1].max() == pytest.approx(1e3 * max(each.high for each in told))
    assert vertices[:, 1].min() == pytest.approx(1e3 * min(each.low for each in told))


def test_a_finished_run_shows_what_it_came_to() -> None:
    run = records()[0]
    figure = forecasts(run)
    assert "what it came to" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert figure.axes[0].lines[2].get_ydata()[0] == pytest.approx(1e3 * run.epochs[-1].cost.energy_kwh)
    assert "what it came to" not in [text.get_text() for text in forecasts(run, 20).legends[0].get_texts()]


def test_forecasts_that_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="memory does not add up"):
        forecasts(SPENT, resource="memory")
    with pytest.raises(ValueError, match="there are 0 epochs with their time"):
        forecasts(records()[0], resource="time")


# Bars of the profile.


def test_bars_reach_as_far_as_the_errors() -> None:
    table = with_errors()
    axes = score_profile(table).axes[0]
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
    table = {"model": ["a", "b"], "performance": [0.8, 0.9], "r_e": [0.0, 1.0]}
    table |= {"pepr_e_low": [0.7, 0.4], "pepr_e_high": [0.85, 0.47]}
    axes = score_profile(table).axes[0]
    upright = next(c for c in axes.collections if len(c.get_segments() if hasattr(c, "get_segments") else []) == 2)
    assert [segment[:, 1].tolist() for segment in upright.get_segments()] == [[0.7, 0.85], [0.8, 0.94]]
    assert any("Bars: the interval of the score" in text.replace("\n", " ") for text in texts(axes.figure))


def test_a_model_of_several_runs_is_named_once() -> None:
    runs = {"model": ["a", "b", "a", "a"], "performance": [0.8, 0.9, 0.81, 0.79], "r_e": [0.0, 1.0, 0.1, 0.05]}
    figure = score_profile(runs)
    assert len(figure.axes[0].collections[-1].get_offsets()) == 4
    assert [text.partition("\n")[0] for text in texts(figure)].count("a") == 1


def test_dir_and_unknown_names() -> None:
    assert set(figures.__all__) <= set(dir(figures))
    with pytest.raises(AttributeError, match="no attribute 'pie_chart'"):
        figures.pie_chart


def test_the_error_of_r_is_that_of_the_line_and_not_of_its_floor() -> None:
    space = ModelSpace({"energy_kwh": (0.1, 0.2)})
    for costs in ([0.01, 0.15, 0.2], [0.1, 0.2, 0.3], [0.01, 0.1, 0.2]):
        cost = np.array(costs)
        off = _of_r(np.asarray(space.normalize(cost, "energy")), cost, np.full(3, 0.01))
        assert off == pytest.approx([0.1] * 3)


if __name__ == "__main__":
    BASELINE.mkdir(exist_ok=True)
    for name in PICTURES:
        draw_for_comparison(name, BASELINE / f"{name}.png")
