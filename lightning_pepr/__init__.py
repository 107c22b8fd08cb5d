"""lightning-pepr: what the performance of a model costs, metered while it trains and scored as PePR.

The public names are resolved on first use: `import lightning_pepr` imports neither torch nor lightning.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lightning_pepr._version import __version__ as __version__

if TYPE_CHECKING:
    from lightning_pepr.auditing import audit as audit
    from lightning_pepr.callbacks.budget import CostBudget as CostBudget
    from lightning_pepr.callbacks.pepr import PePRCallback as PePRCallback
    from lightning_pepr.cost import Cost as Cost
    from lightning_pepr.curve import pepr_curve as pepr_curve
    from lightning_pepr.functional import normalize as normalize
    from lightning_pepr.functional import pareto_front as pareto_front
    from lightning_pepr.functional import pepr as pepr
    from lightning_pepr.meters import open_meter as open_meter
    from lightning_pepr.metric import PePR as PePR
    from lightning_pepr.ranking import rank as rank
    from lightning_pepr.record import RunRecord as RunRecord
    from lightning_pepr.runs import load_runs as load_runs
    from lightning_pepr.space import ModelSpace as ModelSpace

_MODULE_OF = {
    "Cost": "cost",
    "CostBudget": "callbacks.budget",
    "ModelSpace": "space",
    "PePR": "metric",
    "PePRCallback": "callbacks.pepr",
    "RunRecord": "record",
    "audit": "auditing",
    "load_runs": "runs",
    "normalize": "functional",
    "open_meter": "meters",
    "pareto_front": "functional",
    "pepr": "functional",
    "pepr_curve": "curve",
    "rank": "ranking",
}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
