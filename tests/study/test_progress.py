"""Progress is shown in a terminal and in a log file."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from lightning_pepr.study.progress import StudyProgress


def run(console: Console) -> None:
    with StudyProgress(["small", "large"], [1.0, 3.0], console) as progress:
        for model in (0, 1):
            progress.begin(model)
            for batch in range(0, 101):
                progress.update(share=batch / 100, epoch=1 + (batch > 50), epochs=2)
            progress.say(f"finished {model}")


def test_a_log_file_gets_a_line_for_each_epoch() -> None:
    file = io.StringIO()
    run(Console(file=file, force_terminal=False, width=40))
    lines = file.getvalue().splitlines()
    assert lines == [
        "getting ready to train 2 models",
        "model 1 of 2 · small · epoch 1 of 2 · 0%",
        "model 1 of 2 · small · epoch 2 of 2 · 13%",
        "finished 0",
        "model 2 of 2 · large · epoch 1 of 2 · 25%",
        "model 2 of 2 · large · epoch 2 of 2 · 63%",
        "finished 1",
    ]


def test_what_is_said_is_text_whatever_marks_are_in_it() -> None:
    file = io.StringIO()
    with StudyProgress(["a[/x]"], console=Console(file=file, force_terminal=False, width=40)) as progress:
        progress.begin(0)
        progress.update(share=0.5, epoch=1, epochs=1)
        progress.say("OSError: '/data/x[/old]/1.png' [enforce fail at alloc_cpu.cpp]\x1b[2J")
    assert "model 1 of 1 · a[/x] · epoch 1 of 1" in file.getvalue()
    assert "OSError: '/data/x[/old]/1.png' [enforce fail at alloc_cpu.cpp]\ufffd[2J" in file.getvalue()


def test_a_terminal_gets_a_bar_and_the_lines_that_stay() -> None:
    file = io.StringIO()
    run(Console(file=file, force_terminal=True, width=100, color_system=None))
    shown = file.getvalue()
    assert "finished 0" in shown
    assert "model 2 of 2 · large · epoch 2 of 2" in shown
    assert "100 %" in shown


def test_the_time_left_follows_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with StudyProgress(["small", "large"], [1.0, 3.0], Console(file=file, force_terminal=False)) as progress:
        progress.begin(0)
        now[0] = 30.0
        progress.update(share=1.0, epoch=2, epochs=2)
    assert file.getvalue().splitlines()[-1] == "model 1 of 2 · small · epoch 2 of 2 · 25% · 1 min 30 s left"
