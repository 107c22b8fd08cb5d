"""Options come from the command line and from YAML through one parser."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_pepr.cli import main
from lightning_pepr.cli.study_options import check_options, parse, settings_of


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        parse(arguments)
    assert end.value.code == 2
    return capsys.readouterr().err


def test_the_defaults_are_the_papers() -> None:
    settings = settings_of(parse(["--models", "paper", "--data", "lidc", "--out", "runs"]))
    assert (settings.optimizer, settings.lr, settings.batch_size, settings.epochs) == ("adam", 5e-4, 32, 10)


def test_lists_and_amounts() -> None:
    options = parse(
        [
            "--models",
            "dla34,resnet*",
            "--fraction",
            "1.0,0.1",
            "--weights",
            "a=x",
            "--weights",
            "b=y",
            "--budget",
            "energy=0.5,time_s=60",
        ]
    )
    assert options.models == ["dla34", "resnet*"]
    assert options.fraction == [1.0, 0.1]
    assert [name for name, _ in options.weights] == ["a", "b"]
    assert options.budget == {"energy_kwh": 0.5, "time_s": 60.0}


def test_yaml_goes_through_the_same_parser_and_what_follows_wins(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "models: [dla34, resnet18d]\ndata: digits\nimage_size: auto\nfraction: [1.0, 0.1]\nseeds: 3\npretrained: true\n"
        "scratch: false\nweights: {dla34: w.pt}\nbudget: {energy_kwh: 0.5, time_s: 60}\nlr: 1e-3\nspace: null\n",
        encoding="utf-8",
    )
    options = parse(["--seeds", "9", "--config", str(file), "--lr", "0.01"])
    assert options.models == ["dla34", "resnet18d"]
    assert (options.data, options.image_size, options.fraction, options.seeds) == ("digits", None, [1.0, 0.1], 3)
    assert (options.pretrained, options.scratch) == (True, False)
    assert options.weights == [("dla34", str(Path("w.pt").resolve()))]
    assert options.budget == {"energy_kwh": 0.5, "time_s": 60.0}
    assert options.lr == 0.01
    assert settings_of(options).image_size is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("modles: paper", "there is no option 'modles'; expected some of accelerator, append"),
        ("epochs: many", "invalid int value: 'many'"),
        ("optimizer: lion", "invalid choice: 'lion'"),
        ("- paper", "expected a mapping of options"),
        ("a: [", "it is not YAML"),
    ],
)
def test_what_is_wrong_in_yaml_is_named(
    text: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text, encoding="utf-8")
    assert expected in refused(capsys, "--config", str(file))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--image-size", "big"], "'big'; expected a number of pixels, or auto"),
        (["--fraction", "2"], "expected shares in (0, 1]"),
        (["--fraction", "a"], "expected shares in (0, 1]"),
        (["--weights", "file.pt"], "expected NAME=FILE"),
        (["--budget", "energie_kwh=1"], "Did you mean 'energy"),
        (["--budget", "energy_kwh"], "energy_kwh"),
        (["--budget", "memory_gb=1"], "expected a positive amount of energy_kwh, carbon_g, time_s, data_samples"),
        (["--budget", "energy_kwh=-1"], "expected a positive amount"),
        (["--shard", "4/4"], "expected I/N with I from 0 to N-1"),
        (["--engine", "slurm"], "invalid choice"),
    ],
)
def test_mistakes(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="--models is missing; expected for example --models paper"):
        check_options(parse([]))
    with pytest.raises(ValueError, match="--out is missing"):
        check_options(parse(["--models", "paper", "--data", "lidc"]))


def test_a_data_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"--data is 'nodules'.*expected lidc, digits, medmnist:NAME"):
        settings_of(parse(["--data", "nodules"]))
    assert settings_of(parse(["--data", str(tmp_path)])).data == str(tmp_path.resolve())


def test_no_models_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "models.txt").write_text("# none yet\n", encoding="utf-8")
    words = ["--models", f"@{tmp_path}/models.txt", "--data", "digits", "--out", str(tmp_path / "runs")]
    assert main(["study", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("lightning-pepr: --models names no model")
    assert error.count("\n") == 1
