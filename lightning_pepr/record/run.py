"""The file that a run leaves: what it cost and reached, epoch by epoch, on what hardware."""

from __future__ import annotations

import functools
import math
import os
import uuid
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import field

from lightning_pepr.cost import ENERGY, RESOURCES, UJ_PER_KWH, Cost, in_words
from lightning_pepr.errors import PePRError
from lightning_pepr.functional import PERFORMANCE_RANGE
from lightning_pepr.record.entries import CostEntry, DeviceEntry, Epoch, Stage
from lightning_pepr.record.journal import follow
from lightning_pepr.record.spaces import check_space
from lightning_pepr.utilities import html
from lightning_pepr.utilities.environment import now
from lightning_pepr.utilities.files import FILE_NAME, journal_of, read_plain, write_whole
from lightning_pepr.utilities.json import Count, Finite, convert, finite, read_json, to_builtins, to_json
from lightning_pepr.utilities.stores import is_url, local_folder, read_url

SCHEMA = "lightning-pepr/run/1"

JOURNAL = "journal"
"""The key under which a file says up to which byte of the journal beside it it has everything."""

Status = Literal["running", "finished", "interrupted", "failed"]


class RunRecord(msgspec.Struct):
    """A run: its model, costs, performance, space, hardware and software. `pepr.json` holds it.

    Attributes:
        model: The model's name.
        params: Its trainable parameters; None if unknown.
        group: What the run is compared within, such as the data set and the share of it; empty if nothing says.
        settings: What else decided what the run did, such as a study's seed, as plain types.
        named: Whether somebody gave the model its name; else it is its class's, which tells runs apart badly.
        hyperparameters: Those of the module and the data module, as plain types.
        monitor: The key of the performance that was scored; empty if none was.
        run_id: What tells this run from others; a resumed run keeps it.
        status: "running", "finished", "interrupted" (Ctrl-C, SIGTERM, Optuna's pruning) or "failed" (an exception).
        started: When the run began, ISO 8601 with time zone.
        updated: When the record was written.
        costs: For each field of `Cost` its value and how well it is known.
        epochs: The evaluations, in order.
        stages: What each stage has cost; "train", "validate", "other" and "metering" make up the run, "test" comes on
            top.
        devices: The devices that were metered, by host and device key.
        val_samples: How many samples the monitored performance is of; None if that could not be counted.
        test_samples: How many samples the test performance is of.
        test_performance: Performance on test data, if the trainer has tested; the last test wins.
        test_monitor: The key of the test performance.
        test_others: The test performance by the keys of further callbacks of the Trainer.
        baseline: The performance of a trivial predictor, if scores were rescaled by it.
        space: The space in which the run was scored, as `ModelSpace.to_dict` gives it; None if it was not.
        carbon: The intensity behind `carbon_g`: "g_per_kwh", "pue", "source"; empty if carbon was not measured.
        hardware: Host, processor, devices, ranks.
        software: Versions of what took part.
        error: The exception that ended the run, if one did.
        stopped: Why a `CostBudget` ended the run before its plan; empty if none did.
    """

    model: str
    params: Count | None = None
    monitor: str = ""
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: str = "running"  # a `Status`; what a newer version writes is read all the same
    started: str = field(default_factory=now)
    updated: str = field(default_factory=now)
    costs: dict[str, CostEntry] = field(default_factory=dict)
    epochs: list[Epoch] = field(default_factory=list)
    stages: dict[str, Stage] = field(default_factory=dict)
    devices: dict[str, DeviceEntry] = field(default_factory=dict)
    val_samples: Count | None = None
    test_samples: Count | None = None
    test_performance: Finite | None = None
    test_monitor: str = ""
    baseline: Finite | None = None
    space: dict[str, Any] | None = None
    carbon: dict[str, Any] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    software: dict[str, str] = field(default_factory=dict)
    error: str = ""
    stopped: str = ""
    group: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    named: bool = False
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    test_others: dict[str, Finite | None] = field(default_factory=dict)

    @property
    def cost(self) -> Cost:
        """All that the run spent."""
        return Cost(**{r.field: self.costs[r.field].value for r in RESOURCES if r.field in self.costs})

    @property
    def evaluations(self) -> list[Epoch]:
        """The epochs whose performance is known; none if one is above 1, since the others are no performances then."""
        return [] if self.exceeded is not None else list(self._known())

    def _known(self) -> Iterator[Epoch]:
        return (e for e in self.epochs if e.performance is not None and math.isfinite(e.performance))

    @property
    def exceeded(self) -> Epoch | None:
        """The first epoch whose performance is above 1, so that none of the run is one; None if there is no such."""
        return next((e for e in self._known() if (e.performance or 0.0) > PERFORMANCE_RANGE[1]), None)

    @property
    def keys(self) -> list[str]:
        """The keys of all performances that it has: `monitor`, and those of further callbacks."""
        others = {key for each in (self.test_others, *(e.others for e in self.epochs)) for key in each}
        own = self.monitor or (self.test_monitor if self.test_performance is not None else "")
        return sorted(others.union([own] if own else []))

    def monitored_by(self, key: str) -> RunRecord:
        """The record as it would be with another of its `keys` as its `monitor`; without scores, which are of its own.

        Without that key it has no performance. A performance of the same loader is of as many samples.
        """
        if key == (self.monitor or self.test_monitor):
            return self
        tested, loader = self.test_others.get(key), self.monitor.partition("/dataloader_idx_")[2]
        same = bool(self.monitor) and key.partition("/dataloader_idx_")[2] == loader
        replace = msgspec.structs.replace
        return replace(
            self,
            monitor=key,
            epochs=[replace(e, performance=e.others.get(key), scores={}) for e in self.epochs],
            val_samples=self.val_samples if same else None,
            test_performance=tested,
            test_monitor=f"{key} in testing" if tested is not None else "",
            test_samples=self.test_samples if same else None,
        )

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
        """P of the model one would keep: on test data where it was tested, else of the best epoch; not below 0.

        None if `monitor` was above 1 in any epoch, or on test data: what it is of is no performance.
        """
        if self.exceeded is not None:
            return None
        found = self.test_performance
        if found is not None and found > PERFORMANCE_RANGE[1]:
            return None
        if found is None and self.best is not None:
            found = self.best.performance
        return None if found is None else max(0.0, found)

    def _repr_html_(self) -> str:
        """The run as a notebook shows it: what it reached, and each cost with how it was obtained."""
        rows = []
        for resource in RESOURCES:
            if (entry := self.costs.get(resource.field)) is None:
                continue
            value = "not measured" if entry.value is None else in_words(resource, entry.value, entry.error)
            logged = (epoch.known_scores.get(resource.score_key) for epoch in self.epochs)
            scores = [score for score in logged if score is not None]
            score = f"{scores[-1]:.3f} (best {max(scores):.3f})" if scores else ""
            about = "; ".join(filter(None, ("a lower bound" if entry.lower_bound else "", entry.reason)))
            rows.append((resource.name, value, entry.quality, score, about))
        facts = [self.status]
        if self.best is not None:
            facts.append(f"{self.monitor} {self.best.performance:.4g} at epoch {self.best.epoch}")
        if self.exceeded is not None:
            facts.append(
                f"no performance: {self.monitor} {self.exceeded.performance:.4g} at epoch {self.exceeded.epoch}"
            )
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

        A journal beside it counts no more, since the record is whole.

        Raises:
            OSError: If it cannot be written (disk full, read-only); an older record is still whole then.
        """
        write_whole(Path(path), self.to_text())

    def to_text(self, journal: int | None = None) -> str:
        """The record as JSON, with a line for each evaluation, cost, …; whole up to byte `journal` of its journal."""
        plain = self._plain() if journal is None else {**self._plain(), JOURNAL: journal}
        try:
            return to_json(plain)
        except ValueError:  # something is not finite, which is rare, and slow to look for
            return to_json(finite(plain))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RunRecord:
        """Read a record, and what the journal beside it adds; a folder is taken for the record in it.

        A line of the journal that cannot be read is named in a warning and left out. What a file system other than
        the host's holds is named by its URL, such as "s3://bucket/run/pepr.json".

        Raises:
            FileNotFoundError: If there is no such file.
            PePRError: If the file is not a record.
        """
        source = os.fspath(path)
        file = local_folder(source) if is_url(source) else Path(source)
        if file is None:
            return cls._parse(read_url(source, FILE_NAME), source)[0]
        file = file / FILE_NAME if file.is_dir() else file
        record, begin = cls._parse(read_plain(file), str(file))
        if begin is not None:
            follow(record, file, begin, functools.partial(_warn_of_line, file))
        return record

    @classmethod
    def _parse(cls, text: bytes, source: str) -> tuple[RunRecord, int | None]:
        """The record of a file, and up to which byte of its journal it is whole."""
        try:
            data = read_json(text)
            record = cls.from_dict(data)
        except ValueError as error:
            raise PePRError(f"{source} is not a record of a run: {error}") from error
        begin = data.get(JOURNAL)
        return record, begin if isinstance(begin, int) and begin >= 0 else None


class _Model(msgspec.Struct):
    """What a file says of the model."""

    name: str
    params: Count | None = None


def run_id_in(text: bytes) -> str | None:
    """The `run_id` of the text of a record, without reading the rest; None if it is no record."""
    try:
        found = msgspec.json.decode(text, type=_Identity)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return found.run_id if found.schema == SCHEMA else None


class _Identity(msgspec.Struct):
    """What a file says of itself."""

    schema: str
    run_id: str


def _warn_of_line(file: Path, reason: str) -> None:
    warnings.warn(f"{journal_of(file)}: a line cannot be read and is left out, at {reason}.", stacklevel=2)
