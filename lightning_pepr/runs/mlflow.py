"""Reads the runs of an MLflow experiment."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lightning_pepr.errors import PePRError
from lightning_pepr.record import RunRecord, Status
from lightning_pepr.runs.metrics import from_metrics, iso_time, names_of
from lightning_pepr.utilities.imports import require

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

MLFLOW = "mlflow:"
"""What a source begins with that is an MLflow experiment."""

_STATUS: dict[str, Status] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "interrupted"}


def read_mlflow(experiment: str) -> list[tuple[RunRecord, str]]:
    """Read the runs of an MLflow experiment by its name or id, each with its place: `mlflow:EXPERIMENT/RUN_ID`."""
    mlflow = require("mlflow", "mlflow", "reading an MLflow experiment")
    uri = mlflow.get_tracking_uri()
    with _environment(MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false"), _connection_errors(uri):
        client, found = _find_experiment(uri, experiment)
        oldest_first = ["attributes.start_time ASC"]
        runs = mlflow.search_runs([found.experiment_id], order_by=oldest_first, max_results=10**9, output_format="list")
        if not runs:
            raise PePRError(
                f"the MLflow experiment {found.name!r} holds no run; expected runs that MLFlowLogger and PePRCallback "
                "have logged."
            )
        # A server answers several at once; a database file is read by one.
        workers = 8 if uri.startswith("http") else 1
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
            records = list(pool.map(lambda run: _read_run(client, run, Path(folder)), runs))
    where = f"{MLFLOW}{found.name}"
    for _, trouble in records:
        if trouble:
            warnings.warn(f"{trouble}; its metrics are taken instead.", stacklevel=3)
    pairs = [(record, run.info) for (record, _), run in zip(records, runs, strict=True)]
    known = [(record, f"{where}/{info.run_id}") for record, info in pairs if record is not None]
    if others := [str(info.run_name) for record, info in pairs if record is None]:
        left_out = ", ".join(others[:5]) + (" …" if others[5:] else "")
        what = f"of the {len(runs)} runs in {where} have no cost that PePRCallback logged"
        if not known:
            raise PePRError(f"all {what} ({left_out}); add PePRCallback to the trainers whose runs are to be ranked.")
        warnings.warn(f"{len(others)} {what}, and are left out: {left_out}.", stacklevel=3)
    return known


def _find_experiment(uri: str, wanted: str) -> tuple[MlflowClient, Experiment]:
    """Find the experiment of a name or an id, or raise an error that tells which there are."""
    from mlflow import MlflowClient

    place = _without_password(uri)
    local = re.fullmatch(r"(?:sqlite:///|file:(?://)?|(?=[^:]*/))([^?]+)(\?.*)?", uri)
    if local and not Path(unquote(local[1])).exists():  # MLflow would make an empty one
        raise PePRError(f"there is no MLflow store at {place}; set MLFLOW_TRACKING_URI to where the runs are.")
    # Patience is for later: a server that is not there would cost minutes.
    with _environment(MLFLOW_HTTP_REQUEST_MAX_RETRIES="1", MLFLOW_HTTP_REQUEST_TIMEOUT="20"):
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(wanted)
        there = [] if found else client.search_experiments()
    found = found or next((other for other in there if other.experiment_id == wanted), None)
    if found is None:
        names = sorted(other.name for other in there)
        shown = ", ".join(map(repr, names[:20])) + (f" and {len(names) - 20} more" if names[20:] else "")
        raise PePRError(
            f"there is no MLflow experiment {wanted!r} at {place}; found {shown or 'none'}. Expected the name or "
            "the id of one; MLFLOW_TRACKING_URI says where to look."
        )
    if found.lifecycle_stage == "deleted":
        raise PePRError(
            f"the MLflow experiment {wanted!r} at {place} is deleted; `mlflow experiments restore --experiment-id "
            f"{found.experiment_id}` brings it back."
        )
    return client, found


def _read_run(client: MlflowClient, run: Run, folder: Path) -> tuple[RunRecord | None, str]:
    """Read the record that a run holds, else what its metrics tell; and say why, where there should be a record."""
    facts = {key.removeprefix("pepr."): value for key, value in run.data.tags.items() if key.startswith("pepr.")}
    run_id, trouble = run.info.run_id, ""
    if facts.get("record"):
        place = folder / run_id
        place.mkdir()
        try:
            return RunRecord.load(client.download_artifacts(run_id, facts["record"], str(place))), ""
        except Exception as error:  # whatever a store of artifacts can raise; or it is no record
            trouble = f"the record of the MLflow run {run_id} cannot be read ({str(error).splitlines()[0]})"
    logged = names_of(facts) & set(run.data.metrics)
    series = {name: {m.step: m.value for m in client.get_metric_history(run_id, name)} for name in logged}
    name, status = run.info.run_name or run_id, _STATUS.get(run.info.status, "running")
    started = iso_time(run.info.start_time)
    given = {key.replace("/", "."): _value(text) for key, text in run.data.params.items()}
    record = from_metrics(
        series, facts, name=name, run_id=run_id, status=status, started=started, hyperparameters=given
    )
    return record, trouble


def _value(text: str) -> Any:
    """A hyperparameter as it was before MLflow made it text, as far as the text says."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


@contextlib.contextmanager
def _connection_errors(uri: str) -> Iterator[None]:
    """Make a `ConnectionError` of whatever a server, a database or an installation raises."""
    try:
        yield
    except PePRError:
        raise
    except Exception as error:
        place = _without_password(uri)
        reason = str(error).splitlines()[0].replace(uri, place).rstrip(".")
        raise ConnectionError(
            f"the MLflow store at {place} cannot be read: {reason}. MLFLOW_TRACKING_URI says where to look."
        ) from error


def _without_password(uri: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", uri)


@contextlib.contextmanager
def _environment(**settings: str) -> Iterator[None]:
    """Set what the user has not set, for a while."""
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
