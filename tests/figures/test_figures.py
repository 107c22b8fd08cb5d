"""Every figure fits its page, is fit for print, and looks as it did."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib.testing.compare import compare_images
from matplotlib.text import Annotation

from lightning_pepr import figures
from lightning_pepr.figures import forecast_intervals, save_figure
from lightning_pepr.figures.style import Width
from tests.figures.pictures import BASELINE, DPI, FONT, LONG, PICTURES, SPENT, draw_for_comparison, renderer_of

every_picture = pytest.mark.parametrize("picture", PICTURES)


every_width = pytest.mark.parametrize("width", ["column", "page", 10.0])


def test_every_figure_of_the_module_is_among_them() -> None:
    drawn = {"score_profile", "against_parameters", "pepr_curves", "cost_by_stage", "forecast_intervals"}
    assert drawn | {"save_figure", "save_score_profile"} == set(figures.__all__)


@every_picture
@every_width
def test_nothing_is_cut_off(picture: str, width: Width) -> None:
    figure = PICTURES[picture](width)
    figure.canvas.draw()
    inches, height = figure.get_size_inches()
    assert inches == {"column": 3.25, "page": 6.75, 10.0: 10.0}[width]
    drawn = figure.get_tightbbox(renderer_of(figure))  # of all that is drawn, in inches
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
        renderer = renderer_of(figure)
        boxes = {}
        axes: Any
        for axes in figure.axes:
            fixed = [
                axes.xaxis.label,
                axes.yaxis.label,
                axes._left_title,
                *(text for text in axes.texts if isinstance(text, Annotation)),
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
    """Against tests/figures/baseline; `python -m tests.figures.test_figures` draws these anew, to be looked at."""
    baseline = BASELINE / f"{picture}.png"
    drawn = tmp_path / baseline.name
    draw_for_comparison(picture, drawn)
    # Other versions of matplotlib and FreeType draw letters a little differently.
    assert compare_images(str(baseline), str(drawn), tol=12) is None


def test_a_picture_that_has_changed_is_noticed(tmp_path: Path) -> None:
    other = tmp_path / "intervals.png"
    with matplotlib.rc_context(FONT):
        forecast_intervals([1.3 * kwh for kwh in SPENT], 24, title=LONG).savefig(other, dpi=DPI)
    assert compare_images(str(BASELINE / "intervals.png"), str(other), tol=12) is not None


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


def test_matplotlib_is_imported_only_to_draw_and_pyplot_gets_no_figure() -> None:
    """Only what places names by adjustText imports pyplot, since adjustText does."""
    code = (
        "import sys; from lightning_pepr import figures\n"
        "assert not {'matplotlib', 'torch', 'lightning', 'polars'} & set(sys.modules)\n"
        "figures.against_parameters({'params': [1e6], 'performance': [0.5]}, 'performance')\n"
        "figures.cost_by_stage, figures.pepr_curves, figures.forecast_intervals([1.0, 2.0, 3.0])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "figures.score_profile({'model': ['a'], 'performance': [0.5], 'r_e': [0.0]})\n"
        "assert not sys.modules['matplotlib.pyplot'].get_fignums()"
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


def test_dir_and_unknown_names() -> None:
    assert set(figures.__all__) <= set(dir(figures))
    with pytest.raises(AttributeError, match="no attribute 'pie_chart'"):
        figures.pie_chart


if __name__ == "__main__":
    BASELINE.mkdir(exist_ok=True)
    for name in PICTURES:
        draw_for_comparison(name, BASELINE / f"{name}.png")
