import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.cost import ENERGY, MEMORY, RESOURCES, TIME, UNITS, in_words, unit_for


@given(st.floats(1e-12, 1e12), st.sampled_from(RESOURCES))
def test_an_amount_is_shown_in_the_largest_unit_in_which_it_is_one_or_more(amount, resource):
    scale, _ = unit_for(resource, amount)
    larger = [other for other, _ in UNITS[resource] if other > scale]
    assert all(amount < other for other in larger)
    assert amount >= scale or scale == min(other for other, _ in UNITS[resource])


@pytest.mark.parametrize(
    ("resource", "value", "error", "words"),
    [
        (ENERGY, 1.5, None, "1.50 kWh"),
        (ENERGY, 0.0, 0.1, "0.00 mWh"),
        (ENERGY, 2e-5, 1.5e-5, "20.0 mWh ±75 %"),
        (TIME, 5400, None, "1.50 h"),
        (MEMORY, 0.25, None, "250 MB"),
    ],
)
def test_words(resource, value, error, words):
    assert in_words(resource, value, error) == words
