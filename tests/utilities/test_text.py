"""Text from anywhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.utilities.text import printable


@given(st.text())
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert all(sign.isprintable() or sign == "\n" for sign in shown)
    assert all(after in (before, "\ufffd") for before, after in zip(text, shown, strict=True))
