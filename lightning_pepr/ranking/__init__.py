"""Ranks runs by PePR, with what uncertainty leaves open."""

from lightning_pepr.ranking.ranking import leverage as leverage
from lightning_pepr.ranking.ranking import rank as rank

__all__ = ["leverage", "rank"]
