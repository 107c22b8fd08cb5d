"""Merge what the ranks of a run have measured: each device and each host counts once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lightning_pepr.accounting.stages import Spent
from lightning_pepr.meters.base import Part, Quality


class Performance(NamedTuple):
    """A monitored value, and of how many samples it is; None if that is not known."""

    value: float
    samples: int | None = None


@dataclass(frozen=True, slots=True)
class RankReport:
    """What one rank knows of the run, or what all of them know together. None is what is not known."""

    host: str  # empty in a merged report
    stages: Mapping[str, Spent]
    total: Spent
    data_samples: int | None = None
    memory_gb: float | None = None
    performances: Mapping[str, Performance] = field(default_factory=dict)  # by key, where this rank has a fresh one
    names: Mapping[str, str] = field(default_factory=dict)  # of the devices, by the keys of the parts

    def plus(self, later: RankReport) -> RankReport:
        """What this fit, or several, and a later one of the same run have spent together."""
        stages = dict.fromkeys([*self.stages, *later.stages])
        counted = self.data_samples is not None and later.data_samples is not None
        return RankReport(
            host="",
            stages={name: self.stages.get(name, Spent()).plus(later.stages.get(name, Spent())) for name in stages},
            total=self.total.plus(later.total),
            data_samples=(self.data_samples or 0) + (later.data_samples or 0) if counted else None,
            memory_gb=_largest(self, later),
            names={**self.names, **later.names},
        )


def gather(report: RankReport) -> list[RankReport]:
    """The reports of all ranks, in their order. A collective: every rank must call it.

    Without `torch.distributed`, or before it is initialised, there is this rank alone.
    """
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return [report]
    reports: list[RankReport | None] = [None] * dist.get_world_size()
    dist.all_gather_object(reports, report)
    return [each for each in reports if each is not None]


def merge(reports: Sequence[RankReport]) -> RankReport:
    """One report of the whole run.

    Energy is summed over distinct devices and hosts, time and memory are those of the largest rank, samples are
    summed, and a performance is averaged over the ranks that have it, whose samples are summed.
    """
    keepers = _keepers(reports)
    slowest = max(reports, key=lambda report: report.total.time_ns)
    stages = {}
    for stage in dict.fromkeys(stage for report in reports for stage in report.stages):
        at_stage = [report.stages.get(stage, Spent()) for report in reports]
        stages[stage] = Spent(_merge_parts(keepers, at_stage), slowest.stages.get(stage, Spent()).time_ns)
    total = Spent(_merge_parts(keepers, [report.total for report in reports]), slowest.total.time_ns)
    monitored = dict.fromkeys(key for report in reports for key in report.performances)
    samples = [report.data_samples for report in reports if report.data_samples is not None]
    return RankReport(
        host="",
        stages=stages,
        total=total,
        data_samples=sum(samples) if len(samples) == len(reports) else None,
        memory_gb=_largest(*reports),
        performances={key: _mean([r.performances[key] for r in reports if key in r.performances]) for key in monitored},
        names={device_key(report.host, key): name for report in reports for key, name in report.names.items()},
    )


def _mean(performances: Sequence[Performance]) -> Performance:
    samples = [each.samples for each in performances if each.samples is not None]
    known = len(samples) == len(performances)
    return Performance(sum(each.value for each in performances) / len(performances), sum(samples) if known else None)


def device_key(host: str, key: str) -> str:
    """The name of a part in the whole run: a simulated or virtual device may bear the same UUID on two hosts."""
    return key if key.endswith(f":{host}") else f"{host}/{key}"


def _keepers(reports: Sequence[RankReport]) -> dict[str, list[tuple[int, str]]]:
    """Which ranks' parts make up each device: (rank, key) pairs.

    A counter sees the whole device, whichever rank reads it, so one rank is kept: the best measured, then the one
    that saw the most. An estimate sees the processes of its own rank alone, so all of them are summed. The choice is
    made once, by the totals, so that stages still add up.
    """
    offers: dict[str, list[tuple[int, str, Part]]] = {}
    for rank, report in enumerate(reports):
        for key, part in report.total.parts.items():
            offers.setdefault(device_key(report.host, key), []).append((rank, key, part))
    order = list(Quality)
    keepers = {}
    for name, candidates in offers.items():
        if all(part.quality is Quality.ESTIMATED for _, _, part in candidates):
            keepers[name] = [(rank, key) for rank, key, _ in candidates]
        else:
            best = min(candidates, key=lambda c: (order.index(c[2].quality), c[2].losses, -(c[2].energy_uj or 0)))
            keepers[name] = [best[:2]]
    return keepers


def _merge_parts(keepers: Mapping[str, Iterable[tuple[int, str]]], spent: Sequence[Spent]) -> Mapping[str, Part]:
    merged = Spent()
    for name, chosen in keepers.items():
        for rank, key in chosen:
            if key in spent[rank].parts:
                merged = merged.plus(Spent({name: spent[rank].parts[key]}))
    return merged.parts


def _largest(*reports: RankReport) -> float | None:
    """The largest memory in GB; None if it is known of no report."""
    return max((report.memory_gb for report in reports if report.memory_gb is not None), default=None)
