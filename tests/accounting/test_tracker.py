"""What a run has spent: by this rank, by all, and with the fits before."""

from __future__ import annotations

import json

import torch

from lightning_pepr import RunRecord
from lightning_pepr.accounting.tracker import LAZY_PARAMETERS, NO_BATCH_SIZE, NO_INTENSITY, CostTracker
from lightning_pepr.carbon import Intensity
from lightning_pepr.meters import Part, Quality, Reading
from tests.helpers.training import TRAIN_UJ, Worker, WorkMeter

CPU = torch.device("cpu")


def spend(tracker: CostTracker, module: Worker, steps: int) -> None:
    """A fit of so many steps, on one rank."""
    tracker.reset_fit()
    tracker.open(CPU)
    tracker.start()
    tracker.switch_stage("train")
    module.work_uj += steps * TRAIN_UJ
    tracker.count(4 * steps)
    tracker.switch_stage(None)
    tracker.gather()
    tracker.finish()
    tracker.close()


def test_a_meter_that_raises_is_opened_all_the_same() -> None:
    class Broken(WorkMeter):
        def read(self, wait: bool = True) -> Reading:
            raise OSError("the sensor is gone")

    tracker = CostTracker(Broken(Worker()), None)
    tracker.open(torch.device("cuda", 0))  # where the meter is asked which board is the device's
    assert "the sensor is gone" in tracker.why_no_energy()


def test_fits_add_up() -> None:
    module = Worker()
    tracker = CostTracker(WorkMeter(module), None)
    for steps in (3, 5):
        spend(tracker, module, steps)
    whole = tracker.whole()
    assert whole.total.energy_uj == 8 * TRAIN_UJ
    assert whole.stages["train"].energy_uj == 8 * TRAIN_UJ
    assert whole.data_samples == 32
    tracker.reset_run()
    assert tracker.whole().total.energy_uj is None


def test_what_is_left_out_is_no_cost_and_no_peak_of_memory() -> None:
    module = Worker()
    tracker = CostTracker(WorkMeter(module), None)
    tracker.open(CPU)
    tracker.start()
    tracker.switch_stage("train")
    module.work_uj += TRAIN_UJ
    tracker.switch_stage("train")
    before = tracker.gather().memory_gb or 0.0
    assert before > 0
    module.work_uj += 1000 * TRAIN_UJ
    large = torch.ones(200_000_000)  # 0.8 GB
    assert (tracker._report().memory_gb or 0.0) > before + 0.7
    del large
    tracker.leave_out()
    assert tracker.stage == "train"
    module.work_uj += TRAIN_UJ
    tracker.switch_stage(None)
    after = tracker.gather()
    assert after.total.energy_uj == 2 * TRAIN_UJ
    assert before <= (after.memory_gb or 0.0) < before + 0.1
    tracker.close()


def test_a_peak_of_memory_before_what_is_left_out_is_kept() -> None:
    tracker = CostTracker(WorkMeter(Worker()), None)
    tracker.open(CPU)
    tracker.start()
    tracker.switch_stage("train")
    large = torch.ones(200_000_000)
    peak = tracker.gather().memory_gb
    del large
    tracker.leave_out()
    assert tracker.gather().memory_gb == peak
    tracker.close()


def test_a_resumed_tracker_goes_on_from_plain_types() -> None:
    module = Worker()
    first = CostTracker(WorkMeter(module), None)
    spend(first, module, 3)
    second = CostTracker(WorkMeter(Worker()), None)
    second.resume(json.loads(json.dumps(first.to_dict())))
    assert second.whole() == first.whole()


def test_a_rank_that_is_cut_off_keeps_what_the_others_had_said() -> None:
    module = Worker()
    tracker = CostTracker(WorkMeter(module), None)
    tracker.open(CPU)
    tracker.switch_stage("train")
    module.work_uj += TRAIN_UJ
    tracker.switch_stage(None)
    tracker.report_alone(rank=1, ranks=3)  # none of the others has ever been asked
    assert tracker.whole().total.energy_uj == TRAIN_UJ
    tracker.close()


def test_what_is_not_known_has_no_value_and_a_reason() -> None:
    class Nothing(WorkMeter):
        def read(self, wait: bool = True):  # type: ignore[no-untyped-def]
            reading = super().read(wait)
            return type(reading)({"gpu:0": Part(None, Quality.UNAVAILABLE, reason="no driver")}, reading.time_s)

    tracker = CostTracker(Nothing(Worker()), None)
    run = RunRecord("model")
    tracker.open(CPU)
    tracker.switch_stage("train")
    tracker.count(None)
    tracker.switch_stage(None)
    tracker.gather()
    tracker.write_to(run, None)
    assert {name: entry.value for name, entry in run.costs.items() if name != "time_s"} == dict.fromkeys(
        ["energy_kwh", "carbon_g", "memory_gb", "data_samples", "params"]
    )
    assert run.costs["energy_kwh"].reason == "no driver"
    assert run.costs["carbon_g"].reason == NO_INTENSITY
    assert run.costs["data_samples"].reason == NO_BATCH_SIZE
    assert run.costs["params"].reason == LAZY_PARAMETERS
    assert tracker.why_no_energy() == "no driver"
    tracker.close()


def test_carbon_has_the_error_and_the_quality_of_the_energy() -> None:
    module = Worker()
    tracker = CostTracker(WorkMeter(module), None)
    spend(tracker, module, 4)
    run = RunRecord("model", params=7)
    tracker.write_to(run, Intensity(200.0, pue=1.5))
    energy, carbon = run.costs["energy_kwh"], run.costs["carbon_g"]
    assert energy.value is not None
    assert carbon.value == energy.value * 200.0 * 1.5
    assert (carbon.quality, carbon.lower_bound) == (energy.quality, energy.lower_bound) == ("counter", False)
    assert run.costs["params"].value == 7
