"""What a run has spent so far: by this rank in this fit, by all ranks, and with the fits before."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from lightning_pepr.accounting.ranks import Performance, RankReport, gather, merge
from lightning_pepr.accounting.stages import Ledger, Spent
from lightning_pepr.carbon import Intensity, carbon_g
from lightning_pepr.cost import CARBON, DATA, ENERGY, J_PER_KWH, MEMORY, PARAMS, RESOURCES, TIME, UJ_PER_KWH
from lightning_pepr.meters import Meter, Part, open_meter
from lightning_pepr.meters.memory import MemoryMeter
from lightning_pepr.record import CostEntry, DeviceEntry, RunRecord, Stage
from lightning_pepr.utilities.environment import host_name, processor_name
from lightning_pepr.utilities.json import read_field, to_builtins

NO_INTENSITY = (
    "the carbon intensity of the electricity is not known; give PePRCallback(…, carbon_intensity=…), in g CO2e per kWh "
    'or as a country such as "DNK"'
)
NO_BATCH_SIZE = "the samples of a batch could not be counted; PePRCallback(…, batch_size=…) takes a function that does"
LAZY_PARAMETERS = "the model's parameters are not initialised when the fit begins"
OTHER_RANKS = "what the other ranks spent after the last evaluation is missing"
ACCUMULATING = (ENERGY.field, CARBON.field, TIME.field, MEMORY.field, DATA.field)  # what earlier fits add to

UNREADABLE = "what the checkpoint says of what was spent before cannot be read"


class CostTracker:
    """Adds up what a run spends, on all ranks, over its fits.

    A user's own meter is read but never closed; without one, one is opened for each fit, of `devices` as `open_meter`
    takes them, else of the device that is given to `open`.
    """

    def __init__(self, own_meter: Meter | None, devices: Sequence[int | str] | None) -> None:
        self._own_meter = own_meter
        self._devices = devices
        self._forget_meters()
        self.reset_run()

    def reset_run(self) -> None:
        """Begin a new run."""
        self._before = RankReport("", {}, Spent(), data_samples=0)
        self.gaps: dict[str, str] = {}  # fields of which something is missing, and why
        self.reset_fit()

    def reset_fit(self) -> None:
        """Begin a fit of the run."""
        self._samples: int | None = 0
        self._uncounted = ""  # why a batch of this rank could not be counted
        self._least_peak_gb = 0.0  # the peak of memory when something was left out
        self._own: RankReport | None = None  # the latest report of this rank in this fit
        self._ranks: list[RankReport] = []  # the latest report of each rank
        self._merged: RankReport | None = None  # these as one
        self._alone = False  # whether the latest is this rank's, and the others' are older
        self._busy = False

    def _forget_meters(self) -> None:
        self._meter: Meter | None = None
        self._ledger: Ledger | None = None
        self._memory: MemoryMeter | None = None
        self._device: torch.device | None = None
        self._names: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the meters out: their handles mean nothing in another process."""
        return {**self.__dict__, "_meter": None, "_ledger": None, "_memory": None}

    @property
    def is_open(self) -> bool:
        """Whether there is a meter to read."""
        return self._ledger is not None

    @property
    def stage(self) -> str | None:
        """The stage that is running."""
        return None if self._ledger is None else self._ledger.stage

    @contextlib.contextmanager
    def metering(self) -> Iterator[None]:
        """What is done within is metering itself: it is taken out of the stage that runs."""
        ledger = self._ledger
        if ledger is None:
            yield
            return
        with self._exclusively():
            entered = ledger.enter()
        try:
            yield
        finally:
            if entered:
                with self._exclusively():
                    ledger.leave()

    @contextlib.contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Let nothing else read the meters meanwhile: a signal's handler may run between any two lines."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def open(self, device: torch.device) -> None:
        """Open the meters for the device that this process trains on: the other ranks read theirs."""
        self.close()
        self._device = device
        self._meter = self._own_meter or open_meter([device] if self._devices is None else self._devices)
        self._ledger = Ledger(self._meter)
        self._names = self._name_devices()
        self._memory = MemoryMeter([device.index or 0] if device.type == "cuda" else [])

    def start(self) -> None:
        """Begin to sample the memory."""
        if self._memory is not None:
            self._memory.start()

    def close(self) -> None:
        """Close the meters; may be called twice."""
        meter, memory = self._meter, self._memory
        self._forget_meters()  # first, since a signal's handler reads what is there
        if memory is not None:
            memory.stop()
        if meter is not None and meter is not self._own_meter:
            meter.close()

    def why_no_energy(self) -> str:
        """Why energy cannot be measured here; empty if it can."""
        if self._meter is None:
            return "no meter is open"
        probe = Ledger(self._meter)  # apart from the run's own
        probe.switch_stage("probe")
        probe.switch_stage(None)
        spent = probe.total()
        return "" if spent.energy_uj is not None else spent.reason or "no meter could measure it"

    def switch_stage(self, stage: str | None, wait: bool = False) -> None:
        """End the running stage here and begin another; None counts nothing from here on."""
        if self._ledger is not None:
            with self._exclusively():
                self._synchronize()
                self._ledger.switch_stage(stage, wait)

    @property
    def stands_still(self) -> bool:
        """Whether a stage is running in which no sample has been counted since the last gathering."""
        return self.stage is not None and self._own is not None and self._own.data_samples == self._samples

    def leave_out(self) -> None:
        """Count nothing of what has been since the last gathering, as if the fit had stood still."""
        if self._ledger is not None:
            with self._exclusively():
                self._synchronize()
                self._ledger.leave_out()
            self._least_peak_gb = self._own.memory_gb or 0.0 if self._own else 0.0
            self.start()  # the memory's peak begins anew

    def count(self, samples: int | None, reason: str = "") -> None:
        """Count training samples; None if the size of a batch is not known, for a reason."""
        if samples is None:
            self._uncounted = reason
        if self._samples is not None:
            self._samples = None if samples is None else self._samples + samples

    @property
    def _on_gpu(self) -> bool:
        return self._device is not None and self._device.type == "cuda"

    def _synchronize(self) -> None:
        """Wait for the work that is queued, which belongs to the stage that queued it."""
        if self._on_gpu and self._ledger is not None:
            with self._ledger.left(), contextlib.suppress(RuntimeError):  # a broken device is for Lightning to report
                torch.cuda.synchronize(self._device)

    def _report(self, performances: Mapping[str, Performance] | None = None) -> RankReport:
        peak = None if self._memory is None else self._memory.peak_bytes()
        return RankReport(
            host=host_name(),
            stages={} if self._ledger is None else self._ledger.stages(),
            total=Spent() if self._ledger is None else self._ledger.total(),
            data_samples=self._samples,
            memory_gb=None if peak is None else max(peak / 1e9, self._least_peak_gb),
            performances=performances or {},
            names=self._names,
        )

    def _name_devices(self) -> dict[str, str]:
        """What this rank's devices are called: its processor, and its GPU as torch names it."""
        names = {f"cpu:{host_name()}": processor_name()}
        if self._on_gpu and self._meter is not None:
            with contextlib.suppress(Exception):  # a user's own meter may raise; training must not feel it
                gpus = [key for key in self._meter.read(wait=False).parts if key.startswith("gpu:")]
                if len(gpus) == 1 and self._devices is None:
                    names[gpus[0]] = torch.cuda.get_device_name(self._device)
        return names

    def gather(self, performances: Mapping[str, Performance] | None = None) -> RankReport:
        """What all ranks have spent in this fit. A collective; each gives its monitored values that are fresh."""
        with self._exclusively():
            self._own = self._report(performances)
            self._ranks = gather(self._own)
            self._merged, self._alone = merge(self._ranks), False
        return self._merged

    def report_alone(self, rank: int, ranks: int) -> None:
        """Take this rank's report up to now, without asking the others, who may be gone or busy."""
        if self._ledger is None or self._busy:  # as in a signal's handler: what was known before remains
            return
        self.switch_stage(self.stage)
        with self._exclusively():
            still = self.stage in (None, "other") or (self.stage == "train" and self.stands_still)
            older = self._own is None or not still
            self._ranks = self._ranks or [RankReport("", {}, Spent(), data_samples=0) for _ in range(ranks)]
            self._ranks[rank] = self._report()
            self._merged, self._alone = merge(self._ranks), self._alone or (older and ranks > 1)

    def whole(self) -> RankReport:
        """What the run has spent up to the last gathering, with earlier fits."""
        return self._before if self._merged is None else self._before.plus(self._merged)

    def finish(self) -> None:
        """End a fit: from now on it counts as an earlier one."""
        self.gaps |= self._missing()
        self._before, self._ranks, self._merged, self._alone = self.whole(), [], None, False

    def _missing(self) -> dict[str, str]:
        """The fields of which something is missing, and why."""
        summed = {resource.field: OTHER_RANKS for resource in RESOURCES if resource.merge == "sum"}
        return (summed if self._alone else {}) | self.gaps

    def miss_all(self, reason: str) -> None:
        """Say that what was spent before is missing."""
        self.gaps = dict.fromkeys(ACCUMULATING, reason) | self.gaps

    def write_to(self, run: RunRecord, intensity: Intensity | None) -> None:
        """Write what the run has spent into its record."""
        whole = self.whole()
        run.costs = self._entries(whole, run.params, intensity)
        tested = {name: stage for name, stage in run.stages.items() if name == "test"}
        run.stages = {name: stage_of(spent) for name, spent in whole.stages.items()} | tested
        run.devices = {}
        for key, part in whole.total.parts.items():
            name, host = whole.names.get(key, ""), key.partition("/")[0] if "/" in key else key.partition(":")[2]
            energy, error = part.energy_uj, None if part.energy_uj is None else part.error_j
            run.devices[key] = DeviceEntry(name, host, energy, error, part.quality.value, part.gain, part.reason)

    def _entries(self, whole: RankReport, params: int | None, intensity: Intensity | None) -> dict[str, CostEntry]:
        spent, reading = whole.total, whole.total.reading
        if spent.energy_uj is None:
            energy = CostEntry(reason=spent.reason or "no meter could measure it")
        else:
            quality, lost = reading.quality.value, reading.lower_bound
            reason = spent.reason if lost else ""
            energy = CostEntry(spent.energy_uj / UJ_PER_KWH, reading.error_j / J_PER_KWH, quality, lost, reason)
        if intensity is None:
            carbon = CostEntry(reason=NO_INTENSITY)
        else:
            grams, error = carbon_g(energy.value, intensity), carbon_g(energy.error, intensity)
            carbon = CostEntry(grams, error, energy.quality, energy.lower_bound, energy.reason)
        entries = {
            ENERGY.field: energy,
            CARBON.field: carbon,
            TIME.field: CostEntry(spent.time_ns / 1e9, 0.0, "counter"),
            MEMORY.field: self._memory_entry(whole.memory_gb),
            DATA.field: _counted(whole.data_samples, self._uncounted or NO_BATCH_SIZE),
            PARAMS.field: _counted(params, LAZY_PARAMETERS),
        }
        for name, reason in self._missing().items():
            if entries[name].value is not None:
                entries[name].lower_bound, entries[name].reason = True, entries[name].reason or reason
        return entries

    def _memory_entry(self, peak_gb: float | None) -> CostEntry:
        if peak_gb is None:
            return CostEntry(reason="no memory could be read")
        # torch counts its own memory; what is sampled can miss a peak.
        return CostEntry(peak_gb, 0.0, "counter") if self._on_gpu else CostEntry(peak_gb, None, "estimated")

    def to_dict(self) -> dict[str, Any]:
        """What the run has spent up to the last gathering, as plain types."""
        whole = to_builtins(self.whole())
        kept = {name: whole[name] for name in ("stages", "total", "data_samples", "memory_gb", "names")}
        return {**kept, "gaps": self._missing()}

    def resume(self, data: Any) -> None:
        """Go on from what `to_dict` gave. What of it cannot be read is a gap: no resume fails by it."""
        state = data if isinstance(data, Mapping) else {}
        self.gaps = read_field(state, "gaps", dict[str, str]) or {}
        self.gaps = {field: reason for field, reason in self.gaps.items() if field in ACCUMULATING}
        total, stages = read_field(state, "total", Spent), read_field(state, "stages", dict[str, Spent])
        if total is None or stages is None or not _adds_up(stages, total):
            total = total if total is not None and _adds_up({"other": total}, total) else Spent()
            stages = {"other": total}
            self._miss(ENERGY.field, CARBON.field, TIME.field)
        samples, memory_gb = read_field(state, "data_samples", int), read_field(state, "memory_gb", float)
        if state.get("data_samples", -1) is not None and (samples is None or not _is_count(samples)):
            samples = 0
            self._miss(DATA.field)
        if state.get("memory_gb", -1) is not None and (memory_gb is None or not 0 <= memory_gb < math.inf):
            memory_gb = None
            self._miss(MEMORY.field)
        names = read_field(state, "names", dict[str, str]) or {}
        self._before = RankReport("", stages, total, data_samples=samples, memory_gb=memory_gb, names=names)

    def _miss(self, *fields: str) -> None:
        self.gaps = dict.fromkeys(fields, UNREADABLE) | self.gaps


def _is_amount(part: Part) -> bool:
    errors = (part.begin_j, part.end_j, part.drift_j, part.gain)
    return all(map(_is_count, (part.energy_uj or 0, part.losses))) and all(0 <= error < math.inf for error in errors)


def _is_count(number: int) -> bool:
    return 0 <= number < 2**63


def _adds_up(stages: Mapping[str, Spent], total: Spent) -> bool:
    """Whether these are amounts that a run can have spent, and the stages add up to the whole."""
    parts = [part for spent in (*stages.values(), total) for part in spent.parts.values()]
    if not all(map(_is_amount, parts)):
        return False
    together = Spent()
    for spent in stages.values():
        together = together.plus(spent)
    energies = [{key: part.energy_uj for key, part in spent.parts.items()} for spent in (together, total)]
    return _is_count(total.time_ns) and together.time_ns == total.time_ns and energies[0] == energies[1]


def stage_of(spent: Spent) -> Stage:
    """What a record keeps of a stage."""
    return Stage(energy_uj=spent.energy_uj, time_ns=spent.time_ns)


def _counted(number: int | None, reason: str) -> CostEntry:
    return CostEntry(reason=reason) if number is None else CostEntry(float(number), 0.0, "counter")
