"""Figures fit for print, as PDF: vectors, embedded fonts, one column or a page wide, colours for everybody.

They take plain columns: what `rank` returns, a DataFrame, a dict of lists, or records. None opens a window, and none
imports matplotlib before it is drawn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lightning_pepr.utilities.imports import require

if TYPE_CHECKING:
    from lightning_pepr.figures.curves import pepr_curves as pepr_curves
    from lightning_pepr.figures.intervals import forecast_intervals as forecast_intervals
    from lightning_pepr.figures.parameters import against_parameters as against_parameters
    from lightning_pepr.figures.profile import save_score_profile as save_score_profile
    from lightning_pepr.figures.profile import score_profile as score_profile
    from lightning_pepr.figures.stages import cost_by_stage as cost_by_stage
    from lightning_pepr.figures.style import save_figure as save_figure

_MODULES = {
    "against_parameters": "parameters",
    "cost_by_stage": "stages",
    "forecast_intervals": "intervals",
    "pepr_curves": "curves",
    "save_figure": "style",
    "save_score_profile": "profile",
    "score_profile": "profile",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("matplotlib", "report", "drawing figures")
    return getattr(import_module(f"lightning_pepr.figures.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
