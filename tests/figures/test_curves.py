"""PePR curves are those of the runs, in one space."""

from __future__ import annotations

import numpy as np
import pytest

from lightning_pepr import ModelSpace, pepr_curve
from lightning_pepr.figures import pepr_curves
from tests.figures.pictures import CURVES, axes_of, records
from tests.helpers.records import make_run


def test_curves_tell_maximum_place_and_area() -> None:
    figure = pepr_curves(CURVES)
    (axes,) = axes_of(figure)
    for curve, text in zip(CURVES.values(), figure.legends[0].get_texts(), strict=True):
        at = curve.resource[curve.best_index]
        assert f"{curve.best:.3f} at R = {at:.2f} (" in text.get_text()
        assert f"area {curve.area:.3f}" in text.get_text()
        rings = [line for line in axes.lines if len(line.get_xdata()) == 1 and line.get_xdata()[0] == at]
        assert [ring.get_ydata()[0] for ring in rings] == [curve.best]


def test_the_area_in_words_is_that_under_the_thin_line() -> None:
    curve = CURVES["resnet18d"]
    axes = axes_of(pepr_curves({"run": curve}))[0]
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
    first = runs[0]
    assert first.space is not None
    recorded = ModelSpace.from_dict(first.space)
    expected = pepr_curve([e.performance or 0.0 for e in first.epochs], [e.cost for e in first.epochs], recorded)
    assert f"area {expected.area:.3f}" in figure.legends[0].get_texts()[0].get_text()
    wider = pepr_curves(runs[0], space=ModelSpace.budget(energy_kwh=0.02))
    assert axes_of(wider)[0].get_xlim()[1] > 1


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


def test_a_performance_below_0_counts_as_0_and_one_above_1_is_named() -> None:
    run = make_run(epochs=3)
    run.epochs[0].performance = -0.25
    label = pepr_curves(run).legends[0].get_texts()[0].get_text()
    run.epochs[0].performance = 0.0
    assert label == pepr_curves(run).legends[0].get_texts()[0].get_text()
    run.epochs[1].performance = 45.0
    with pytest.raises(ValueError, match=r"small has no performance: val_acc was 45\.0 at epoch 1; expected"):
        pepr_curves(run)
