"""What is drawn of forecasts is what `forecast` gives."""

from __future__ import annotations

import numpy as np
import pytest

from lightning_pepr.figures import forecast_intervals
from lightning_pepr.forecast import forecast
from tests.figures.pictures import SPENT, axes_of, records


def test_forecasts_are_those_of_forecast() -> None:
    axes = axes_of(forecast_intervals(SPENT, 30, level=0.8))[0]
    expected, spent = axes.lines[:2]
    made = [each for n in range(2, 21) if (each := forecast(SPENT[:n], 30, 0.8)) is not None]
    np.testing.assert_allclose(expected.get_ydata(), [1e3 * each.expected for each in made])
    assert list(expected.get_xdata()) == list(range(2, 21))
    np.testing.assert_allclose(spent.get_ydata(), [0.0, *(1e3 * kwh for kwh in SPENT)])
    vertices = axes.collections[0].get_paths()[0].vertices
    assert vertices[:, 1].max() == pytest.approx(1e3 * max(each.high for each in made))
    assert vertices[:, 1].min() == pytest.approx(1e3 * min(each.low for each in made))


def test_a_finished_run_shows_what_it_came_to() -> None:
    run = records()[0]
    kwh = run.epochs[-1].cost.energy_kwh
    assert kwh is not None
    figure = forecast_intervals(run)
    assert "what it came to" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert axes_of(figure)[0].lines[2].get_ydata()[0] == pytest.approx(1e3 * kwh)
    assert "what it came to" not in [text.get_text() for text in forecast_intervals(run, 20).legends[0].get_texts()]


def test_forecasts_that_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="memory does not add up"):
        forecast_intervals(SPENT, resource="memory")
    with pytest.raises(ValueError, match="there are 0 epochs with their time"):
        forecast_intervals(records()[0], resource="time")
