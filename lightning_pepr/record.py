"""The file that a run leaves: what it cost and reached, epoch by epoch, on what hardware."""

from __future__ import annotations

import json
import math
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from lightning_pepr.cost import Cost
from lightning_pepr.space import ModelSpace
from lightning_pepr.utilities.environment import now
from lightning_pepr.utilities.files import FILE_NAME, name_aside, write_whole
from lightning_pepr.utilities.json import finite, to_json

SCHEMA = "lightning-pepr/run/1"

Status = Literal["running", "finished", "interrupted", "failed"]


@dataclass(slots=True)
class CostEntry:
    """One cost of a run, and how well it is known.

    Attributes:
        value: The amount, in the unit of the field; None if it was not measured.
        error: Bound on its error, in the same unit; None if unknown.
        quality: How it was had: "counter", "integrated", "estimated", "unavailable"; for what is no energy, "counter"
            means that it was counted or read off a clock.
        lower_bound: Whether something was lost on the way, so that the truth is larger.
        reason: Why it is missing or a lower bound; empty where there is nothing to tell.
    """

    value: float | None = None
    error: float | None = None
    quality: str = "unavailable"
    lower_bound: bool = False
    reason: str = ""


@dataclass(slots=True)
class Epoch:
    """One evaluation of a run.

    Attributes:
        epoch: The epoch, from 0.
        step: The step under which the loggers have it.
        performance: The monitored value, averaged over ranks; None in an epoch in which it was not logged.
        cost: All that had been spent by then.
        scores: The scores that were logged, by key ("pepr_e").
        forecasts: What the whole run was foreseen to cost at the end of the epoch, by field: "expected", "low", "high"
            and "level", as of `Forecast`. Empty where nothing can be foreseen, or the epoch went on.
    """

    epoch: int
    step: int
    performance: float | None = None
    cost: Cost = field(default_factory=Cost)
    scores: dict[str, float] = field(default_factory=dict)
    forecasts: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The evaluation as plain types, of which some are still its own."""
        return _attributes(self) | {"cost": _attributes(self.cost)}


@dataclass(slots=True)
class Stage:
    """What one stage of a run (train, validate, test, other) has cost. The integers add up to the whole exactly.

    Attributes:
        energy_uj: Energy in microjoules; None if it was not measured.
        time_ns: Wall time in nanoseconds.
    """

    energy_uj: int | None = None
    time_ns: int = 0


@dataclass(slots=True)
class DeviceEntry:
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


@dataclass(slots=True)
class RunRecord:
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
        baseline: The performance that is to be had for nothing, if scores were rescaled by it.
        space: The space in which the run was scored; None if it was not.
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
    status: Status = "running"
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
    space: ModelSpace | None = None
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
        """The run as a notebook shows it."""
        from lightning_pepr.report.notebook import record_html

        return record_html(self)

    def to_dict(self) -> dict[str, Any]:
        """The record as plain types, as `save` writes it. What is not a finite number becomes None."""
        plain: dict[str, Any] = finite(self._plain())
        return plain

    def _plain(self) -> dict[str, Any]:
        """The record as plain types, of which some are still its own."""
        plain = _attributes(self)
        del plain["params"]
        return {
            "schema": SCHEMA,
            **plain,
            "model": {"name": self.model, "params": self.params},
            "costs": {name: _attributes(entry) for name, entry in self.costs.items()},
            "epochs": [epoch.to_dict() for epoch in self.epochs],
            "stages": {name: _attributes(stage) for name, stage in self.stages.items()},
            "devices": {name: _attributes(device) for name, device in self.devices.items()},
            "space": self.space.to_dict() if self.space else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunRecord:
        """The record of `to_dict`.

        Raises:
            ValueError: If it is none, or of another schema.
        """
        if not isinstance(data, Mapping) or "schema" not in data:
            raise ValueError("it has no `schema`; expected a record that PePRCallback wrote (pepr.json).")
        if data["schema"] != SCHEMA:
            raise ValueError(
                f"its schema is {data['schema']!r}; this version reads {SCHEMA!r} (a newer record needs a newer "
                "lightning-pepr)."
            )
        try:
            plain = {key: value for key, value in data.items() if key != "schema"}
            plain["params"] = plain["model"].get("params")
            plain["model"] = str(plain["model"]["name"])
            plain["costs"] = {name: CostEntry(**entry) for name, entry in plain["costs"].items()}
            plain["epochs"] = [Epoch(**{**e, "cost": Cost(**e["cost"])}) for e in plain["epochs"]]
            plain["stages"] = {name: Stage(**stage) for name, stage in plain["stages"].items()}
            plain["devices"] = {name: DeviceEntry(**device) for name, device in plain["devices"].items()}
            plain["space"] = ModelSpace.from_dict(plain["space"]) if plain.get("space") else None
            known = {f.name for f in fields(cls)}
            record = cls(**{key: value for key, value in plain.items() if key in known})
            _check_types(record)
            return record
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"it is not a whole record: {type(error).__name__}: {error}.") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the record as JSON: to a temporary file beside it, then renamed, so that it is never half written.

        Raises:
            OSError: If it cannot be written (disk full, read-only); an older record is still whole then.
        """
        target = Path(path)
        plain = self._plain()
        try:
            text = to_json(plain)
        except ValueError:  # something is not finite, which is rare, and dear to look for
            text = to_json(finite(plain))
        write_whole(target, text)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RunRecord:
        """Read a record; a folder is taken for the record in it.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is not a record.
        """
        source = Path(path)
        if source.is_dir():
            source = source / FILE_NAME
        try:
            return cls.from_dict(json.loads(source.read_text(encoding="utf-8")))
        except ValueError as error:  # includes JSONDecodeError and UnicodeDecodeError
            raise ValueError(f"{source} is not a record of a run: {error}") from error


_TEXTS = ("model", "run_id", "monitor", "status", "started", "updated", "test_monitor", "error", "stopped", "group")
_NUMBERS = ("params", "val_samples", "test_samples", "test_performance", "baseline")
_MAPPINGS = ("carbon", "hardware", "software", "settings")
_WORDS: dict[type, str] = {str: "text", int: "an integer", float: "a number", dict: "a mapping", NoneType: "null"}


def _check_types(record: RunRecord) -> None:
    """Raise a `TypeError` that names what is not of its type: JSON of another hand may hold anything anywhere."""
    _expect(record, _TEXTS, str)
    _expect(record, _NUMBERS, (int, float, NoneType))
    _expect(record, _MAPPINGS, dict)
    for entry in record.costs.values():
        _expect(entry, ("value", "error"), (int, float, NoneType))
        _expect(entry, ("quality", "reason"), str)
    for epoch in record.epochs:
        _expect(epoch, ("epoch", "step"), int)
        _expect(epoch, ("performance",), (int, float, NoneType))
        _expect(epoch, ("scores", "forecasts"), dict)
    for stage in record.stages.values():
        _expect(stage, ("energy_uj",), (int, NoneType))
        _expect(stage, ("time_ns",), int)
    for device in record.devices.values():
        _expect(device, ("name", "host", "quality", "reason"), str)
        _expect(device, ("energy_uj", "error_j", "gain"), (int, float, NoneType))


def _expect(data: Any, names: tuple[str, ...], kinds: type | tuple[type, ...]) -> None:
    for name in names:
        value = getattr(data, name)
        if not isinstance(value, kinds):
            expected = kinds if isinstance(kinds, tuple) else (kinds,)
            raise TypeError(f"{name} is {value!r}; expected {' or '.join(_WORDS[kind] for kind in expected)}")


def move_aside(target: Path, run_id: str) -> None:
    """Rename the record of another run that is in the way, so that it is never overwritten."""
    if not target.exists():
        return
    try:
        other = RunRecord.load(target).run_id
        if other == run_id:
            return
        name = name_aside(other[:8])
    except ValueError:
        name = name_aside("unreadable")
    aside, number = target.with_name(name), 1
    while aside.exists():
        number += 1
        aside = target.with_name(f"{Path(name).stem}-{number}{target.suffix}")
    target.rename(aside)


def _attributes(data: Any) -> dict[str, Any]:
    """The fields of a dataclass: `asdict`, which copies ever so deeply, takes eight times as long."""
    return {name: getattr(data, name) for name in data.__slots__}
