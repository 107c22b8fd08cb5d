"""A fit that resumes: from a checkpoint with the run's state, without it, or with one that cannot be read whole."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_pepr import PePRCallback, RunRecord
from lightning_pepr.accounting.tracker import ACCUMULATING, UNREADABLE
from lightning_pepr.record import CostEntry
from tests.helpers.fits import EPOCH_UJ, SPACE, TwoMetrics, fit, record_of
from tests.helpers.training import Worker, WorkMeter, trainer

INTENSITY = 100.0


def checkpoint_of(folder: Path, *callbacks: Any, module: Worker, epochs: int = 2) -> Path:
    """The checkpoint that a fit of so many epochs leaves."""
    saving = ModelCheckpoint(folder, filename="last")
    trainer(*callbacks, saving, root=folder, enable_checkpointing=True, max_epochs=epochs).fit(module)
    return folder / "last.ckpt"


def resume(path: Path, folder: Path, callback: PePRCallback, module: Worker, epochs: int = 3) -> RunRecord:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?!PePRCallback)")
        trainer(callback, root=folder, max_epochs=epochs).fit(module, ckpt_path=str(path))
    return RunRecord.load(folder)


def metered(module: Worker, monitor: str = "val_acc", **options: Any) -> PePRCallback:
    return PePRCallback(monitor, SPACE, meter=WorkMeter(module), carbon_intensity=INTENSITY, **options)


def test_without_a_state_what_adds_up_is_a_lower_bound(tmp_path: Path) -> None:
    path = checkpoint_of(tmp_path / "a", module=Worker())
    module = Worker()
    with pytest.warns(UserWarning, match="no state of PePRCallback: what had been spent is missing"):
        record = resume(path, tmp_path / "b", metered(module), module)
    for field in ACCUMULATING:
        assert record.costs[field].lower_bound, field
        assert "has no state of PePRCallback" in record.costs[field].reason
    assert record.costs["data_samples"].value == 14, "what this fit has seen"
    assert record.costs["params"].value == 3
    assert not record.costs["params"].lower_bound


def test_that_a_past_is_missing_is_known_after_further_resumes(tmp_path: Path) -> None:
    path = checkpoint_of(tmp_path / "a", module=Worker())
    module = Worker()
    saving = ModelCheckpoint(tmp_path / "b", filename="last")
    with pytest.warns(UserWarning, match="is missing"):
        trainer(metered(module), saving, root=tmp_path / "b", enable_checkpointing=True).fit(
            module, ckpt_path=str(path)
        )
    module = Worker()
    record = resume(tmp_path / "b" / "last.ckpt", tmp_path / "c", metered(module), module, epochs=4)
    assert record.costs["data_samples"].value == 2 * 14
    assert record.costs["data_samples"].lower_bound


def test_weights_alone_are_no_past(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    path = checkpoint_of(tmp_path / "a", module=Worker())
    module = Worker()
    module.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
    record = record_of(fit(module, tmp_path / "b"))
    assert not record.costs["energy_kwh"].lower_bound
    assert not [each for each in recwarn if "is missing" in str(each.message)]


@pytest.mark.parametrize("options", [{}, {"prefix": "x_"}])
def test_a_state_of_another_monitor_or_prefix_is_found(tmp_path: Path, options: Any) -> None:
    module = TwoMetrics()
    path = checkpoint_of(tmp_path / "a", metered(module), module=module)
    module = TwoMetrics()
    record = resume(path, tmp_path / "b", metered(module, "val_acc2", **options), module)
    assert record.run_id == RunRecord.load(tmp_path / "a").run_id
    assert record.costs["energy_kwh"].value == 3 * 4 * 1_000_003 / 3.6e12
    assert not record.costs["energy_kwh"].lower_bound
    assert [(e.performance, e.others) for e in record.epochs] == [
        (None, {"val_acc": 0.5}),
        (None, {"val_acc": 0.5}),
        (0.25, {}),
    ], "what was monitored before is kept under its name"
    assert record.keys == ["val_acc", "val_acc2"]


def mutations(state: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Each part of a state that is left out, or has something else in its place."""
    items = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list) else ()
    others: list[Any] = [..., None, "?", -1, float("nan"), [], {"?": 1}, 10**400]
    for key, value in list(items):
        yield from (((*path, key), other) for other in others)
        yield from mutations(value, (*path, key))


def mutated(state: Any, path: tuple[Any, ...], other: Any) -> Any:
    found = changed = copy.deepcopy(state)
    for key in path[:-1]:
        found = found[key]
    if other is ...:
        del found[path[-1]]
    else:
        found[path[-1]] = other
    return changed


def test_no_state_stops_a_resume_and_what_is_not_read_is_a_lower_bound(tmp_path: Path) -> None:
    module = Worker()
    callback = metered(module)
    path = checkpoint_of(tmp_path / "a", callback, module=module)
    state = torch.load(path, weights_only=True)["callbacks"][callback.state_key]
    whole = costs_after(state, tmp_path)
    assert whole["energy_kwh"].value == 2 * EPOCH_UJ / 3.6e12
    count = 0
    for where, other in mutations(state):
        costs = costs_after(mutated(state, where, other), tmp_path)
        for field in ACCUMULATING:
            entry = costs[field]
            same = entry.value == whole[field].value
            assert same or entry.lower_bound or entry.value is None, (where, other, field)
            assert entry.value is None or 0 <= entry.value < float("inf")
        count += 1
    assert count > 300


def costs_after(state: Any, folder: Path) -> dict[str, CostEntry]:
    """The costs of a run that has resumed from a state and has not spent more."""
    module = Worker()
    resumed = metered(module)
    resumed.setup(trainer(resumed, root=folder), module, "fit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resumed.load_state_dict(state)
    assert resumed._run is not None
    resumed._run.update_costs()
    resumed._run.tracker.close()
    return resumed._run.record.costs


def test_a_newer_state_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    module = Worker()
    callback = metered(module)
    path = checkpoint_of(tmp_path / "a", callback, module=module)
    checkpoint = torch.load(path, weights_only=True)
    state = checkpoint["callbacks"][callback.state_key]
    state |= {"schema": "lightning-pepr/state/9", "moon": "full"}
    state["spent"] |= {"water_l": 3.0}
    torch.save(checkpoint, path)
    module = Worker()
    record = resume(path, tmp_path / "b", metered(module), module)
    assert record.costs["energy_kwh"].value == 3 * EPOCH_UJ / 3.6e12
    assert not record.costs["energy_kwh"].lower_bound
    assert [e.performance for e in record.epochs] == [0.25, 0.5, 0.25]


def test_what_of_a_state_cannot_be_read_is_missing_and_said_so(tmp_path: Path) -> None:
    module = Worker()
    callback = metered(module)
    path = checkpoint_of(tmp_path / "a", callback, module=module)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["callbacks"][callback.state_key]["spent"] = "gone"
    torch.save(checkpoint, path)
    module = Worker()
    record = resume(path, tmp_path / "b", metered(module), module)
    assert record.run_id == RunRecord.load(tmp_path / "a").run_id
    assert record.costs["energy_kwh"].value == EPOCH_UJ / 3.6e12
    assert (record.costs["energy_kwh"].lower_bound, record.costs["energy_kwh"].reason) == (True, UNREADABLE)


def test_two_callbacks_of_one_monitor_and_different_prefixes_have_two_states() -> None:
    assert len({PePRCallback("val_acc", prefix=prefix).state_key for prefix in ("", "a_", "b_")}) == 3


def test_above_1_after_a_resume_does_not_end_the_run(tmp_path: Path) -> None:
    module = Worker()
    path = checkpoint_of(tmp_path / "a", metered(module), module=module)
    module = Worker((45.0,))
    with pytest.warns(UserWarning, match=r"val_acc is 45\.0"):
        record = resume(path, tmp_path / "b", metered(module), module)
    assert [e.performance for e in record.epochs] == [0.25, 0.5, 45.0]
    assert record.status == "finished"
