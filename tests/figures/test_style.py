"""Widths, files and units that all figures share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from lightning_pepr import ModelSpace
from lightning_pepr.cost import CARBON, DATA, ENERGY, PARAMS, TIME, Resource
from lightning_pepr.figures import score_profile
from lightning_pepr.figures.style import unit_of
from tests.figures.pictures import EIGHT, SPACE


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
def test_the_axis_names_resource_and_unit(resource: str, space: ModelSpace, expected: str) -> None:
    table: dict[str, Any] = {"model": ["a", "b"], "performance": [0.8, 0.9]}
    table |= {f"r_{letter}": [0.0, 1.0] for letter in "etmn"}
    assert expected in score_profile(table, resource, space=space).axes[0].get_xlabel()


@pytest.mark.parametrize(
    ("resource", "largest", "unit"),
    [(ENERGY, 0.2, "Wh"), (CARBON, 12.0, "g CO2e"), (DATA, 2e6, "M samples"), (PARAMS, 3e6, "M"), (TIME, 90.0, "min")],
)
def test_units_are_those_of_costs(resource: Resource, largest: float, unit: str) -> None:
    scale, name = unit_of(resource, largest)
    assert name == unit
    assert 1 <= largest / scale < 1000
