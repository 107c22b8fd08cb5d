"""Finds runs whose numbers cannot be what they pass for."""

from lightning_pepr import runs as runs  # before the modules that import polars: it says how to install it
from lightning_pepr.auditing.findings import FINDINGS, RULES, audit, drop_rejected, find, rejected

__all__ = ["FINDINGS", "RULES", "audit", "drop_rejected", "find", "rejected"]
