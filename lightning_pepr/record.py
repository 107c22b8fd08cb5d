"""The file that a run leaves: what it cost and reached, epoch by epoch, on what hardware."""

from __future__ import annotations

import itertools
import json
import math
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import field

from lightning_pepr.cost import ENERGY, RESOURCES, UJ_PER_KWH, Cost, Resource, in_words
from lightning_pepr.errors import PePRError
from lightning_pepr.functional import check_range
from lightning_pepr.utilities import html
from lightning_pepr.utilities.environment import now
from lightning_pepr.utilities.files import FILE_NAME, name_aside, write_whole
from lightning_pepr.utilities.json import convert, finite, to_builtins, to_json

SCHEMA = "lightning-pepr/run/1"
SPACE_SCHEMA = "lightning-pepr/space/1"

Status = Literal["running", "finished", "interrupted", "failed"]


class CostEntry(msgspec.Struct, forbid_unknown_fields=True):
    """One cost of a run, and how well it is known.

    Attributes:
        value: The amount, in the unit of the field; None if it was not measured.
        error: Bound on its error, in the same unit; None if unknown.
        quality: How the value was obtained: "counter", "integrated", "estimated", "unavailable"; for what is no energy,
            "counter" means that it was counted or read off a clock.
        lower_bound: Whether something was lost on the way, so that the truth is larger.
        reason: Why it is missing or a lower bound; empty if neither.
    """

    value: float | None = None
    error: float | None = None
    quality: str = "unavailable"
    lower_bound: bool = False
    reason: str = ""


class Epoch(msgspec.Struct, forbid_unknown_fields=True):
    """One evaluation of a run.

    Attributes:
        epoch: The epoch, from 0.
        step: The step under which the loggers have it.
        performance: The monitored value, averaged over ranks; None in an epoch in which it was not logged.
        cost: All that had been spent by then.
        scores: The scores that were logged, by key ("pepr_e").
        forecasts: The forecast of the whole run's cost at the end of the epoch, by field: "expected", "low", "high" and
            "level", as in `Forecast`. Empty where there is no forecast, or the epoch went on.
    """

    epoch: int
    step: int
    performance: float | None = None
    cost: Cost = field(default_factory=Cost)
    scores: dict[str, Any] = field(default_factory=dict)
    forecasts: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The evaluation as plain types."""
        return to_builtins(self)


class Stage(msgspec.Struct, forbid_unknown_fields=True):
    """What one stage of a run (train, validate, test, other) has cost. The integers add up to the whole exactly.

    Attributes:
        energy_uj: Energy in microjoules; None if it was not measured.
        time_ns: Wall time in nanoseconds.
    """

    energy_uj: int | None = None
    time_ns: int = 0


class DeviceEntry(msgspec.Struct, forbid_unknown_fields=True):
    """One device that was metered.

    Attributes:
        name: What the device is called; empty if unknown.
        host: The host that it is in.
        energy_uj: Its energy in microjoules; None if it was not measured.
        error_j: Bound on the error in joules.
        quality: How it was measured.
        gain: Relative uncertainty of the board's own sensor, which is not part of the error.
        reason: Why it could not be measured, or what was lost.
    """

    name: str = ""
    host: str = ""
    energy_uj: int | None = None
    error_j: float | None = None
    quality: str = "unavailable"
    gain: float = 0.0
    reason: str = ""


class RunRecord(msgspec.Struct):
    """A run: its model, costs, performance, space, hardware and software. `pepr.json` holds it.

    Attributes:
        model: The model's name.
        params: Its trainable parameters; None if unknown.
        group: What the run is compared within, such as the data set and the share of it; empty if nothing says.
        settings: What else decided what a study's run did, such as its seed, as plain types.
        monitor: The key of the performance that was scored.
        run_id: What tells this run from others; a resumed run keeps it.
        status: "running", "finished", "interrupted" (Ctrl-C, SIGTERM, Optuna's pruning) or "failed" (an exception).
        started: When the run began, ISO 8601 with time zone.
        updated: When the record was written.
        costs: For each field of `Cost` its value and how well it is known.
        epochs: The evaluations, in order.
        stages: What each stage has cost; "train", "validate" and "other" make up the run, "test" comes on top.
        devices: The devices that were metered, by host and device key.
        val_samples: How many samples the monitored performance is of; None if that could not be counted.
        test_samples: How many samples the test performance is of.
        test_performance: Performance on test data, if the trainer has tested; the last test wins.
        test_monitor: The key of the test performance.
        baseline: The performance of a trivial predictor, if scores were rescaled by it.
        space: The space in which the run was scored, as `ModelSpace.to_dict` gives it; None if it was not.
        carbon: The intensity behind `carbon_g`: "g_per_kwh", "pue", "source"; empty if carbon was not measured.
        hardware: Host, processor, devices, ranks.
        software: Versions of what took part.
        error: The exception that ended the run, if one did.
        stopped: Why a `CostBudget` ended the run before its plan; empty if none did.
    """

    model: str
    params: int | None = None
    monitor: str = ""
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: str = "running"  # a `Status`; what a newer version writes is read all the same
    started: str = field(default_factory=now)
    updated: str = field(default_factory=now)
    costs: dict[str, CostEntry] = field(default_factory=dict)
    epochs: list[Epoch] = field(default_factory=list)
    stages: dict[str, Stage] = field(default_factory=dict)
    devices: dict[str, DeviceEntry] = field(default_factory=dict)
    val_samples: int | None = None
    test_samples: int | None = None
    test_performance: float | None = None
    test_monitor: str = ""
    baseline: float | None = None
    space: dict[str, Any] | None = None
    carbon: dict[str, Any] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    software: dict[str, str] = field(default_factory=dict)
    error: str = ""
    stopped: str = ""
    group: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def cost(self) -> Cost:
        """All that the run spent."""
        return Cost(**{name: entry.value for name, entry in self.costs.items()})

    @property
    def evaluations(self) -> list[Epoch]:
        """The epochs whose performance is known."""
        return [e for e in self.epochs if e.performance is not None and math.isfinite(e.performance)]

    @property
    def best(self) -> Epoch | None:
        """The first epoch with the highest monitored performance."""
        return max(self.evaluations, key=lambda e: e.performance or 0.0, default=None)

    @property
    def last(self) -> Epoch | None:
        """The last epoch with a monitored performance."""
        return self.evaluations[-1] if self.evaluations else None

    @property
    def performance(self) -> float | None:
        """P of the model one would keep: on test data where it was tested, else of the best epoch."""
        if self.test_performance is not None:
            return self.test_performance
        return self.best.performance if self.best else None

    def _repr_html_(self) -> str:
        """The run as a notebook shows it: what it reached, and each cost with how it was obtained."""
        rows = []
        for resource in RESOURCES:
            if (entry := self.costs.get(resource.field)) is None:
                continue
            value = "not measured" if entry.value is None else in_words(resource, entry.value, entry.error)
            scores = [epoch.scores[resource.score_key] for epoch in self.epochs if resource.score_key in epoch.scores]
            score = f"{scores[-1]:.3f} (best {max(scores):.3f})" if scores else ""
            about = "; ".join(filter(None, ("a lower bound" if entry.lower_bound else "", entry.reason)))
            rows.append((resource.name, value, entry.quality, score, about))
        facts = [self.status]
        if self.best is not None:
            facts.append(f"{self.monitor} {self.best.performance:.4g} at epoch {self.best.epoch}")
        if self.test_performance is not None:
            facts.append(f"{self.test_monitor} {self.test_performance:.4g}")
        facts += [f"{len(self.evaluations)} evaluations", self.error]
        energies = {name: stage.energy_uj for name, stage in self.stages.items()}
        stages = [f"{name} {in_words(ENERGY, uj / UJ_PER_KWH)}" for name, uj in energies.items() if uj is not None]
        devices = dict.fromkeys(device.name for device in self.devices.values() if device.name)
        below = [f"Energy: {', '.join(stages)}."] if stages else []
        below += [f"On {', '.join(devices)}."] if devices else []
        table = html.table(("", "cost", "quality", "PePR", ""), rows, left=(0, 2, 4))
        return html.block(self.model, " · ".join(filter(None, facts)), table, below)

    def to_dict(self) -> dict[str, Any]:
        """The record as plain types, as `save` writes it. What is not a finite number becomes None."""
        return finite(self._plain())  # type: ignore[no-any-return]

    def _plain(self) -> dict[str, Any]:
        """The record as plain types, among them numbers that are not finite."""
        plain = {"schema": SCHEMA, **to_builtins(self)}
        plain["model"] = {"name": self.model, "params": plain.pop("params")}
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunRecord:
        """The record of `to_dict`.

        Raises:
            PePRError: If it is none, or of another schema; names the field, its value and what was expected.
        """
        if not isinstance(data, Mapping) or "schema" not in data:
            raise PePRError("it has no `schema`; expected a record that PePRCallback wrote (pepr.json).")
        if data["schema"] != SCHEMA:
            raise PePRError(
                f"its schema is {data['schema']!r}; this version reads {SCHEMA!r} (a newer record needs a newer "
                "lightning-pepr)."
            )
        missing = [name for name in ("model", "costs", "epochs", "stages", "devices") if name not in data]
        if missing:
            raise PePRError(f"it is not a whole record: it has no {', '.join(missing)}.")
        try:
            model = convert(data["model"], _Model, "model")
            record = convert({**data, "model": model.name, "params": model.params}, cls)
            found = set[str]().union(*(epoch.get("cost", ()) for epoch in data["epochs"]))
            if unknown := found.difference(resource.field for resource in RESOURCES):
                raise PePRError(f"a cost of epochs has an unknown field {min(unknown)!r}")
        except PePRError as error:
            raise PePRError(f"it is not a whole record: {error}.") from error
        if record.space:
            check_space(record.space)
        return record

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the record as JSON: to a temporary file beside it, then renamed, so that it is never half written.

        Raises:
            OSError: If it cannot be written (disk full, read-only); an older record is still whole then.
        """
        plain = self._plain()
        try:
            text = to_json(plain)
        except ValueError:  # something is not finite, which is rare, and slow to look for
            text = to_json(finite(plain))
        write_whole(Path(path), text)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RunRecord:
        """Read a record; a folder is taken for the record in it.

        Raises:
            FileNotFoundError: If there is no such file.
            PePRError: If the file is not a record.
        """
        source = Path(path)
        if source.is_dir():
            source = source / FILE_NAME
        try:
            return cls.from_dict(json.loads(source.read_text(encoding="utf-8")))
        except ValueError as error:  # includes JSONDecodeError and UnicodeDecodeError
            raise PePRError(f"{source} is not a record of a run: {error}") from error


class _Model(msgspec.Struct):
    """What a file says of the model."""

    name: str
    params: int | None = None


def move_aside(target: Path, run_id: str) -> None:
    """Rename the record of another run that is in the way, so that it is never overwritten."""
    if not target.exists():
        return
    try:
        other = RunRecord.load(target).run_id
        if other == run_id:
            return
        which = other[:8]
    except ValueError:
        which = "unreadable"
    names = (name_aside(which if number == 1 else f"{which}-{number}") for number in itertools.count(1))
    target.rename(next(aside for aside in map(target.with_name, names) if not aside.exists()))


def check_ranges(ranges: Any) -> dict[str, tuple[float, float]]:
    """Return the low and high of each resource by its field, in order, or raise an error that says what is wrong."""
    if not isinstance(ranges, Mapping) or not ranges:
        raise PePRError(
            f"ranges is {ranges!r}; expected a low and a high for at least one resource, "
            'such as {"energy_kwh": (0.01, 0.25)}.'
        )
    found: dict[str, tuple[float, float]] = {}
    for name, pair in ranges.items():
        field = Resource.of(name).field
        if field in found:
            raise PePRError(f"{field} is given twice (the second time as {name!r}); expected once.")
        try:
            low, high = pair
        except (TypeError, ValueError):
            raise PePRError(f"the range of {name} is {pair!r}; expected a pair (low, high).") from None
        try:
            found[field] = check_range(low, high)
        except (TypeError, ValueError) as error:
            raise PePRError(f"the range of {name}: {error}") from None
    return {r.field: found[r.field] for r in RESOURCES if r.field in found}


def check_space(plain: Any) -> dict[str, tuple[float, float]]:
    """Return the ranges of what `ModelSpace.to_dict` gives, or raise an error that says why it is no such thing."""
    schema = plain.get("schema") if isinstance(plain, Mapping) else None
    if schema != SPACE_SCHEMA:
        raise PePRError(f"schema is {schema!r}; expected {SPACE_SCHEMA!r} (a newer one needs a newer lightning-pepr).")
    return check_ranges(plain.get("ranges", {}))
