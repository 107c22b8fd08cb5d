"""The stages that are drawn add up to the run."""

from __future__ import annotations

import pytest

from lightning_pepr.figures import cost_by_stage
from tests.figures.pictures import axes_of, records, texts


@pytest.mark.parametrize(
    ("resource", "unit", "of_run"), [("energy", "Energy, Wh", 30.0), ("carbon", "Carbon, g CO2e", 30 * 0.15 * 1.2)]
)
def test_stages_add_up_to_the_run(resource: str, unit: str, of_run: float) -> None:
    figure = cost_by_stage(records(), resource)
    (axes,) = axes_of(figure)
    assert axes.get_xlabel() == unit
    first = [bar for bar in axes.patches if abs(bar.get_y() + bar.get_height() / 2) < 0.1]
    *run, test = first
    assert sum(bar.get_width() for bar in run) == pytest.approx(of_run)
    assert test.get_width() == pytest.approx(0.1 * of_run)
    assert test.get_x() > of_run  # apart from the run
    assert len({bar.get_hatch() for bar in first}) == 4  # which differ without colour, too
    assert " not measured" in texts(figure)
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "unmetered"


def test_stages_that_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="memory is not recorded by stage"):
        cost_by_stage(records(), "memory")
    with pytest.raises(ValueError, match="none of the 1 runs has measured its energy"):
        cost_by_stage(records()[3])
    assert axes_of(cost_by_stage(records()[3], "time"))[0].get_xlabel() == "Time, s"
