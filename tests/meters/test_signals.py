"""A signal whose handler reads a meter may come while the meter is being read: none waits, and none is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.meters import ask
from tests.helpers.paths import ROOT
from tests.simnvml import SimDevice, SimDriver

HEAD = """
import faulthandler, json, time
from pathlib import Path
from lightning_pepr.meters import HostMeter
from lightning_pepr.meters.estimate import EstimateSource
from tests.helpers.interruptions import readings
from tests.helpers.meters import only_part
from tests.helpers.rapl import Tree
faulthandler.dump_traceback_later(50, exit=True)
"""


def found_by(script: str, *arguments: object) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", HEAD + script, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_counters_of_the_processor(tmp_path: Path) -> None:
    """They count on meanwhile, and begin again from 0 now and then; in the end not a microjoule is lost or made up."""
    script = """
import sys
tree, span = Tree(Path(sys.argv[1])), 10_000
tree.add("intel-rapl:0", "package-0", span=span)
tree.add("intel-rapl:0:1", "dram", span=span)
counted = 0
def count():
    global counted
    counted += 700
    for name in ("intel-rapl:0", "intel-rapl:0:1"):
        tree.set(name, counted % span)
with HostMeter([], powercap=tree.root) as meter:
    parts = [only_part(reading) for reading in readings(meter, count)]
    parts.append(only_part(meter.read()))
print(json.dumps([2 * counted, [part.energy_uj for part in parts], [part.losses for part in parts]]))
"""
    counted, energies, losses = found_by(script, tmp_path)
    assert energies[-1] == counted
    assert energies == sorted(energies)
    assert set(losses) == {0}
    assert len(energies) > 50


def test_the_estimate(tmp_path: Path) -> None:
    """It is between that of a source that was opened later, and of one that was before, which nothing interrupts."""
    script = """
import sys
def burn():
    end = time.process_time() + 0.003
    while time.process_time() < end: pass
opened_before = EstimateSource()
with HostMeter([], powercap=Path(sys.argv[1])) as meter:
    opened_later = EstimateSource()
    parts = [only_part(reading) for reading in readings(meter, burn)]
    (least,) = opened_later.mark(0.0).values()
    parts.append(only_part(meter.read()))
    (most,) = opened_before.mark(0.0).values()
print(json.dumps([least.energy_uj, most.energy_uj, [part.energy_uj for part in parts]]))
"""
    least, most, energies = found_by(script, tmp_path)
    assert least <= energies[-1] <= most
    assert energies == sorted(energies)


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("counter", [True, False])
def test_boards(counter: bool) -> None:
    """Of which a thread reads the counter, or the power."""
    script = """
import faulthandler
from tests.helpers.interruptions import readings
faulthandler.dump_traceback_later(100, exit=True)
sim.start()
meter = HostMeter([0])
time.sleep(2.0)
print(json.dumps([show(reading) for reading in readings(meter, lambda: None, every=3)]))
meter.close()
"""
    parts = [part for found in ask(SimDriver(SimDevice(counter=counter)), script, 220) for part in found.values()]
    assert all(part["settled"] for part in parts)
    assert {part["losses"] for part in parts} == {0}
    energies = [part["uj"] for part in parts]
    assert energies == sorted(energies)
    assert [part for part in parts if abs(part["energy"] - part["truth"]) > part["error"]] == []
