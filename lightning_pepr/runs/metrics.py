"""The record of a run of which only the logged metrics are left, as trackers keep them.

`PePRCallback` leaves the whole record there when a fit ends. Of a run without one (it was killed, or the store took no
file) the metrics tell the costs and the performance; how well they are known is then unknown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TypeAlias

from lightning_pepr.cost import RESOURCES, Cost
from lightning_pepr.functional import is_performance
from lightning_pepr.record import CostEntry, Epoch, RunRecord, Status

Series: TypeAlias = "Mapping[str, Mapping[int, float]]"
"""For each metric its values by step."""

_COSTS = [resource.field for resource in RESOURCES]
_SCORES = [resource.score_key for resource in RESOURCES]


def from_metrics(
    series: Series, facts: Mapping[str, str], *, name: str, run_id: str, status: Status, started: str
) -> RunRecord | None:
    """Make the record of a run from its metrics.

    What they do not tell is left open: there are no errors, no qualities and no devices, and no performance if the
    `facts` do not name the `monitor`.

    Args:
        series: The metrics, under the names that they were logged by.
        facts: What `PePRCallback` wrote to the tracker when the run began; may be empty.
        name: What to call the model if the facts do not tell.
        run_id: What to take for the `run_id`, likewise.
        status: What became of it.
        started: When it began, ISO 8601.

    Returns:
        The record; None if no cost was ever logged, so that it is no run of ours.

    >>> series = {"energy_kwh": {9: 0.1, 19: 0.2}, "val_acc": {9: 0.5, 19: 0.75}}
    >>> run = from_metrics(series, {"monitor": "val_acc"}, name="m", run_id="1", status="running", started="")
    >>> run.cost.energy_kwh, run.performance, run.costs["energy_kwh"].error
    (0.2, 0.75, None)
    """
    prefix = facts.get("prefix", "")

    def of(key: str | None) -> Mapping[int, float]:
        names = (prefix + key, mlflow_name(prefix + key)) if key else ()
        return next((series[name] for name in names if name in series), {})

    costs = {field: of(field) for field in _COSTS if of(field)}
    if not costs:
        return None
    monitored, scores = of(facts.get("monitor")), {key: of(key) for key in _SCORES}
    epochs = [
        Epoch(
            int(of("epoch").get(step, index)),
            step,
            _performance(monitored.get(step)),
            Cost(**{field: values[step] for field, values in costs.items() if 0 <= values.get(step, -1) < math.inf}),
            {key: values[step] for key, values in scores.items() if step in values},
        )
        for index, step in enumerate(sorted({step for values in costs.values() for step in values}))
    ]
    spent = {field: values[max(values)] for field, values in costs.items()}
    tested = of(facts.get("test_monitor"))
    return RunRecord(
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
        test_performance=_performance(tested[max(tested)]) if tested else None,
    )


def _performance(value: float | None) -> float | None:
    """Leave out what can be no performance; the callback scores no such value, either."""
    return value if value is not None and is_performance(value) else None


def names_of(facts: Mapping[str, str]) -> set[str]:
    """List the names under which a run may have logged what `from_metrics` reads, as MLflow has them."""
    names = [*_COSTS, *_SCORES, "epoch", facts.get("monitor", ""), facts.get("test_monitor", "")]
    return {mlflow_name(facts.get("prefix", "") + name) for name in names}


def mlflow_name(name: str) -> str:
    """Rename a metric as MLFlowLogger does, without the characters that MLflow does not take."""
    return re.sub("[^a-zA-Z0-9_/. -]+", "", name)


def iso_time(milliseconds: float | None) -> str:
    """Write a time since 1970 as ISO 8601, to the second."""
    return datetime.fromtimestamp((milliseconds or 0) / 1000, timezone.utc).isoformat(timespec="seconds")
