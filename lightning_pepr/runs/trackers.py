"""Reads runs back from where teams keep them: an MLflow experiment, and folders of W&B's offline runs.

`loggers` leaves the whole record there when a fit ends. Of a run without one (it was killed, or the store took no file)
the metrics tell the costs and the performance; how well they are known is then unknown.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import struct
import tempfile
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

from lightning_pepr.cost import RESOURCES, Cost
from lightning_pepr.functional import PERFORMANCE_TOLERANCE
from lightning_pepr.record import CostEntry, Epoch, RunRecord, Status
from lightning_pepr.utilities.files import FILE_NAME

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

MLFLOW = "mlflow:"
"""What a source begins with that is an MLflow experiment."""

Series: TypeAlias = "Mapping[str, Mapping[int, float]]"
"""For each metric its values by step."""

_COSTS = [resource.field for resource in RESOURCES]
_SCORES = [resource.score_key for resource in RESOURCES]


def from_metrics(
    series: Series, facts: Mapping[str, str], *, name: str, run_id: str, status: Status, started: str
) -> RunRecord | None:
    """The record of a run of which only the metrics are left.

    What they do not tell is left open: there are no errors, no qualities and no devices, and no performance if the
    `facts` do not name the `monitor`.

    Args:
        series: The metrics, under the names that they were logged by.
        facts: What `loggers` left when the run began; may be empty.
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
        names = (prefix + key, _plain(prefix + key)) if key else ()
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
    """A performance that can be one; the callback scores no other, either."""
    slack = PERFORMANCE_TOLERANCE
    return value if value is not None and -slack <= value <= 1 + slack else None


def _plain(name: str) -> str:
    """A metric's name as MLFlowLogger writes it, without the characters that MLflow does not take."""
    return re.sub("[^a-zA-Z0-9_/. -]+", "", name)


def _time(milliseconds: float | None) -> str:
    return datetime.fromtimestamp((milliseconds or 0) / 1000, timezone.utc).isoformat(timespec="seconds")


# MLflow ---------------------------------------------------------------------------------------------------------------


def read_mlflow(experiment: str) -> list[tuple[RunRecord, str]]:
    """The runs of an MLflow experiment, which `MLFlowLogger` and `PePRCallback` have logged.

    Args:
        experiment: The name of the experiment, or its id. It is looked up where MLflow looks: `MLFLOW_TRACKING_URI`.

    Returns:
        For each run its record, and `mlflow:EXPERIMENT/RUN_ID`. Runs without a cost are named in a warning.

    Raises:
        ModuleNotFoundError: If mlflow is not installed.
        ConnectionError: If the tracking server does not answer.
        ValueError: If there is no such experiment, or no run of ours in it.
    """
    try:
        import mlflow
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "reading an MLflow experiment needs mlflow: pip install 'lightning-pepr[mlflow]'", name=error.name
        ) from error

    uri = mlflow.get_tracking_uri()
    with _environment(MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false"), _telling_where(uri):
        client, found = _find_experiment(uri, experiment)
        runs = _runs_of(client, found)
        # A server answers several at once; a database file is read by one.
        workers = 8 if uri.startswith("http") else 1
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
            records = list(pool.map(lambda run: _read_mlflow_run(client, run, Path(folder)), runs))
    where = f"{MLFLOW}{found.name}"
    known: list[tuple[RunRecord, str]] = []
    others: list[str] = []
    for run, (record, trouble) in zip(runs, records, strict=True):
        if trouble:
            warnings.warn(f"{trouble}; its metrics are taken instead.", stacklevel=3)
        if record is None:
            others.append(str(run.info.run_name))
        else:
            known.append((record, f"{where}/{run.info.run_id}"))
    if others:
        left_out = ", ".join(others[:5]) + (" …" if others[5:] else "")
        what = f"of the {len(runs)} runs in {where} have no cost that PePRCallback logged"
        if not known:
            raise ValueError(f"all {what} ({left_out}); add PePRCallback to the trainers whose runs are to be ranked.")
        warnings.warn(f"{len(others)} {what}, and are left out: {left_out}.", stacklevel=3)
    return known


def _find_experiment(uri: str, wanted: str) -> tuple[MlflowClient, Experiment]:
    """The experiment of a name or an id, or an error that tells which there are."""
    from mlflow import MlflowClient

    place = _without_password(uri)
    local = re.fullmatch(r"(?:sqlite:///|file:(?://)?|(?=[^:]*/))([^?]+)(\?.*)?", uri)
    if local and not Path(unquote(local[1])).exists():  # MLflow would make an empty one
        raise ValueError(f"there is no MLflow store at {place}; set MLFLOW_TRACKING_URI to where the runs are.")
    # Patience is for later: a server that is not there would cost minutes.
    with _environment(MLFLOW_HTTP_REQUEST_MAX_RETRIES="1", MLFLOW_HTTP_REQUEST_TIMEOUT="20"):
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(wanted)
        there = [] if found else client.search_experiments()
    found = found or next((other for other in there if other.experiment_id == wanted), None)
    if found is None:
        names = sorted(other.name for other in there)
        shown = ", ".join(map(repr, names[:20])) + (f" and {len(names) - 20} more" if names[20:] else "")
        raise ValueError(
            f"there is no MLflow experiment {wanted!r} at {place}; found {shown or 'none'}. Expected the name or "
            "the id of one; MLFLOW_TRACKING_URI says where to look."
        )
    if found.lifecycle_stage == "deleted":
        raise ValueError(
            f"the MLflow experiment {wanted!r} at {place} is deleted; `mlflow experiments restore --experiment-id "
            f"{found.experiment_id}` brings it back."
        )
    return client, found


def _runs_of(client: MlflowClient, experiment: Experiment) -> list[Run]:
    runs: list[Run] = []
    token: str | None = ""
    while token is not None:
        page = client.search_runs(
            [experiment.experiment_id],
            order_by=["attributes.start_time ASC"],
            max_results=1000,
            page_token=token or None,
        )
        runs += page
        token = page.token or None
    if not runs:
        raise ValueError(
            f"the MLflow experiment {experiment.name!r} holds no run; expected runs that MLFlowLogger and PePRCallback "
            "have logged."
        )
    return runs


def _read_mlflow_run(client: MlflowClient, run: Run, folder: Path) -> tuple[RunRecord | None, str]:
    """The record that a run holds, else what its metrics tell; and why it is not the first, where it should be."""
    facts = {key.removeprefix("pepr."): value for key, value in run.data.tags.items() if key.startswith("pepr.")}
    run_id, trouble = run.info.run_id, ""
    if facts.get("record"):
        place = folder / run_id
        place.mkdir()
        try:
            return RunRecord.load(client.download_artifacts(run_id, facts["record"], str(place))), ""
        except Exception as error:  # whatever a store of artifacts can raise; or it is no record
            trouble = f"the record of the MLflow run {run_id} cannot be read ({str(error).splitlines()[0]})"
    names = [*_COSTS, *_SCORES, "epoch", facts.get("monitor", ""), facts.get("test_monitor", "")]
    wanted = {_plain(facts.get("prefix", "") + name) for name in names} & set(run.data.metrics)
    status: dict[str, Status] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "interrupted"}
    record = from_metrics(
        {name: {m.step: m.value for m in client.get_metric_history(run_id, name)} for name in wanted},
        facts,
        name=run.info.run_name or run_id,
        run_id=run_id,
        status=status.get(run.info.status, "running"),
        started=_time(run.info.start_time),
    )
    return record, trouble


@contextlib.contextmanager
def _telling_where(uri: str) -> Iterator[None]:
    """Make a `ConnectionError` of whatever a server, a database or an installation raises."""
    try:
        yield
    except ValueError:  # ours
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


# Weights & Biases -----------------------------------------------------------------------------------------------------


def find_wandb(files: Iterable[Path]) -> list[Path]:
    """Those of files that are logs of W&B runs and have no record beside them."""
    return sorted(
        path for path in files if fnmatch(path.name, "run-*.wandb") and not (path.parent / "files" / FILE_NAME).exists()
    )


def read_wandb(path: Path) -> RunRecord:
    """The record of a W&B run by its log, `run-ID.wandb`.

    A log that ends in the middle, as that of a run that was killed, is read up to there.

    Raises:
        ModuleNotFoundError: If wandb is not installed.
        ValueError: If the file is not a log of W&B, is damaged, or has no cost in it.
    """
    try:
        from wandb.proto import wandb_internal_pb2 as wandb
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "reading W&B runs needs wandb: pip install 'lightning-pepr[wandb]'", name=error.name
        ) from error
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]

    series: dict[str, dict[int, float]] = {}
    facts: dict[str, Any] = {}
    name, run_id, started = path.stem, path.stem.removeprefix("run-"), ""
    status: Status = "running"
    try:
        for data in _wandb_records(path):
            entry = wandb.Record.FromString(data)  # type: ignore[attr-defined]
            kind = entry.WhichOneof("record_type")
            if kind == "history":
                row = dict(_items(entry.history.item))
                step = row.get("trainer/global_step", row.get("global_step", row.get("_step")))
                for key, value in row.items():
                    if isinstance(value, (int, float)) and isinstance(step, (int, float)):
                        series.setdefault(key, {})[int(step)] = float(value)
            elif kind in ("run", "config"):
                config = entry.run.config if kind == "run" else entry.config
                facts.update(dict(_items(config.update)).get("pepr") or {})
                if kind == "run":
                    name, run_id = entry.run.display_name or name, entry.run.run_id or run_id
                    started = _time(entry.run.start_time.ToMilliseconds())
            elif kind == "exit":
                status = "failed" if entry.exit.exit_code else "finished"
    except (DecodeError, ValueError) as error:
        raise ValueError(f"{path} is not a log of a W&B run: {error}") from error
    record = from_metrics(series, facts, name=name, run_id=run_id, status=status, started=started)
    if record is None:
        raise ValueError(f"{path} has no cost that PePRCallback logged.")
    return record


def _items(items: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values; W&B writes a key whole, or in the parts of its path."""
    for item in items:
        with contextlib.suppress(ValueError):
            yield item.key or ".".join(item.nested_key), json.loads(item.value_json)


_BLOCK, _HEADER = 32768, struct.Struct("<IHB")


def _wandb_records(path: Path) -> Iterator[bytes]:
    """The records of a W&B log, which is one of LevelDB: fragments in blocks of 32 KiB, each with a checksum.

    Source:
        https://github.com/google/leveldb/blob/main/doc/log_format.md; W&B puts seven bytes in front, and has the
        plain CRC-32.
    """
    data = path.read_bytes()
    if data[:4] != b":W&B":
        raise ValueError("it does not begin with ':W&B'.")
    at, whole = 7, b""
    while at + _HEADER.size <= len(data):
        if _BLOCK - at % _BLOCK < _HEADER.size:  # a header does not fit: the block's end is padding
            at += _BLOCK - at % _BLOCK
            continue
        checksum, length, kind = _HEADER.unpack_from(data, at)
        begin = at + _HEADER.size
        part = data[begin : begin + length]
        if len(part) < length:
            return  # it was cut off while it was written
        if zlib.crc32(part, zlib.crc32(bytes([kind]))) != checksum:
            raise ValueError(f"it is damaged at byte {at}.")
        whole = part if kind in (1, 2) else whole + part  # whole, first, middle, last
        if kind in (1, 4):
            yield whole
        at = begin + length
