"""Plans: which runs there are, where they go, what they may cost, and whose folder it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_pepr.record import CostEntry, RunRecord
from lightning_pepr.study.settings import (
    START_S,
    DataSize,
    Model,
    Run,
    Settings,
    StudyFolder,
    estimate,
    is_done,
    make_runs,
)

SETTINGS = Settings("lidc", epochs=2)
SIZE = DataSize(classes=2, train=1000, val=100, test=100)
SMALL = Model("small", "small", 32, 1_000, mmacs=10.0)
LARGE = Model("large", "large", 32, 9_000, mmacs=90.0)


def done(run: Run, seconds: float, kwh: float | None = None) -> RunRecord:
    costs = {"time_s": CostEntry(seconds, quality="counter")}
    if kwh is not None:
        costs["energy_kwh"] = CostEntry(kwh, quality="estimated")
    return RunRecord(run.model.name, status="finished", test_performance=0.8, costs=costs)


def test_every_combination_is_a_run_and_the_least_work_comes_first() -> None:
    runs = make_runs(SETTINGS, [LARGE, SMALL], SIZE, fractions=[1.0, 0.1], seeds=3, pretrained=[True, False])
    assert len(runs) == 2 * 2 * 3 * 2
    assert len({run.folder for run in runs}) == len(runs)
    work = [run.work(SIZE) for run in runs]
    assert work == sorted(work)
    assert runs[0].model == SMALL
    assert runs[0].fraction == 0.1
    assert {run.group for run in runs} == {
        "lidc, pretrained, 100 %",
        "lidc, pretrained, 10 %",
        "lidc, scratch, 100 %",
        "lidc, scratch, 10 %",
    }


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


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"epochs": 0}, "--epochs is 0"),
        ({"batch_size": 1}, "--batch-size is 1"),
        ({"image_size": 1}, "--image-size is 1"),
        ({"lr": 0.0}, r"--lr is 0\.0"),
        ({"lr": float("nan")}, "--lr is nan"),
        ({"optimizer": "adamm"}, "--optimizer is 'adamm'; expected one of adam, adamw, sgd"),
        ({"measure": "loss"}, "--measure is 'loss'; expected one of auroc, acc"),
        ({"eval_samples": 0}, "--eval-samples is 0"),
        ({"weight_decay": -1.0}, "--weight-decay is -1"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replace(SETTINGS, **options)


def test_a_folder_follows_what_a_run_does_and_nothing_else() -> None:
    run = Run(SETTINGS, SMALL)
    assert run.folder == Run(SETTINGS, replace(SMALL, params=5, mmacs=1.0)).folder
    assert run.folder != Run(replace(SETTINGS, lr=1e-3), SMALL).folder
    assert run.folder != replace(run, seed=1).folder
    assert run.folder == replace(run, apart="1 epoch").folder
    assert Run(SETTINGS, Model("hf_hub:a/b", "hf_hub:a/b", 32, 1)).folder.parts[0] == "hf_hub_a_b"


def test_work_counts_training_thrice_and_evaluation_once() -> None:
    assert Run(SETTINGS, SMALL).samples(SIZE) == (2000, 2 * 100 + 100)
    assert Run(SETTINGS, SMALL).work(SIZE) == 10.0 * (3 * 2000 + 300)
    few = replace(SETTINGS, train_samples=256, eval_samples=64)
    assert Run(few, SMALL, fraction=0.5).samples(SIZE) == (256, 3 * 64)
    assert Run(few, replace(SMALL, mmacs=None)).work(SIZE) is None


def test_an_estimate_before_the_first_run_is_called_a_guess() -> None:
    guess = estimate([Run(SETTINGS, SMALL), Run(SETTINGS, LARGE)], SIZE)
    assert guess.runs == 0
    assert guess.factor >= 3
    assert guess.energy_kwh is None
    assert START_S < guess.time_s[0] < guess.time_s[1]


@given(st.floats(0.01, 100.0), st.floats(1e-6, 1e-3))
def test_an_estimate_is_learnt_from_runs_that_are_finished(pace: float, power: float) -> None:
    runs = [Run(SETTINGS, SMALL, seed) for seed in range(4)]
    seconds = [pace * (run.work(SIZE) or 0.0) / 1e4 for run in runs]
    finished = [(run, done(run, s, s * power)) for run, s in zip(runs, seconds, strict=True)]
    todo = Run(SETTINGS, LARGE)
    guess = estimate([todo], SIZE, finished)
    expected = pace * (todo.work(SIZE) or 0.0) / 1e4 + START_S
    assert guess.time_s == pytest.approx([expected])
    assert guess.energy_kwh == pytest.approx([expected * power])
    assert (guess.runs, guess.factor) == (4, 1.5)


def test_a_model_whose_work_is_unknown_is_estimated_like_the_others() -> None:
    unknown = Run(SETTINGS, replace(SMALL, mmacs=None))
    guess = estimate([Run(SETTINGS, SMALL), unknown], SIZE)
    assert guess.time_s[0] == guess.time_s[1]


def test_a_run_is_done_when_it_is_tested() -> None:
    assert not is_done(None)
    assert not is_done(RunRecord("a", status="finished"))
    assert not is_done(RunRecord("a", status="failed", test_performance=0.5))
    assert is_done(RunRecord("a", status="finished", test_performance=0.5))


def test_a_study_is_recognised_and_another_is_refused(tmp_path: Path) -> None:
    StudyFolder.open(tmp_path / "runs", SETTINGS)
    StudyFolder.open(tmp_path / "runs", SETTINGS)
    other = replace(SETTINGS, lr=1e-3, image_size=None)
    with pytest.raises(ValueError, match=r"another study, with --image-size 64 instead of auto, --lr 0\.0005 instead"):
        StudyFolder.open(tmp_path / "runs", other)
    assert len(StudyFolder.open(tmp_path / "runs", other, append=True).settings) == 2
    StudyFolder.open(tmp_path / "runs", other)  # now both are known
    StudyFolder.open(tmp_path / "runs", SETTINGS)


@pytest.mark.parametrize(
    ("options", "apart"),
    [
        (
            {"epochs": 1, "lr": 0.01, "image_size": 32, "measure": "acc", "batch_size": 8},
            "32 px, 1 epoch, batch size 8, lr 0.01, by acc",
        ),
        ({"image_size": None, "train_samples": 64}, "auto px, train samples 64"),
        ({"precision": "16-mixed", "carbon_intensity": "DNK"}, "carbon intensity DNK, precision 16-mixed"),
        ({"data": "digits"}, ""),  # that is told anyway
        ({"space": "paper"}, ""),
    ],
)
def test_a_group_says_what_sets_runs_apart_from_the_first_of_the_study(
    options: dict[str, Any], apart: str, tmp_path: Path
) -> None:
    other = replace(SETTINGS, **options)
    assert StudyFolder.open(tmp_path, SETTINGS).apart(SETTINGS) == ""
    folder = StudyFolder.open(tmp_path, other, append=True)
    assert sorted(folder.apart(other).split(", ")) == sorted(apart.split(", "))
    again = StudyFolder.open(tmp_path, replace(SETTINGS, epochs=9), append=True)
    assert again.apart(SETTINGS) == ""
    assert again.apart(other) == folder.apart(other)
    assert Run(other, SMALL, apart="9 epochs").group.endswith(", scratch, 100 %, 9 epochs")


def test_two_data_sets_of_one_name_are_no_group(tmp_path: Path) -> None:
    named = [replace(SETTINGS, data=data) for data in ("lidc", "a/derma.npz", "b/derma.npz", "medmnist:derma")]
    for settings in named:
        folder = StudyFolder.open(tmp_path, settings, append=True)
    groups = [Run(settings, SMALL, apart=folder.apart(settings)).group for settings in named]
    assert groups == [
        "lidc, scratch, 100 %",
        "derma, scratch, 100 %",
        "derma, scratch, 100 %, b/derma.npz",
        "derma, scratch, 100 %, medmnist:derma",
    ]


def test_folders_of_finished_runs_are_those_of_earlier_versions() -> None:
    assert Run(SETTINGS, SMALL, apart="1 epoch").folder.as_posix() == "small/scratch-100%-seed0-07a9a4c1"


def test_records_of_no_study_are_refused_unless_appended_to(tmp_path: Path) -> None:
    RunRecord("a").save(tmp_path / "a" / "pepr.json")
    with pytest.raises(ValueError, match=r"records of runs that are no study's.*--append"):
        StudyFolder.open(tmp_path, SETTINGS)
    assert not (tmp_path / "study.json").exists()
    StudyFolder.open(tmp_path, SETTINGS, append=True)
    assert (tmp_path / "a" / "pepr.json").is_file()


def test_looking_does_not_write(tmp_path: Path) -> None:
    StudyFolder.open(tmp_path / "new", SETTINGS, write=False)
    assert not (tmp_path / "new").exists()


def test_files_that_are_no_study_are_named(tmp_path: Path) -> None:
    file = tmp_path / "study.json"
    for text in ("{", "[]", '{"schema": "other", "settings": []}', json.dumps({"schema": "lightning-pepr/study/1"})):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=r"study\.json is not the file of a study"):
            StudyFolder.open(tmp_path, SETTINGS)
    with pytest.raises(NotADirectoryError, match="which is a file"):
        StudyFolder.open(file, SETTINGS)
