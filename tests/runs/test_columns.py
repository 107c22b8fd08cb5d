"""Mapping the columns of other tables: what is written on a command line, and units in headers."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.cost import RESOURCES
from lightning_pepr.runs.columns import UNITS, apply_columns, parse_columns

names = st.text("abc_ [].", min_size=1, max_size=8).map(str.strip).filter(bool)


@given(names, st.floats(1e-9, 1e9))
def test_what_is_written_is_what_is_mapped(theirs: str, factor: float) -> None:
    assert parse_columns([f"energy_kwh = {theirs}", f"time_s={theirs}*{factor!r}"]) == {
        "energy_kwh": theirs,
        "time_s": (theirs, factor),
    }


def test_a_star_may_be_part_of_a_name() -> None:
    assert parse_columns(["performance=acc*", "model=a*b", "energy_kwh=a*b*2", "time_s=x=y"]) == {
        "performance": "acc*",
        "model": "a*b",
        "energy_kwh": ("a*b", 2.0),
        "time_s": "x=y",
    }


@pytest.mark.parametrize("text", ["model", "model=", "=arch", ""])
def test_what_maps_nothing_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' maps no column; expected OURS=THEIRS"):
        parse_columns([text])


def test_twice_is_once_too_often() -> None:
    with pytest.raises(ValueError, match="model is mapped twice, the second time by 'model=b'"):
        parse_columns(["model=a", "model=b"])


@pytest.mark.parametrize(
    ("ours", "header", "expected"),
    [
        ("energy_kwh", "energy [Wh]", 0.0036),
        ("energy_kwh", "energy (kJ)", 0.001),
        ("energy_kwh", "E [mWh] ", 3.6e-6),
        ("energy_kwh", "E [MWh]", 3600.0),
        ("carbon_g", "CO2 [kg]", 3600.0),
        ("time_s", "t (h)", 12960.0),
        ("memory_gb", "peak [GiB]", 3.6 * 1.073741824),
        ("performance", "top-1 [%]", 0.036),
        ("energy_kwh", "energy (GPU)", 3.6),
        ("performance", "dice (mean)", 3.6),
        ("data_samples", "n [1]", 3.6),
    ],
)
def test_a_unit_in_the_header_is_converted(ours: str, header: str, expected: float) -> None:
    frame = apply_columns(pl.DataFrame({header: [3.6]}), {ours: header}, "t")
    assert frame[ours][0] == pytest.approx(expected, rel=1e-15)
    assert apply_columns(pl.DataFrame({header: [3.6]}), {ours: (header, 2.0)}, "t")[ours][0] == 7.2


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'E \[BTU\]' is mapped to energy_kwh, and its unit is none of kWh, Wh, mWh"):
        apply_columns(pl.DataFrame({"E [BTU]": [1.0]}), {"energy_kwh": "E [BTU]"}, "t")


def test_units_are_those_of_resources() -> None:
    assert set(UNITS) <= {resource.field for resource in RESOURCES} | {"performance"}
    for units in UNITS.values():
        assert len(units) == len({unit.casefold() for unit in units}) or "mWh" in units  # a mWh is no MWh
