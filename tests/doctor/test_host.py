"""The processor is examined, and what would make its counters readable."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lightning_pepr.doctor import examine
from lightning_pepr.doctor.host import examine_processor
from tests.helpers.rapl import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.add("intel-rapl:0", "package-0", 1000)
    tree.add("intel-rapl:0:0", "dram", 1000)
    return tree


def test_a_readable_rapl_is_a_counter(tree: Tree) -> None:
    cpu, troubles = examine_processor(tree.root)
    assert cpu.meter == "counter"
    assert cpu.domains == ["package-0", "package-0 dram"]
    assert not troubles
    assert examine(seconds=0, powercap=tree.root).measured is True


def test_an_unreadable_rapl_has_the_exact_command(tree: Tree) -> None:
    """As the kernel has it since 2020: the files are there, and reading them is refused."""
    for path in tree.root.glob("*/energy_uj"):
        path.unlink()
        path.mkdir()  # which cannot be read as a file even by root, as these tests may run
    cpu, troubles = examine_processor(tree.root)
    assert cpu.meter == "estimated"
    assert cpu.command == f"sudo chmod a+r {tree.root}/intel-rapl:*/energy_uj"
    assert any(cpu.command in trouble.do for trouble in troubles)
    command = cpu.command.replace("sudo chmod a+r", "ls -d")
    files = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert files.stdout.split() == [f"{tree.root}/intel-rapl:0/energy_uj", f"{tree.root}/intel-rapl:0:0/energy_uj"]
