"""Everybody can tell colours apart: by contrast on their background, and from each other without a kind of cone."""

from __future__ import annotations

import re
from dataclasses import fields
from itertools import combinations

import numpy as np
import pytest

from lightning_pepr.figures.palette import DARK, LIGHT, MARKERS, STAGES, Theme, order_categories
from lightning_pepr.paper.architectures import KINDS

# Machado, Oliveira & Fernandes, IEEE TVCG 15 (2009) 1291–1298, severity 1.0, on linear RGB.
SEEN_BY = {
    "everybody": np.eye(3),
    "protanopes": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopes": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopes": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.119192, 0.9503041]]
)

themes = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])


def linear(colour: str) -> np.ndarray:
    c = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(one: str, two: str) -> float:
    """WCAG's contrast ratio."""
    low, high = sorted(linear(colour) @ TO_XYZ[1] for colour in (one, two))
    return float((high + 0.05) / (low + 0.05))


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@themes
def test_every_colour_is_one_that_css_and_matplotlib_take(theme: Theme) -> None:
    for field in fields(theme):
        value = getattr(theme, field.name)
        for colour in [value] if isinstance(value, str) else value:
            assert re.fullmatch("#[0-9A-F]{6}", colour)


@themes
def test_text_and_series_stand_out_from_their_background(theme: Theme) -> None:
    for behind in (theme.background, *theme.bands):
        assert contrast(theme.ink, behind) >= 7  # WCAG AAA
        assert contrast(theme.faint, behind) >= 4.5  # WCAG AA for text
    for colour in theme.series:
        assert contrast(colour, theme.background) >= 3  # WCAG AA for graphics
    # The others are always drawn with an edge of ink, which has to be seen around them.
    for colour in (theme.model, theme.best, theme.pick):
        assert max(contrast(colour, theme.background), contrast(colour, theme.ink)) >= 3


@themes
@pytest.mark.parametrize("who", SEEN_BY)
def test_no_two_colours_are_taken_for_one(theme: Theme, who: str) -> None:
    seen = np.array(SEEN_BY[who])
    for group, least in ((theme.series, 25), ((theme.model, theme.best, theme.pick), 10)):
        for one, two in combinations(group, 2):
            difference = np.linalg.norm(lab(seen @ linear(one)) - lab(seen @ linear(two)))
            assert difference >= least, f"{one} and {two} are alike to {who}"


def test_there_is_a_marker_for_each_colour_and_a_colour_for_each_name() -> None:
    assert len(MARKERS) == len(set(MARKERS)) == len(LIGHT.series) == len(DARK.series)
    assert max(len(KINDS), len(STAGES)) <= len(LIGHT.series)


def test_known_categories_come_first() -> None:
    assert order_categories(["b", "Other", "a", "CNN", "a"]) == ["CNN", "Other", "a", "b"]
    assert order_categories(["test", "train"], STAGES) == ["train", "test"]
    assert order_categories([]) == []
