"""The command prints all that was found, and its status says whether energy is measured."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lightning_pepr.cli import main
from lightning_pepr.doctor import examine
from lightning_pepr.doctor.printing import table_rows
from tests.simnvml import SimDevice, SimDriver

Capture = pytest.CaptureFixture[str]


def test_the_exit_status_says_whether_energy_is_measured(capsys: Capture) -> None:
    status = main(["doctor", "--json", "--seconds", "0"])
    found = json.loads(capsys.readouterr().out)
    assert status == (0 if found["measured"] else 1)
    assert main(["doctor", "--seconds", "0"]) == status
    text = capsys.readouterr().out
    for row in table_rows(examine(seconds=0)):
        assert row[0] in text
    for trouble in found["troubles"]:
        assert trouble["what"] in text
        assert trouble["do"] in text
    command = [sys.executable, "-m", "lightning_pepr.cli", "doctor", "--seconds", "0"]
    for sim, expected in ((SimDriver(), 0), (SimDriver(SimDevice(denied_at=0.0)), 1 if status else 0)):
        done = subprocess.run(command, env=sim.env(), capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (expected, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds", "-1"], "seconds is -1.0; expected from 0"),
        (["--pue", "0.5"], "pue is 0.5"),
        (["--carbon-intensity", "XYZ"], "no country of the table"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: Capture) -> None:
    assert main(["doctor", *arguments]) == 2
    assert message in capsys.readouterr().err
