"""The picture of a run's scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning_pepr.callbacks._picture import score_curve
from tests.helpers.loggers import fit
from tests.helpers.training import Worker


def test_the_curve_has_p_and_scores_and_marks_the_first_scores_maximum(tmp_path: Path) -> None:
    run = fit(Worker((0.25, 0.875, 0.5)), tmp_path, val_check_interval=0.5).run
    assert run is not None
    axes: Any = score_curve(run).axes[0]
    performance, energy, seconds, mark = axes.get_lines()
    assert list(performance.get_xdata()) == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert list(performance.get_ydata()) == [0.25, 0.875, 0.5, 0.5, 0.5, 0.5]
    assert list(energy.get_ydata()) == [epoch.scores["pepr_e"] for epoch in run.epochs]
    assert list(seconds.get_ydata()) == [epoch.scores["pepr_t"] for epoch in run.epochs]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (1.0, max(energy.get_ydata()))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["P (val_acc)", "PePR-E", "PePR-T"]
