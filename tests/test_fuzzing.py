"""Broken files, thousands of them: each costs itself alone, and nothing that reads runs fails because of one."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lightning_pepr import audit, load_runs, rank
from lightning_pepr.errors import PePRError
from tests.helpers.fuzzing import GOOD, make_log, make_table, put_good, put_records, read_all

MOST = 100  # files in a folder

few_and_many = pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.slow)])
"""The first is a fifth of what the second one takes."""


def check_folder(folder: Path, page: Path) -> None:
    """Read a folder; if that fails, say because of which file of it."""
    try:
        assert set(GOOD) <= read_all([folder], page)
    except Exception as error:
        for path in sorted(folder.iterdir()):
            if path.name not in GOOD:
                alone = folder.with_name("alone")
                shutil.copytree(path, alone / path.name)
                put_good(alone)
                try:
                    read_all([alone], page)
                except Exception as again:
                    texts = [each.read_bytes()[:3000] for each in path.iterdir()]
                    raise AssertionError(f"{path.name} alone does it: {texts}") from again
                shutil.rmtree(alone)
        raise AssertionError(f"{folder} as a whole") from error


@few_and_many
@pytest.mark.timeout(900)
def test_broken_records(tmp_path: Path, times: int) -> None:
    for seed in range(10 * times):
        put_records(tmp_path / str(seed), Random(seed), MOST)
        check_folder(tmp_path / str(seed), tmp_path / "page.html")


@few_and_many
def test_broken_logs_of_wandb(tmp_path: Path, times: int) -> None:
    pytest.importorskip("wandb")
    for seed in range(2 * times):
        random, folder = Random(seed), tmp_path / str(seed)
        for number in range(80):
            (folder / str(number)).mkdir(parents=True)
            (folder / str(number) / f"run-{number}.wandb").write_bytes(make_log(random))
        put_good(folder)
        check_folder(folder, tmp_path / "page.html")


@few_and_many
@pytest.mark.timeout(900)
def test_broken_tables(tmp_path: Path, times: int) -> None:
    """Each is refused in words, or else may be ranked, audited and shown, by itself and beside others."""
    for seed in range(4 * times):
        good = []
        for number in range(50):
            table = make_table(Random(f"{seed} {number}"))
            path = tmp_path / f"{seed}-{number}.csv"
            if isinstance(table, str):
                path.write_text(table, encoding="utf-8", errors="surrogatepass")
            try:
                if check_table(path if isinstance(table, str) else table):
                    good.append(path if isinstance(table, str) else table)
            except Exception as error:
                raise AssertionError(f"{seed} {number}: {table[:3000] if isinstance(table, str) else table}") from error
        read_all(good, tmp_path / "page.html")


def check_table(table: Any) -> bool:
    """Whether a table can be ranked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            load_runs(table)
        except PePRError:
            return False
        audit(table)
        try:
            rank(table, by=["energy"])
        except PePRError:
            return False
    return True
