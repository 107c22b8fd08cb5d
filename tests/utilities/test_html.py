"""Tables for notebooks are well formed, whatever their texts."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from lightning_pepr.utilities import html

HOSTILE = "<script>alert(1)</script>\"&'"


def test_texts_are_text() -> None:
    made = html.block(HOSTILE, HOSTILE, html.table(("", HOSTILE), [(HOSTILE, "1"), ("b", "2")], left=[0]), [HOSTILE])
    tree = ElementTree.fromstring(made)
    assert {each.tag for each in tree.iter()} == {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert [each.text or "" for each in tree.iter("th")] == ["", HOSTILE]
    assert [each.text for each in tree.iter("td")] == [HOSTILE, "1", "b", "2"]
    assert ["left" in each.attrib["style"] for each in tree.iter("td")] == [True, False, True, False]


def test_without_a_title_there_is_no_line_above() -> None:
    assert html.block("", "facts", "<table/>", []) == '<div style="overflow-x:auto"><table/></div>'


def test_a_row_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        html.table(["one"], [["1", "2"]], left=[])
