"""What metering itself takes is a stage of its own: its time as measured, and its share of the energy."""

from __future__ import annotations

import time
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.accounting.stages import METERING, Ledger
from lightning_pepr.meters import Part, Quality, Reading


class World:
    """A clock, and a meter of so many watts."""

    def __init__(self, watts: int = 100) -> None:
        self.ns, self.watts = 0, watts

    def monotonic_ns(self) -> int:
        return self.ns

    def read(self, wait: bool = True) -> Reading:
        energy_uj = self.ns * self.watts // 1000
        return Reading({"gpu:0": Part(energy_uj, Quality.COUNTER, end_j=0.5)}, self.ns / 1e9, self.ns / 1e9)

    def settle(self, reading: Reading, wait: bool = True) -> Reading:
        return reading


def ledger_in(world: World) -> tuple[Any, Any]:
    """A ledger that reads this world's clock and meter; the first is to be entered."""
    return mock.patch("lightning_pepr.accounting.stages.time", world), Ledger(world)  # type: ignore[arg-type]


def test_its_time_is_taken_out_of_the_stage_and_its_energy_by_share() -> None:
    world = World()
    clock, ledger = ledger_in(world)
    with clock:
        ledger.switch_stage("train")
        world.ns += 700
        ledger.enter()
        world.ns += 300
        ledger.leave()
        world.ns += 1000
        ledger.switch_stage(None)
    stages = ledger.stages()
    assert {name: spent.time_ns for name, spent in stages.items()} == {"train": 1700, METERING: 300}
    assert {name: spent.energy_uj for name, spent in stages.items()} == {"train": 170, METERING: 30}
    assert stages[METERING].reading.quality is Quality.COUNTER
    assert stages[METERING].reading.error_j > 0, "its share of the window's error"


def test_a_boundary_within_splits_it_between_the_stages() -> None:
    world = World()
    clock, ledger = ledger_in(world)
    with clock:
        ledger.switch_stage("train")
        world.ns += 600
        ledger.enter()
        world.ns += 400  # of the training's window
        ledger.switch_stage("validate")
        world.ns += 100  # of the validation's
        ledger.leave()
        world.ns += 900
        ledger.switch_stage(None)
    assert {name: spent.time_ns for name, spent in ledger.stages().items()} == {
        "train": 600,
        METERING: 500,
        "validate": 900,
    }


def test_what_is_left_for_a_while_and_entered_twice_counts_once() -> None:
    world = World()
    clock, ledger = ledger_in(world)
    with clock:
        ledger.switch_stage("train")
        assert ledger.enter()
        world.ns += 10
        assert not ledger.enter(), "within"
        with ledger.left():
            world.ns += 1000  # as the device finishes the training's work
        world.ns += 10
        ledger.leave()
        ledger.leave()
        world.ns += 100
        ledger.switch_stage(None)
    assert ledger.stages()[METERING].time_ns == 20


STEPS = st.lists(
    st.tuples(st.sampled_from(["train", "validate", None, "enter", "leave"]), st.integers(0, 10**12)), max_size=40
)


@given(STEPS, st.integers(0, 10**4))
def test_the_stages_add_up_to_the_whole(steps: list[tuple[str | None, int]], watts: int) -> None:
    world = World(watts)
    clock, ledger = ledger_in(world)
    entered, own_ns = False, 0
    with clock:
        for step, ns in steps:
            if step == "enter":
                ledger.enter()
                entered = True
            elif step == "leave":
                ledger.leave()
                entered = False
            else:
                ledger.switch_stage(step)
            own_ns += ns if entered and ledger.stage is not None else 0
            world.ns += ns
        ledger.switch_stage(None)
    stages, total = ledger.stages(), ledger.total()
    assert sum(spent.time_ns for spent in stages.values()) == total.time_ns
    assert sum(spent.energy_uj or 0 for spent in stages.values()) == (total.energy_uj or 0)
    assert (stages[METERING].time_ns if METERING in stages else 0) == own_ns
    for spent in stages.values():
        assert spent.time_ns >= 0
        assert (spent.energy_uj or 0) >= 0


def test_it_takes_real_time() -> None:
    ledger = Ledger(World())  # type: ignore[arg-type]
    ledger.switch_stage("train")
    ledger.enter()
    begin = time.monotonic_ns()
    while time.monotonic_ns() - begin < 10**6:
        pass
    ledger.leave()
    ledger.switch_stage(None)
    assert ledger.stages()[METERING].time_ns >= 10**6
