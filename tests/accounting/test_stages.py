"""Stages add up to the whole exactly, whatever the meter says and when it settles."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.accounting.stages import Ledger, Spent
from lightning_pepr.meters import Part, Quality, Reading
from lightning_pepr.utilities.json import convert, to_builtins

STAGES = st.sampled_from(["train", "validate", "other", None])


class Tape:
    """A meter that reads a known series of energies; each boundary is settled when `delay` more have been read."""

    def __init__(self, energies: list[int], delay: int = 0, edge_j: float = 0.5) -> None:
        self.energies, self.delay, self.edge_j = energies, delay, edge_j
        self.reads = 0

    def _reading(self, at: int, settled: bool) -> Reading:
        end = 0.0 if settled else self.edge_j
        part = Part(self.energies[at], Quality.COUNTER, end_j=end, settled=settled)
        return Reading({"gpu:0": part}, float(at), float(at))

    def read(self, wait: bool = True) -> Reading:
        self.reads += 1
        return self._reading(self.reads - 1, settled=wait or self.delay == 0)

    def settle(self, reading: Reading, wait: bool = True) -> Reading:
        at = int(reading.time_s)
        return self._reading(at, settled=wait or self.reads - 1 - at >= self.delay)

    def close(self) -> None: ...

    def __enter__(self) -> Tape:
        return self

    def __exit__(self, *args: object) -> None: ...


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10**12)), min_size=1, max_size=30), st.integers(0, 4))
def test_what_is_left_out_is_in_no_stage(steps: list[tuple[bool, int]], delay: int) -> None:
    energies = [0]
    for _, energy in steps:
        energies.append(energies[-1] + energy)
    ledger = Ledger(Tape(energies, delay))
    ledger.switch_stage("train")
    for kept, _ in steps:
        if kept:
            ledger.switch_stage("train")
        else:
            ledger.leave_out()
        assert ledger.stage == "train"
    expected = sum(energy for kept, energy in steps if kept)
    assert (ledger.total().energy_uj or 0) == expected
    assert sum(spent.energy_uj or 0 for spent in ledger.stages().values()) == expected


@given(st.lists(st.tuples(STAGES, st.integers(0, 10**12)), min_size=1, max_size=30), st.integers(0, 4))
def test_stages_add_up_to_the_whole(steps: list[tuple[str | None, int]], delay: int) -> None:
    energies, total = [], 0
    for _, energy in steps:
        energies.append(total)
        total += energy
    energies.append(total)
    ledger = Ledger(Tape(energies, delay))
    for stage, _ in steps:
        ledger.switch_stage(stage)
    ledger.switch_stage(None)
    expected: dict[str, int] = {}
    for stage, energy in steps:
        if stage is not None:
            expected[stage] = expected.get(stage, 0) + energy
    assert {stage: spent.energy_uj for stage, spent in ledger.stages().items()} == expected
    assert (ledger.total().energy_uj or 0) == sum(expected.values())
    assert ledger.total().time_ns == sum(spent.time_ns for spent in ledger.stages().values())
    assert (ledger.total().energy_uj is None) is not any(stage for stage, _ in steps)


def test_the_error_of_a_boundary_within_the_whole_cancels() -> None:
    ledger = Ledger(Tape([0, 10, 20, 30, 40], delay=100, edge_j=0.5))
    for stage in ("train", "validate", "train", None):
        ledger.switch_stage(stage)
    assert ledger.total().reading.error_j == 1.0, "of its two ends"
    assert ledger.stages()["train"].reading.error_j == 2.0, "of two windows"


def test_a_pause_ends_what_cancels() -> None:
    ledger = Ledger(Tape([0, 10, 20, 30, 40], delay=100, edge_j=0.5))
    for stage in ("train", None, "train", None):
        ledger.switch_stage(stage)
    assert ledger.total().energy_uj == 20
    assert ledger.total().reading.error_j == 2.0


def test_unsettled_boundaries_are_settled_later() -> None:
    ledger = Ledger(Tape([0, 10, 20, 30, 40, 50], delay=2, edge_j=0.5))
    for stage in ("a", "b", "c", "d", "e"):
        ledger.switch_stage(stage)
    assert not ledger.total().reading.settled
    ledger.switch_stage(None, wait=True)
    assert ledger.stages()["a"].reading.settled
    assert ledger.stages()["a"].reading.error_j == 0.0


def test_a_part_that_vanishes_is_a_loss_and_keeps_what_it_had() -> None:
    class Vanishing(Tape):
        def __enter__(self) -> Vanishing:
            return self

        def read(self, wait: bool = True) -> Reading:
            reading = super().read(wait)
            return reading if self.reads < 3 else Reading({}, reading.time_s, reading.timestamp)

    ledger = Ledger(Vanishing([0, 10, 20, 30]))
    for stage in ("train", "train", "train", None):
        ledger.switch_stage(stage)
    total = ledger.total()
    assert total.energy_uj == 10
    assert total.reading.lower_bound
    assert total.reason == "the meter no longer reports it"


def test_what_was_never_measured_is_none() -> None:
    assert Spent().energy_uj is None
    unavailable = Spent({"gpu:0": Part(None, Quality.UNAVAILABLE, reason="no driver"), "cpu": Part(5, Quality.COUNTER)})
    assert unavailable.energy_uj is None
    assert unavailable.reason == "no driver"


PARTS = st.builds(
    Part,
    energy_uj=st.none() | st.integers(0, 10**15),
    quality=st.sampled_from(Quality),
    begin_j=st.floats(0, 10),
    end_j=st.floats(0, 10),
    drift_j=st.floats(0, 10),
    losses=st.integers(0, 3),
    reason=st.text(max_size=5),
    gain=st.floats(0, 1),
    settled=st.booleans(),
)


@given(st.dictionaries(st.text(max_size=5), PARTS, max_size=3), st.integers(0, 10**18))
def test_plain_types_there_and_back(parts: dict[str, Part], time_ns: int) -> None:
    spent = Spent(parts, time_ns)
    assert convert(json.loads(json.dumps(to_builtins(spent))), Spent) == spent
