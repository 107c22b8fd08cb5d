"""Performance, scores and costs are drawn against the parameters."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import polars as pl
import pytest

from lightning_pepr import rank
from lightning_pepr.figures import against_parameters
from lightning_pepr.figures.palette import LIGHT
from tests.figures.pictures import axes_of, texts


def test_each_value_is_drawn_against_the_logarithm_of_the_parameters() -> None:
    ranking = rank(pl.DataFrame({"model": list("abc"), "performance": [0.5, 0.6, 0.9], "energy_kwh": [1.0, 2.0, 4.0]}))
    table = ranking.with_columns(params=pl.Series([2e6, None, 8e7]))
    figure = against_parameters(table, ["performance", "pepr_e", "energy_kwh"])
    assert [axes.get_ylabel() for axes in axes_of(figure)] == ["Performance P", "PePR-E", "Energy, kWh"]
    for axes, name in zip(axes_of(figure), ["performance", "pepr_e", "energy_kwh"], strict=True):
        assert axes.get_xscale() == "log"
        (dots,) = axes.collections
        known = table.drop_nulls("params")
        np.testing.assert_allclose(np.asarray(dots.get_offsets()), known.select("params", name).to_numpy())
        assert "1 not measured, not drawn." in [text.get_text() for text in axes.texts]
    assert axes_of(figure)[0].get_ylim() == axes_of(figure)[1].get_ylim()


def test_the_median_is_that_of_the_parameters() -> None:
    table = {"params": [1e6, 3e6, 1e8], "performance": [0.5, 0.6, 0.7]}
    (axes,) = axes_of(against_parameters(table, "performance"))
    assert "median 3 M" in texts(axes.figure)
    assert [line.get_xdata()[0] for line in axes.lines] == [3e6]
    assert not axes_of(against_parameters(table, "performance", median=False))[0].lines


def test_intervals_of_scores_are_drawn() -> None:
    table = {"params": [1e6, 1e7], "pepr_e": [0.5, 0.6], "pepr_e_low": [0.4, 0.6], "pepr_e_high": [0.55, 0.65]}
    bars, _ = axes_of(against_parameters(table, "pepr_e"))[0].collections
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    assert ends == [[0.4, 0.55], [0.6, 0.65]]


def test_categories_keep_their_colour_and_marker() -> None:
    table = {"params": [1e6, 1e7, 1e8], "performance": [0.5, 0.6, 0.7], "type": ["Other", "CNN", None]}
    figure = against_parameters(table, "performance", color_by="type")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["CNN", "Other", "unknown"]
    shown = [matplotlib.colors.to_hex(dots.get_facecolor()[0]).upper() for dots in axes_of(figure)[0].collections]
    assert shown == list(LIGHT.series[:3])
    shapes = {str(dots.get_paths()[0].vertices.round(3).tolist()) for dots in axes_of(figure)[0].collections}
    assert len(shapes) == 3  # which differ without colour, too


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
    table: dict[str, list[object]], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        against_parameters(table, **options)
