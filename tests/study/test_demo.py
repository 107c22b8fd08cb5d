"""The demo, with timm's smallest models in place of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import timm

from lightning_pepr import RunRecord, rank
from lightning_pepr.study.data.nodules import NoduleData
from lightning_pepr.study.demo import DEMO_MODELS, FIGURE, IMAGE_SIZE, demo, draw

SMALL = ("test_resnet.r160_in1k", "test_convnext.r160_in1k")


def test_the_models_are_at_least_six_of_1_to_25_million_parameters() -> None:
    assert len(DEMO_MODELS) >= 6
    for name in DEMO_MODELS:
        model = timm.create_model(name)
        assert 1e6 <= sum(p.numel() for p in model.parameters()) <= 25e6, name
    assert IMAGE_SIZE == 32


@pytest.mark.slow
def test_it_draws(few: NoduleData, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It trains, reports and draws."""
    folders = demo(tmp_path, models=SMALL, epochs=1, data=few, accelerator="cpu")
    assert [folder.parent.name for folder in folders] == list(SMALL)
    for folder in folders:
        record = RunRecord.load(folder)
        assert record.status == "finished"
        assert record.test_performance is not None
    assert rank(folders)["pepr_e"].count() == 2
    assert (tmp_path / FIGURE).read_bytes().startswith(b"\x89PNG")
    output = capsys.readouterr().err
    assert "model 1 of 2 · test_resnet.r160_in1k · epoch 1 of 1" in output
    assert "model 2 of 2" in output
    assert "test_convnext.r160_in1k: test AUROC 0." in output
    assert "Seed set" not in output
    assert "GPU available" not in output

    draw(folders[:1], tmp_path / "one.png")  # as after Ctrl-C
    assert (tmp_path / "one.png").is_file()


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(cache: Path, tmp_path: Path) -> None:
    """A real signal to a real process, in the second model."""
    code = (
        "from pathlib import Path; from lightning_pepr.study.data.nodules import NoduleData\n"
        "from lightning_pepr.study.demo import demo\n"
        f"data = NoduleData(32, 64, cache=Path({str(cache)!r}))\n"
        f"print('kept', demo(Path({str(tmp_path)!r}), models={(SMALL[0], SMALL[1], SMALL[1])!r}, epochs=1,"
        " data=data, accelerator='cpu') and 'all')"
    )
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    output = ""
    for line in process.stderr:
        output += line
        if "model 2 of 3" in line:
            time.sleep(0.5)
            os.kill(process.pid, signal.SIGINT)
            break
    out, rest = process.communicate(timeout=200)
    assert process.returncode == 0, output + rest
    assert "kept all" in out
    assert "Stopped; 1 of 3 models are finished and kept." in rest
    assert (tmp_path / FIGURE).is_file()
    assert RunRecord.load(tmp_path / SMALL[0] / "version_0").status == "finished"


@pytest.mark.slow
def test_ctrl_c_before_anything_is_finished_is_an_interrupt(tmp_path: Path) -> None:
    class Interrupted(NoduleData):
        def prepare_data(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo(tmp_path, models=SMALL, data=Interrupted())
    assert not list(tmp_path.iterdir())


def test_what_is_not_installed_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "sys.modules['timm'] = None\n"  # as if it was not installed
        "from lightning_pepr.study.demo import demo\n"
        f"demo(Path({str(tmp_path)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "the demo needs timm: pip install 'lightning-pepr[all]'" in done.stderr
