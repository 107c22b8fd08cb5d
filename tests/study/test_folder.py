"""Whose folder it is, what sets its runs apart, and which of them are done."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lightning_pepr.record import RunRecord
from lightning_pepr.study.folder import StudyFolder, is_done, put_aside
from lightning_pepr.study.runs import Model, Run
from lightning_pepr.study.settings import Settings

SETTINGS = Settings("lidc", epochs=2)
SMALL = Model("small", "small", 32, 1_000, mmacs=10.0)


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
    ("options", "difference"),
    [
        (
            {"epochs": 1, "lr": 0.01, "image_size": 32, "measure": "acc", "batch_size": 8},
            "32 px, 1 epoch, batch size 8, lr 0.01, by acc",
        ),
        ({"image_size": None, "train_samples": 64}, "auto px, train samples 64"),
        ({"precision": "16-mixed", "carbon_intensity": "DNK"}, "carbon intensity DNK, precision 16-mixed"),
        ({"data": "digits"}, ""),  # the group names it anyway
        ({"space": "paper"}, ""),
    ],
)
def test_a_group_says_what_sets_runs_apart_from_the_first_of_the_study(
    options: dict[str, Any], difference: str, tmp_path: Path
) -> None:
    other = replace(SETTINGS, **options)
    assert StudyFolder.open(tmp_path, SETTINGS).difference(SETTINGS) == ""
    folder = StudyFolder.open(tmp_path, other, append=True)
    assert sorted(folder.difference(other).split(", ")) == sorted(difference.split(", "))
    again = StudyFolder.open(tmp_path, replace(SETTINGS, epochs=9), append=True)
    assert again.difference(SETTINGS) == ""
    assert again.difference(other) == folder.difference(other)
    assert Run(other, SMALL, difference="9 epochs").group.endswith(", scratch, 100 %, 9 epochs")


def test_two_data_sets_of_one_name_are_no_group(tmp_path: Path) -> None:
    named = [replace(SETTINGS, data=data) for data in ("lidc", "a/derma.npz", "b/derma.npz", "medmnist:derma")]
    for settings in named:
        folder = StudyFolder.open(tmp_path, settings, append=True)
    groups = [Run(settings, SMALL, difference=folder.difference(settings)).group for settings in named]
    assert groups == [
        "lidc, scratch, 100 %",
        "derma, scratch, 100 %",
        "derma, scratch, 100 %, b/derma.npz",
        "derma, scratch, 100 %, medmnist:derma",
    ]


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


def test_an_attempt_that_is_put_aside_counts_as_no_run(tmp_path: Path) -> None:
    folder = StudyFolder.open(tmp_path, SETTINGS)
    run = Run(SETTINGS, SMALL)
    put_aside(tmp_path / run.folder)  # there is none yet
    for number in (1, 2):
        RunRecord("small", run_id=str(number)).save(tmp_path / run.folder / "pepr.json")
        (tmp_path / run.folder / "log.txt").touch()
        put_aside(tmp_path / run.folder)
        aside = tmp_path / run.folder.with_name(f"{run.folder.name}.attempt{number}")
        assert sorted(path.name for path in aside.iterdir()) == ["attempt-pepr.json", "log.txt"]
    assert folder.record_of(run) is None


def test_runs_are_split_into_finished_and_to_do(tmp_path: Path) -> None:
    folder = StudyFolder.open(tmp_path, SETTINGS)
    done, failed, new = (Run(SETTINGS, SMALL, seed) for seed in range(3))
    RunRecord("small", status="finished", test_performance=0.5).save(tmp_path / done.folder / "pepr.json")
    RunRecord("small", status="failed").save(tmp_path / failed.folder / "pepr.json")
    todo, finished = folder.split([done, failed, new])
    assert todo == [failed, new]
    assert [run for run, _ in finished] == [done]
