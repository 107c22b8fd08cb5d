"""Each device and each host counts once, whichever ranks have read it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.accounting.ranks import Performance, RankReport, merge
from lightning_pepr.accounting.stages import Spent
from lightning_pepr.meters import Part, Quality
from tests.helpers.paths import ROOT

COUNTER, ESTIMATED, UNAVAILABLE = Quality.COUNTER, Quality.ESTIMATED, Quality.UNAVAILABLE


def report(host: str, parts: dict[str, tuple[int | None, Quality]], time_ns: int = 1, **kwargs: object) -> RankReport:
    spent = Spent({key: Part(energy, quality) for key, (energy, quality) in parts.items()}, time_ns)
    return RankReport(host, {"train": spent}, spent, **kwargs)  # type: ignore[arg-type]


def scored(value: float, samples: int | None = None) -> RankReport:
    return report("a", {}, performances={"acc": Performance(value, samples)})


def test_a_performance_is_averaged_and_its_samples_summed_over_the_ranks_that_have_one() -> None:
    ranks = [scored(0.5, 3), scored(0.7, 4), report("a", {})]
    value, samples = merge(ranks).performances["acc"]
    assert value == pytest.approx(0.6)
    assert samples == 7
    assert merge([*ranks, scored(0.6)]).performances["acc"].samples is None, "not known of one, not known of all"
    assert merge([report("a", {})]).performances == {}


def test_two_ranks_with_a_device_each_are_summed() -> None:
    merged = merge([report("a", {"gpu:0": (10, COUNTER)}), report("a", {"gpu:1": (5, COUNTER)})])
    assert merged.total.energy_uj == 15
    assert set(merged.total.parts) == {"a/gpu:0", "a/gpu:1"}


def test_two_ranks_on_one_device_count_once() -> None:
    merged = merge([report("a", {"gpu:0": (10, COUNTER)}), report("a", {"gpu:0": (11, COUNTER)})])
    assert merged.total.energy_uj == 11


def test_a_counter_of_the_processor_counts_once_a_host_and_estimates_of_ranks_are_summed() -> None:
    counted = merge([report(host, {f"cpu:{host}": (10, COUNTER)}) for host in "aabb"])
    assert counted.total.energy_uj == 20
    estimated = merge([report(host, {f"cpu:{host}": (10, ESTIMATED)}) for host in "aabb"])
    assert estimated.total.energy_uj == 40
    assert set(estimated.total.parts) == {"cpu:a", "cpu:b"}


def test_the_same_uuid_on_two_hosts_is_two_devices() -> None:
    merged = merge([report("a", {"gpu:0": (10, COUNTER)}), report("b", {"gpu:0": (10, COUNTER)})])
    assert merged.total.energy_uj == 20


def test_a_rank_that_cannot_measure_leaves_it_to_one_that_can() -> None:
    merged = merge([report("a", {"gpu:0": (None, UNAVAILABLE)}), report("a", {"gpu:0": (7, COUNTER)})])
    assert merged.total.energy_uj == 7


def test_a_device_that_nobody_could_measure_makes_the_sum_unknown_not_smaller() -> None:
    merged = merge([report("a", {"gpu:0": (None, UNAVAILABLE)}), report("a", {"gpu:1": (7, COUNTER)})])
    assert merged.total.energy_uj is None


def test_what_is_no_energy() -> None:
    merged = merge(
        [
            report("a", {}, time_ns=5, data_samples=3, memory_gb=1.0, performances={"acc": Performance(0.5)}),
            report("a", {}, time_ns=7, data_samples=4, memory_gb=2.0, performances={"acc": Performance(0.75)}),
            report("a", {}, time_ns=6, data_samples=4, memory_gb=None),
        ]
    )
    assert (merged.total.time_ns, merged.data_samples, merged.memory_gb) == (7, 11, 2.0)
    assert merged.performances["acc"].value == 0.625


def test_samples_that_one_rank_could_not_count_are_unknown() -> None:
    assert merge([report("a", {}, data_samples=3), report("a", {}, data_samples=None)]).data_samples is None


HOSTS = st.sampled_from(["a", "b"])
KEYS = st.sampled_from(["gpu:0", "gpu:1", "gpu:2"])
STAGES = st.sampled_from(["train", "validate", "other"])


@st.composite
def reports(draw: st.DrawFn) -> list[RankReport]:
    ranks = []
    for _ in range(draw(st.integers(1, 5))):
        keys = draw(st.lists(KEYS, unique=True, min_size=1))
        quality = {key: draw(st.sampled_from([COUNTER, ESTIMATED])) for key in keys}
        stages = {
            stage: Spent({k: Part(draw(st.integers(0, 10**9)), quality[k]) for k in keys}, draw(st.integers(0, 10**9)))
            for stage in draw(st.lists(STAGES, unique=True, min_size=1))
        }
        total = Spent()
        for spent in stages.values():
            total = total.plus(spent)
        ranks.append(RankReport(draw(HOSTS), stages, total, data_samples=draw(st.integers(0, 100))))
    return ranks


@given(reports())
def test_merged_stages_add_up_to_the_merged_total(ranks: list[RankReport]) -> None:
    merged = merge(ranks)
    assert sum(spent.energy_uj or 0 for spent in merged.stages.values()) == merged.total.energy_uj
    assert sum(spent.time_ns for spent in merged.stages.values()) == merged.total.time_ns


@given(reports(), st.randoms())
def test_the_order_of_ranks_does_not_matter(ranks: list[RankReport], random: object) -> None:
    shuffled = list(ranks)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merge(shuffled).total.energy_uj == merge(ranks).total.energy_uj
    assert merge(shuffled).data_samples == merge(ranks).data_samples


@given(reports())
def test_one_rank_alone_is_itself(ranks: list[RankReport]) -> None:
    one = merge(ranks[:1])
    assert one.total.energy_uj == ranks[0].total.energy_uj
    assert merge([one]).total.time_ns == one.total.time_ns


SCRIPT = """
import json, os, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from lightning_pepr import ModelSpace, PePRCallback, RunRecord
from tests.helpers.training import Worker, WorkMeter, trainer
from lightning_pepr.meters import Part, Quality, Reading

rank = int(os.environ["RANK"])

class RankMeter(WorkMeter):
    '''A device of its own for each rank, and one that both share.'''
    def read(self, wait=True):
        parts = {f"gpu:{rank}": Part(self.module.work_uj * (rank + 1), Quality.COUNTER),
                 "gpu:shared": Part(self.module.work_uj, Quality.COUNTER)}
        return Reading(parts, 0.0, 0.0)

module = Worker()
callback = PePRCallback("val_acc", space=ModelSpace.budget(energy_kwh=1), meter=RankMeter(module))
trainer(callback, root=sys.argv[1], devices=2, strategy="ddp", max_epochs=2).fit(module)
Path(sys.argv[1], f"rank{rank}.json").write_text(json.dumps([module.work_uj, callback.run.costs["energy_kwh"].value]))
import torch.distributed
torch.distributed.barrier()
torch.distributed.destroy_process_group()  # else a rank may abort while it exits after the other
"""


@pytest.mark.slow
def test_two_gloo_processes(tmp_path: Path) -> None:
    """Real ranks: what each knows at the end, and the record that rank 0 wrote."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(script), str(tmp_path)],
        cwd=ROOT,
        env={**__import__("os").environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (work0, kwh0), (work1, kwh1) = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    record = json.loads((tmp_path / "pepr.json").read_text())
    sanity = 2 * 777_777_777  # two sanity batches on each rank, which do not count
    work0, work1 = work0 - sanity, work1 - sanity
    truth = work0 * 1 + work1 * 2 + max(work0, work1)
    assert kwh0 == kwh1 == record["costs"]["energy_kwh"]["value"] == truth / 3.6e12
    assert record["hardware"]["ranks"] == 2
    assert len(record["devices"]) == 3
