"""Which runs there are, where they go, and how much work they are."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lightning_pepr.record.names import identity_of, label_models
from lightning_pepr.study.runs import DataSize, Model, Run, make_runs
from lightning_pepr.study.settings import Settings
from lightning_pepr.utilities.json import convert, to_builtins

SETTINGS = Settings("lidc", epochs=2)
SIZE = DataSize(classes=2, train=1000, val=100, test=100)
SMALL = Model("small", "small", 32, 1_000, mmacs=10.0)
LARGE = Model("large", "large", 32, 9_000, mmacs=90.0)


def test_every_combination_is_a_run_and_the_least_work_comes_first() -> None:
    runs = make_runs(SETTINGS, [LARGE, SMALL], SIZE, fractions=[1.0, 0.1], seeds=3, pretrained=[True, False])
    assert len(runs) == 2 * 2 * 3 * 2
    assert len({run.folder for run in runs}) == len(runs)
    work = [run.work(SIZE) or 0.0 for run in runs]
    assert work == sorted(work)
    assert runs[0].model == SMALL
    assert runs[0].fraction == 0.1
    assert {run.group for run in runs} == {
        "lidc, pretrained, 100 %",
        "lidc, pretrained, 10 %",
        "lidc, scratch, 100 %",
        "lidc, scratch, 10 %",
    }


def test_seeds_are_repeats_and_whatever_else_differs_is_not() -> None:
    """Of two studies in one group, too: the settings of a record say what its group does not."""
    runs = make_runs(SETTINGS, [SMALL], SIZE, seeds=3)
    runs += make_runs(replace(SETTINGS, num_workers=2), [SMALL], SIZE, seeds=2)
    labels = label_models([identity_of(run.new_record()) for run in runs])
    assert labels == ["small (num_workers=0)"] * 3 + ["small (num_workers=2)"] * 2
    assert label_models([identity_of(run.new_record()) for run in runs[:3]]) == ["small"] * 3


def test_weights_that_nothing_would_start_from_are_refused() -> None:
    with pytest.raises(ValueError, match=r"all runs start from random ones; add --pretrained"):
        make_runs(SETTINGS, [SMALL], SIZE, weights={"small": "file"})


def test_only_what_starts_pretrained_has_weights() -> None:
    runs = make_runs(SETTINGS, [SMALL], SIZE, pretrained=[True, False], weights={"small": "file"})
    assert {(run.pretrained, run.weights) for run in runs} == {(True, "file"), (False, None)}
    with pytest.raises(ValueError, match="names 'other', which is none of the models"):
        make_runs(SETTINGS, [SMALL], SIZE, weights={"other": "file"})


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5, float("nan")])
def test_fractions_out_of_range_are_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"expected shares in \(0, 1\]"):
        make_runs(SETTINGS, [SMALL], SIZE, fractions=[fraction])


def test_a_folder_follows_what_a_run_does_and_nothing_else() -> None:
    run = Run(SETTINGS, SMALL)
    assert run.folder == Run(SETTINGS, replace(SMALL, params=5, mmacs=1.0)).folder
    assert run.folder != Run(replace(SETTINGS, lr=1e-3), SMALL).folder
    assert run.folder != replace(run, seed=1).folder
    assert run.folder == replace(run, difference="1 epoch").folder
    assert Run(SETTINGS, Model("hf_hub:a/b", "hf_hub:a/b", 32, 1)).folder.parts[0] == "hf_hub_a_b"


def test_work_counts_training_thrice_and_evaluation_once() -> None:
    assert Run(SETTINGS, SMALL).samples(SIZE) == (2000, 2 * 100 + 100)
    assert Run(SETTINGS, SMALL).work(SIZE) == 10.0 * (3 * 2000 + 300)
    few = replace(SETTINGS, train_samples=256, eval_samples=64)
    assert Run(few, SMALL, fraction=0.5).samples(SIZE) == (256, 3 * 64)
    assert Run(few, replace(SMALL, mmacs=None)).work(SIZE) is None


def test_a_run_has_a_title_a_group_and_a_folder() -> None:
    run = Run(Settings("lidc"), Model("dla34", "dla34", 64), seed=2)
    assert run.title == "dla34 · scratch · 100 % · seed 2"
    assert replace(run, fraction=0.1).group == "lidc, scratch, 10 %"
    assert replace(run, difference="1 epoch, lr 0.01").group == "lidc, scratch, 100 %, 1 epoch, lr 0.01"
    assert run.folder.as_posix().startswith("dla34/scratch-100%-seed2-")


def test_folders_of_finished_runs_are_those_of_earlier_versions() -> None:
    assert Run(SETTINGS, SMALL, difference="1 epoch").folder.as_posix() == "small/scratch-100%-seed0-07a9a4c1"


def test_a_run_survives_the_way_to_its_process() -> None:
    run = Run(Settings("lidc", lr=0.1), Model("gluon_xception65", "xception65", 32), 3, 0.1, True, "file")
    for each in (run, replace(run, difference="lr 0.1")):
        assert convert(json.loads(json.dumps(to_builtins(each))), Run) == each
