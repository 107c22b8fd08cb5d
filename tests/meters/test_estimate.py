"""The estimate of the processor's energy: CPU time × watts per core."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lightning_pepr.meters import Quality, estimate, open_meter
from lightning_pepr.meters.processes import descendants
from tests.helpers.meters import only_part


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_energy_is_cpu_time_times_watts() -> None:
    core = estimate.watts_per_core()
    with open_meter(devices=[]) as meter:
        a, before = meter.read(), time.process_time()
        burn(0.3)
        part, spent = only_part(meter.read() - a), time.process_time() - before
    assert part.quality is Quality.ESTIMATED
    assert part.energy_j == pytest.approx(spent * core.watts, rel=0.05)
    assert part.drift_j == pytest.approx(part.energy_j * core.error, rel=1e-4)


def test_children_count_while_they_live_and_after_they_ended() -> None:
    code = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
    core = estimate.watts_per_core()
    with open_meter(devices=[]) as meter:
        a = meter.read()
        child = subprocess.Popen([sys.executable, "-c", code + "print(1, flush=True)\ninput()"], stdin=-1, stdout=-1)
        assert child.stdout is not None
        child.stdout.readline()
        alive = meter.read() - a
        child.communicate(b"\n")
        ended = meter.read() - a
    assert alive.energy_j > 0.25 * core.watts
    assert ended.energy_j >= alive.energy_j
    assert ended.energy_j < alive.energy_j + 0.3 * core.watts  # not counted twice


def test_a_child_that_ends_meanwhile_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends after its time was read, and before that of ended children is."""
    code = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
    child = subprocess.Popen([sys.executable, "-c", code + "print(1, flush=True)\ninput()"], stdin=-1, stdout=-1)
    assert child.stdout is not None
    child.stdout.readline()
    before = estimate._cpu_seconds()
    look = descendants

    def ends_meanwhile() -> Iterator[psutil.Process]:
        if child.poll() is None:
            child.communicate(b"\n")
        return look()

    monkeypatch.setattr(estimate, "descendants", ends_meanwhile)
    after = estimate._cpu_seconds()
    assert before <= after + 0.02  # the kernel's steps are of 10 ms
    assert after < before + 0.2


@pytest.mark.parametrize(
    ("name", "watts"),
    [
        ("Intel(R) Xeon(R) CPU E5-2620 v3 @ 2.40GHz", 85),
        ("Intel(R) Xeon(R) CPU E5-2620 @ 2.00GHz", 95),
        ("AMD EPYC 7763 64-Core Processor", 280),
        ("12th Gen Intel(R) Core(TM) i7-12700", 65),
        ("AMD EPYC", None),
        ("Something Else 3000", None),
    ],
)
def test_the_design_power_is_found_by_the_model(
    name: str,
    watts: float | None,
    tmp_path: Path,
) -> None:
    table = tmp_path / "cpu_power.csv"
    table.write_text(
        "Name,TDP\nIntel Xeon E5-2620,95.0\nIntel Xeon E5-2620 v3,85.0\nAMD EPYC,1\nAMD EPYC 7763,280.0\n"
        "Intel Core i7-12700,65\nIntel Core i7-1270,999\nBroken 3000,\nAlso Broken 3000,n/a\n"
    )
    assert estimate._design_power(name, table) == watts


def test_codecarbons_table_is_read_where_it_is_installed() -> None:
    pytest.importorskip("codecarbon")
    assert estimate._design_power("Intel(R) Xeon(R) CPU E5-2620 v3 @ 2.40GHz") == 85.0


def test_without_the_table_there_is_no_figure(tmp_path: Path) -> None:
    assert estimate._design_power("AMD EPYC 7763", tmp_path / "none.csv") is None
