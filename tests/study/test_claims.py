"""One of several studies has a run, and a dead one does not keep it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lightning_pepr.study.claims import DEAD_S, Claim, Owner, claim

HELD = """
import sys, time
from pathlib import Path
from lightning_pepr.study.claims import claim
print(type(claim(Path(sys.argv[1]))).__name__, flush=True)
sys.stdin.read()
"""

RACE = """
import sys, time
from pathlib import Path
from lightning_pepr.study.claims import Claim, claim
while not Path(sys.argv[2]).exists():
    time.sleep(0.001)
time.sleep(max(0.0, float(Path(sys.argv[2]).read_text() or 0) - time.time()))
print(isinstance(claim(Path(sys.argv[1])), Claim), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "dla34" / "scratch-100%-seed0-1b9d3f70"


def claim_file(folder: Path) -> Path:
    return folder.with_name(folder.name + ".claim")


def elsewhere(folder: Path, silent_s: float = 0.0, **changes: Any) -> Path:
    """Leave the claim of another machine, which has given no sign of life for some time."""
    owner = {"host": "node7", "pid": 4, "started": 0.0, "machine": "node7 boot", "at": "then", "token": "a" * 32}
    path = claim_file(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**owner, **changes}), encoding="utf-8")
    os.utime(path, (time.time() - silent_s, time.time() - silent_s))
    return path


def python(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.communicate()


def test_a_run_is_had_once_and_again_when_it_is_free(folder: Path) -> None:
    first = claim(folder)
    assert isinstance(first, Claim)
    second = claim(folder)
    assert isinstance(second, Owner)
    assert second.pid == os.getpid()
    first.release()
    first.release()
    assert not claim_file(folder).exists()
    with claim(folder) as third:  # type: ignore[union-attr]  # the test fails if it is an Owner
        assert third.instead_of == ""


def test_a_living_process_keeps_it_and_a_dead_one_does_not(folder: Path) -> None:
    other = python(HELD, folder)
    assert said(other) == "Claim"
    owner = claim(folder)
    assert isinstance(owner, Owner)
    assert owner.pid == other.pid
    other.kill()
    end(other)
    claimed = claim(folder)
    assert isinstance(claimed, Claim)
    assert claimed.instead_of.startswith(f"process {other.pid} on ")
    assert claimed.instead_of.endswith("is gone")
    claimed.release()
    assert not list(folder.parent.iterdir())  # nothing else is left


def test_another_process_of_the_same_number_is_not_the_owner(folder: Path) -> None:
    me = Owner.myself()
    elsewhere(folder, host=me.host, machine=me.machine, pid=me.pid, started=me.started - 3600)
    claimed = claim(folder)
    assert isinstance(claimed, Claim)
    assert "its number another process's" in claimed.instead_of
    claimed.release()


@pytest.mark.parametrize("changes", [{}, {"host": Owner.myself().host, "machine": "another boot, or container"}])
def test_of_another_machine_signs_of_life_count(folder: Path, changes: dict[str, Any]) -> None:
    """And not the number of its process, which means nothing here."""
    elsewhere(folder, DEAD_S / 2, **changes)
    assert isinstance(claim(folder), Owner)
    elsewhere(folder, DEAD_S * 2, **changes)
    claimed = claim(folder)
    assert isinstance(claimed, Claim)
    assert "no sign of life for 10 min" in claimed.instead_of
    claimed.release()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"pid": "x"}', '{"token": "../../x"}', "[" * 10_000, '{"pid": 1e999}']
)
def test_a_claim_that_cannot_be_read_is_somebodys_until_it_is_old(folder: Path, text: str) -> None:
    path = elsewhere(folder)
    path.write_text(text, encoding="utf-8")
    assert isinstance(claim(folder), Owner)
    os.utime(path, (0, 0))
    claimed = claim(folder)
    assert isinstance(claimed, Claim)
    claimed.release()


def test_who_was_taken_for_dead_takes_nothing_away(folder: Path) -> None:
    mine = claim(folder)
    assert isinstance(mine, Claim)
    path = elsewhere(folder)  # taken over by another
    mine.release()
    assert path.exists()


@pytest.mark.slow
@pytest.mark.parametrize("dead", [False, True])
def test_of_many_that_try_at_once_one_has_it(folder: Path, tmp_path: Path, dead: bool) -> None:
    if dead:
        elsewhere(folder, DEAD_S * 2)
    go = tmp_path / "go"
    processes = [python(RACE, folder, go) for _ in range(8)]
    time.sleep(1)
    go.write_text(str(time.time() + 1.0), encoding="utf-8")
    assert sorted(map(said, processes)) == ["False"] * 7 + ["True"]
    end(*processes)
