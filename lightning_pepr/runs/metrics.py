"""The record of a run of which only the logged metrics are left, as trackers keep them.

`PePRCallback` leaves the whole record there when a fit ends. Of a run without one (it was killed, or the store took no
file) the metrics tell the costs and the performance; how well they are known is then unknown.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, TypeGuard

from lightning_pepr.cost import RESOURCES, Cost
from lightning_pepr.functional import PERFORMANCE_RANGE
from lightning_pepr.record import CostEntry, Epoch, RunRecord, Status
from lightning_pepr.runs.table import COSTS
from lightning_pepr.utilities.json import read_json

_SCORES = [resource.score_key for resource in RESOURCES]


def from_metrics(
    series: Mapping[str, Mapping[int, float]],
    facts: Mapping[str, str],
    *,
    name: str,
    run_id: str,
    status: Status,
    started: str,
    hyperparameters: Mapping[str, Any] | None = None,
) -> RunRecord | None:
    """Make the record of a run from the values of its metrics by step; None if no cost was ever logged.

    The `facts` are what `PePRCallback` wrote to the tracker when the run began; `name` and `run_id` stand in for them.
    The `hyperparameters` are those that the tracker has. What no number can be is left out, as if never logged.

    Raises:
        PePRError: If what is left is no record; says which of its fields cannot be.
    """
    series = {key: {step: value for step, value in of.items() if is_number(value)} for key, of in series.items()}
    prefix = facts.get("prefix", "")

    def of(key: str | None) -> Mapping[int, float]:
        names = (prefix + key, mlflow_name(prefix + key)) if key else ()
        return next((series[name] for name in names if name in series), {})

    costs = {field: known for field in COSTS if (known := of(field))}
    if not costs:
        return None
    monitored, scores = of(facts.get("monitor")), {key: of(key) for key in _SCORES}
    epochs = [
        Epoch(
            int(of("epoch").get(step, index)),
            step,
            monitored.get(step),
            Cost(**{field: values[step] for field, values in costs.items() if values.get(step, -1) >= 0}),
            {key: values[step] for key, values in scores.items() if step in values},
        )
        for index, step in enumerate(sorted({step for values in costs.values() for step in values}))
    ]
    spent = {field: values[max(values)] for field, values in costs.items()}
    tested = of(facts.get("test_monitor"))
    record = RunRecord(
        model=facts.get("model", name),
        params=int(spent["params"]) if "params" in spent else None,
        monitor=facts.get("monitor", ""),
        test_monitor=facts.get("test_monitor", ""),
        run_id=facts.get("run_id", run_id),
        status=status,
        started=started,
        # As if written when it began: a record of the same fit was written later, and counts before this.
        updated=started,
        costs={field: CostEntry(amount, quality="") for field, amount in spent.items()},
        epochs=epochs,
        test_performance=_tested(tested[max(tested)]) if tested else None,
        hyperparameters=dict(hyperparameters or {}),
        group=facts.get("group", ""),
        named=facts.get("named", "") == "True",
        settings=_settings(facts.get("settings")),
    )
    return RunRecord.from_dict(record.to_dict())  # the same is asked of it as of a file


def _settings(text: Any) -> dict[str, Any]:
    """The settings that the callback wrote as JSON; anybody may have changed them since."""
    with contextlib.suppress(ValueError):
        if isinstance(text, str) and isinstance(settings := read_json(text), dict):
            return settings
    return {}


def facts_in(plain: Any) -> dict[str, str]:
    """What `PePRCallback` wrote of a run; nothing, where somebody has put something else in its place."""
    return {key: value for key, value in plain.items() if isinstance(value, str)} if isinstance(plain, dict) else {}


def is_number(value: Any) -> TypeGuard[float]:
    """Whether something is a number that a table can hold."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _tested(value: float) -> float | None:
    """Leave out what can be no performance. Less than 0 is the worst that there is, and counts as 0."""
    return value if value <= PERFORMANCE_RANGE[1] else None


def names_of(facts: Mapping[str, str]) -> set[str]:
    """List the names under which a run may have logged what `from_metrics` reads, as MLflow has them."""
    names = [*COSTS, *_SCORES, "epoch", facts.get("monitor", ""), facts.get("test_monitor", "")]
    return {mlflow_name(facts.get("prefix", "") + name) for name in names}


def mlflow_name(name: str) -> str:
    """Rename a metric as MLFlowLogger does, without the characters that MLflow does not take."""
    return re.sub("[^a-zA-Z0-9_/. -]+", "", name)


def iso_time(milliseconds: float | None) -> str:
    """Write a time since 1970 as ISO 8601, to the second; empty if it is beyond all calendars."""
    with contextlib.suppress(ValueError, OverflowError, OSError):  # no calendar goes so far
        return datetime.fromtimestamp((milliseconds or 0) / 1000, timezone.utc).isoformat(timespec="seconds")
    return ""
