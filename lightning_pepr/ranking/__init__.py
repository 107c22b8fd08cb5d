"""Ranks runs by PePR, with what uncertainty leaves open."""

from lightning_pepr import runs as runs  # before the modules that import polars: it says how to install it
from lightning_pepr.ranking.ranking import rank
from lightning_pepr.ranking.sensitivity import leverage

__all__ = ["leverage", "rank"]
