"""Finds runs whose numbers cannot be what they pass for."""

from lightning_pepr.auditing.findings import FINDINGS as FINDINGS
from lightning_pepr.auditing.findings import RULES as RULES
from lightning_pepr.auditing.findings import audit as audit
from lightning_pepr.auditing.findings import condemned as condemned
from lightning_pepr.auditing.findings import drop_condemned as drop_condemned
from lightning_pepr.auditing.findings import find as find

__all__ = ["FINDINGS", "RULES", "audit", "condemned", "drop_condemned", "find"]
