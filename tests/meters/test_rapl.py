"""The processor's own counters, in a tree like the kernel's."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.meters import HostMeter, Quality
from lightning_pepr.meters.rapl import Domain, RaplSource, find_domains
from tests.helpers.meters import only_part
from tests.helpers.rapl import SPAN
from tests.helpers.rapl import Tree as Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.add("intel-rapl:0", "package-0", 1000)
    tree.add("intel-rapl:0:0", "core", 1000)
    tree.add("intel-rapl:0:1", "dram", 1000)
    tree.add("intel-rapl:1", "package-1", 1000)
    tree.add("intel-rapl:2", "psys", 1000)
    tree.add("intel-rapl-mmio:0", "package-0", 1000)
    (tmp_path / "intel-rapl").mkdir()
    return tree


def test_packages_and_memory_count_once(tree: Tree) -> None:
    names = [domain.name for domain in find_domains(tree.root)]
    assert names == ["package-0", "package-0 dram", "package-1"]
    assert all("mmio" not in domain.path.name for domain in find_domains(tree.root))


def test_the_sum_of_the_counters_is_read(tree: Tree) -> None:
    with HostMeter([], powercap=tree.root) as meter:
        a = meter.read()
        tree.set("intel-rapl:0", 1000 + 5_000_000)
        tree.set("intel-rapl:0:0", 1000 + 4_000_000)  # a part of the package
        tree.set("intel-rapl:0:1", 1000 + 700_000)
        tree.set("intel-rapl:1", 1000 + 60_000)
        window = meter.read() - a
    assert only_part(window).energy_uj == 5_760_000
    assert window.quality is Quality.COUNTER
    assert only_part(window).gain > 0
    assert not window.lower_bound
    assert window.error_j < 0.5


def test_a_counter_that_wraps_around_goes_on(tree: Tree) -> None:
    tree.set("intel-rapl:0", SPAN - 2_000_000)
    with HostMeter([], powercap=tree.root) as meter:
        a = meter.read()
        tree.set("intel-rapl:0", 3_000_000)
        window = meter.read() - a
    assert only_part(window).energy_uj == 5_000_000
    assert not window.lower_bound


@given(st.lists(st.integers(0, 10**8), min_size=1, max_size=30), st.integers(0, SPAN))
def test_however_often_it_wraps_the_sum_is_exact(steps: list[int], start: int) -> None:
    class Counted(Domain):
        def read(self) -> int:
            return value

    span, value, total = 10**9 + 7, start % (10**9 + 7), 0
    source = RaplSource([Counted("package-0", Path(), span, last_uj=value)])
    (first,) = source.mark(0.0).values()
    for step in steps:
        value = (value + step) % span
        total += step
        (now,) = source.mark(0.0).values()
        assert (now - first).energy_uj == total
    source.close()


def test_wraps_between_boundaries_are_seen_by_the_thread(tree: Tree) -> None:
    span = 200_000_000  # 200 J: looked at every 50 ms
    domain = tree.add("amd-rapl:9", "package-9", 0, span)
    source = RaplSource([Domain("package-9", domain, span)])
    (a,) = source.mark(0.0).values()
    total = 0
    for _ in range(8):
        total += 90_000_000
        tree.set("amd-rapl:9", total % span)
        time.sleep(0.3)
    (b,) = source.mark(0.0).values()
    source.close()
    assert "pepr-rapl" not in {thread.name for thread in threading.enumerate()}
    assert (b - a).energy_uj == total
    assert not b.lower_bound


def test_a_counter_that_falls_and_comes_back_adds_nothing(tree: Tree) -> None:
    tree.set("intel-rapl:0", 900_000_000)
    with HostMeter([], powercap=tree.root) as meter:
        a = meter.read()
        for _ in range(5):
            tree.set("intel-rapl:0", 850_000_000)
            meter.read()
            tree.set("intel-rapl:0", 901_000_000)
            window = meter.read() - a
    assert only_part(window).energy_uj == 1_000_000
    assert window.lower_bound
    assert "backwards" in only_part(window).reason


def test_a_reset_is_not_taken_for_a_wrap(tree: Tree) -> None:
    tree.set("intel-rapl:0", SPAN // 2)
    with HostMeter([], powercap=tree.root) as meter:
        a = meter.read()
        tree.set("intel-rapl:0", 5)
        window = meter.read() - a
        again = meter.read() - meter.read()
    assert only_part(window).energy_uj == 5
    assert window.lower_bound
    assert "reset" in only_part(window).reason
    assert not again.lower_bound


def test_counters_that_disappear_leave_a_lower_bound(tree: Tree) -> None:
    with HostMeter([], powercap=tree.root) as meter:
        a = meter.read()
        tree.set("intel-rapl:0", 1000 + 5_000_000)
        b = meter.read()
        (tree.root / "intel-rapl:0" / "energy_uj").unlink()
        tree.set("intel-rapl:1", 1000 + 60_000)
        c = meter.read()
    assert not (b - a).lower_bound
    assert (c - b).lower_bound
    assert "package-0" in only_part(c - b).reason
    assert only_part(c - a).energy_uj == 5_060_000


def test_what_cannot_be_read_is_left_to_the_estimate(tree: Tree) -> None:
    for path in tree.root.glob("*/energy_uj"):
        path.unlink()
        path.mkdir()  # as unreadable to root as to anybody
    assert find_domains(tree.root) == []
    with HostMeter([], powercap=tree.root) as meter:
        assert meter.read().quality is Quality.ESTIMATED
    assert find_domains(tree.root / "nowhere") == []
