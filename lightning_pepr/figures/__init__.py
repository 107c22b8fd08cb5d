"""Figures fit for print, as PDF: vectors, letters embedded, one column wide or a page, colours that all can tell.

They take plain columns: what `rank` returns, a DataFrame, a dict of lists, or records. None opens a window, and none
imports matplotlib before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_pepr.figures.curves import cost_by_stage as cost_by_stage
    from lightning_pepr.figures.curves import forecasts as forecasts
    from lightning_pepr.figures.curves import pepr_curves as pepr_curves
    from lightning_pepr.figures.distributions import against_parameters as against_parameters
    from lightning_pepr.figures.distributions import violins as violins
    from lightning_pepr.figures.profile import save_score_profile as save_score_profile
    from lightning_pepr.figures.profile import score_profile as score_profile
    from lightning_pepr.figures.style import save_figure as save_figure

INSTALL = "pip install 'lightning-pepr[report]'"

_WHERE = {
    "against_parameters": "distributions",
    "cost_by_stage": "curves",
    "forecasts": "curves",
    "pepr_curves": "curves",
    "save_figure": "style",
    "save_score_profile": "profile",
    "score_profile": "profile",
    "violins": "distributions",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"lightning_pepr.figures.{_WHERE[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise ModuleNotFoundError(f"figures need matplotlib. Try: {INSTALL}", name="matplotlib") from error


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
