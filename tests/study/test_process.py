"""Tasks in processes of their own: what they answer, and that they end with the one that started them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from lightning_pepr.errors import PePRError
from lightning_pepr.study.process import WorkerProcess, execute, look_up
from lightning_pepr.study.runs import Model, Run
from lightning_pepr.study.settings import Settings


def test_it_ends_when_its_input_does() -> None:
    with tempfile.TemporaryFile() as log:
        worker = WorkerProcess({"task": "train", "run": {}, "out": ""}, log)
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        list(worker.listen())
        assert worker.end() != 0


@pytest.mark.slow
def test_models_and_data_are_looked_up_or_refused() -> None:
    messages: list[str] = []
    models, size = look_up(
        Settings("digits"),
        ["dla34"],
        pretrained=False,
        weights={},
        on_message=lambda message: messages.append(message["name"]),
    )
    assert [(model.name, model.image_size) for model in models] == [("dla34", 64)]
    assert (size.classes, size.train, size.val, size.test) == (10, 1257, 270, 270)
    assert messages == ["dla34"]
    with pytest.raises(PePRError, match=r"the val part of digits .* has none of class"):
        look_up(Settings("digits", eval_samples=5), ["dla34"], pretrained=False, weights={})


@pytest.mark.slow
def test_a_run_that_cannot_begin_has_a_record_that_says_why(tmp_path: Path) -> None:
    run = Run(Settings("nowhere", accelerator="cpu"), Model("a", "a", 32))
    record = execute(run, tmp_path)
    assert record.status == "failed"
    assert "there is no folder 'nowhere'" in record.error
    assert record.group == run.group
    assert record.hardware["host"]
    assert "nowhere" in (tmp_path / run.folder / "log.txt").read_text(encoding="utf-8")
