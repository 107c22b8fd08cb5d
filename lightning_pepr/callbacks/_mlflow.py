"""MLflow: tags to filter by, the performance as a metric, and the record as an artifact."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from lightning_pepr.record import RunRecord
from lightning_pepr.utilities.files import FILE_NAME


def tag(logger: Any, facts: Mapping[str, Any], metrics: Sequence[Any] = ()) -> None:
    """Tag the run with what it is found by. Not parameters: those cannot change, and a resumed or tested run does."""
    from mlflow.entities import RunTag

    tags = [RunTag(f"pepr.{name}", str(value)) for name, value in facts.items() if value]
    logger.experiment.log_batch(logger.run_id, metrics=metrics, tags=tags)


def tag_end(logger: Any, findings: Mapping[str, Any], step: int) -> None:
    """Tag the run with its status and quality, and log P as a metric."""
    from mlflow.entities import Metric

    facts = dict(findings)
    performance = facts.pop("performance")
    values = [] if performance is None else [performance]
    tag(logger, facts, [Metric("pepr.performance", value, int(time.time() * 1000), step) for value in values])


def save_record(logger: Any, run: RunRecord) -> None:
    """Save the record as an artifact."""
    logger.experiment.log_dict(logger.run_id, run.to_dict(), FILE_NAME)
    tag(logger, {"record": FILE_NAME})  # so that nobody looks for one in vain
