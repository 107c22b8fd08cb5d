import os
import subprocess
import sys
import textwrap
import time

import pytest

from lightning_pepr.meters import Quality, estimate, open_meter


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def only(reading):
    (part,) = reading.parts.values()
    return part


def test_energy_is_cpu_time_times_watts():
    core = estimate.watts_per_core()
    with open_meter(devices=[]) as meter:
        a, before = meter.read(), time.process_time()
        burn(0.3)
        part, spent = only(meter.read() - a), time.process_time() - before
    assert part.quality is Quality.ESTIMATED
    assert part.energy_j == pytest.approx(spent * core.watts, rel=0.05)
    assert part.drift_j == pytest.approx(part.energy_j * core.error, rel=1e-4)


def test_children_count_while_they_live_and_after_they_ended():
    code = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
    core = estimate.watts_per_core()
    with open_meter(devices=[]) as meter:
        a = meter.read()
        child = subprocess.Popen([sys.executable, "-c", code + "print(1, flush=True)\ninput()"], stdin=-1, stdout=-1)
        child.stdout.readline()
        alive = meter.read() - a
        child.communicate(b"\n")
        ended = meter.read() - a
    assert alive.energy_j > 0.25 * core.watts
    assert ended.energy_j >= alive.energy_j
    assert ended.energy_j < alive.energy_j + 0.3 * core.watts  # not counted twice


def test_a_child_that_ends_while_it_is_looked_for_is_counted_once(monkeypatch):
    code = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
    child = subprocess.Popen([sys.executable, "-c", code + "print(1, flush=True)\ninput()"], stdin=-1, stdout=-1)
    child.stdout.readline()
    before = estimate._cpu_seconds()
    look = estimate.descendants

    def ends_meanwhile():
        if child.poll() is None:
            child.communicate(b"\n")
        return look()

    monkeypatch.setattr(estimate, "descendants", ends_meanwhile)
    after = estimate._cpu_seconds()
    assert before <= after + 0.02  # the kernel's steps are of 10 ms
    assert after < before + 0.2


def test_another_rank_is_left_to_meter_itself():
    script = textwrap.dedent("""
        import subprocess, sys, os
        from lightning_pepr.meters.processes import descendants
        def start(rank, code="input()"):
            env = {**os.environ, "LOCAL_RANK": rank} if rank else os.environ
            return subprocess.Popen([sys.executable, "-c", code], env=env, stdin=-1)
        mine, other, same = start(""), start("1"), start("0")
        pids = {p.pid for p in descendants()}
        print(os.getpid() in pids, mine.pid in pids, other.pid in pids, same.pid in pids)
        for p in (mine, other, same): p.communicate(b"\\n")
    """)
    env = {key: value for key, value in os.environ.items() if key != "LOCAL_RANK"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False", "True"]


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
def test_the_design_power_of_a_processor_is_found_by_its_model(name, watts, tmp_path):
    table = tmp_path / "cpu_power.csv"
    table.write_text(
        "Name,TDP\nIntel Xeon E5-2620,95.0\nIntel Xeon E5-2620 v3,85.0\nAMD EPYC,1\nAMD EPYC 7763,280.0\n"
        "Intel Core i7-12700,65\nIntel Core i7-1270,999\nBroken 3000,\nAlso Broken 3000,n/a\n"
    )
    assert estimate._design_power(name, table) == watts


def test_codecarbons_table_is_read_where_it_is_installed():
    pytest.importorskip("codecarbon")
    assert estimate._design_power("Intel(R) Xeon(R) CPU E5-2620 v3 @ 2.40GHz") == 85.0


def test_without_the_table_there_is_no_figure(tmp_path):
    assert estimate._design_power("AMD EPYC 7763", tmp_path / "none.csv") is None
