"""Carbon: the arithmetic, and CodeCarbon's real table of countries."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lightning_pepr
from lightning_pepr.carbon import Intensity, carbon_g, resolve_intensity


@given(st.floats(0, 1e6), st.floats(0, 2000), st.floats(1, 3))
def test_is_energy_times_intensity_times_pue(kwh: float, g_per_kwh: float, pue: float) -> None:
    assert carbon_g(kwh, resolve_intensity(g_per_kwh, pue)) == kwh * g_per_kwh * pue


def test_what_is_not_known_is_not_0() -> None:
    assert resolve_intensity(None) is None
    assert carbon_g(0.5, None) is None
    assert carbon_g(None, Intensity(100.0)) is None
    assert carbon_g(0.0, Intensity(100.0)) == 0.0


def test_numpy_numbers_become_plain_ones() -> None:
    intensity = resolve_intensity(np.float32(151.0), pue=np.float32(1.5))  # type: ignore[arg-type]
    assert repr(intensity) == "Intensity(g_per_kwh=151.0, pue=1.5, source='given')"


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf, True, [100.0]])
def test_a_bad_intensity_is_named(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"carbon_intensity is .*; expected g CO2e per kWh, finite"):
        resolve_intensity(bad)


@pytest.mark.parametrize("bad", [0.0, 0.99, math.nan, math.inf, "1.5"])
@pytest.mark.parametrize("intensity", [100.0, None])
def test_a_bad_pue_is_named(bad: Any, intensity: float | None) -> None:
    with pytest.raises(ValueError, match=r"pue is .*; expected a number of at least 1"):
        resolve_intensity(intensity, pue=bad)


def test_a_country_is_looked_up() -> None:
    pytest.importorskip("codecarbon")
    denmark = resolve_intensity("DNK", pue=1.5)
    assert denmark is not None
    assert 20 < denmark.g_per_kwh < 400
    assert denmark.pue == 1.5
    assert denmark.source.startswith("Denmark 20")
    assert "codecarbon" in denmark.source
    assert resolve_intensity(" dnk ", pue=1.5) == denmark


@pytest.mark.parametrize(
    ("code", "nearest"), [("DNX", r"DNK \(Denmark\)"), ("Denmark", r"DNK \(Denmark\)"), ("Germny", "DEU")]
)
def test_an_unknown_country_gets_the_nearest(code: str, nearest: str) -> None:
    pytest.importorskip("codecarbon")
    with pytest.raises(ValueError, match=rf"carbon_intensity is '{code}', which is no country .*nearest: .*{nearest}"):
        resolve_intensity(code)


def test_a_number_in_quotes_is_no_country() -> None:
    pytest.importorskip("codecarbon")
    with pytest.raises(ValueError, match=r"carbon_intensity is '151'.* or a number in g CO2e per kWh\.$"):
        resolve_intensity("151")


def test_codecarbon_is_not_imported_for_it() -> None:
    pytest.importorskip("codecarbon")
    code = (
        "import sys; from lightning_pepr.carbon import resolve_intensity; resolve_intensity('DNK'); "
        "sys.exit('codecarbon' in sys.modules)"
    )
    root = Path(lightning_pepr.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, timeout=60, check=False).returncode == 0


def test_without_codecarbon_the_pip_line_is_named() -> None:
    """In an interpreter that sees the package and the standard library only."""
    root = Path(lightning_pepr.__file__).parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r})\n"
        "from lightning_pepr.carbon import resolve_intensity\n"
        "assert resolve_intensity(100).g_per_kwh == 100\n"
        "resolve_intensity('DNK')"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert "ModuleNotFoundError" in done.stderr
    assert "pip install 'lightning-pepr[carbon]'" in done.stderr
