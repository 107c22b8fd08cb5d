"""What README, docs and examples show a reader works as shown."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.paths import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARKDOWN = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, *languages: str) -> list[tuple[int, str]]:
    """The fenced blocks of a page, with the line at which their text begins."""
    text = page.read_text(encoding="utf-8")
    return [
        (text[: match.start(3)].count("\n"), textwrap.dedent(match[3]))
        for match in FENCE.finditer(text)
        if match[2] in languages
    ]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the records of three runs, as somebody has it who has trained before."""
    from lightning_pepr.cost import Cost
    from lightning_pepr.record import CostEntry, Epoch, RunRecord, Stage

    for index, model in enumerate(("small", "medium", "large"), start=1):
        cost = Cost(energy_kwh=0.1 * index, time_s=60.0 * index, params=1e6 * index)
        run = RunRecord(model, params=10**6 * index, monitor="val_acc", status="finished")
        run.costs = {resource.field: CostEntry(amount, 0.0, "counter") for resource, amount in cost.items()}
        run.stages = {"train": Stage(index * 3 * 10**11, 10**10), "validate": Stage(index * 6 * 10**10, 10**9)}
        run.epochs = [Epoch(0, 9, 0.8, cost), Epoch(1, 19, 0.8 + 0.04 * index, cost)]
        run.save(tmp_path / "runs" / model / "pepr.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def an_existing_project() -> dict[str, Any]:
    """What the pages call your model, which logs "val_acc", its class, and your data."""
    import torch
    from lightning.pytorch import LightningDataModule, LightningModule
    from torch.utils.data import DataLoader, TensorDataset

    class Model(LightningModule):
        def __init__(self, lr: float = 0.1) -> None:
            super().__init__()
            self.layer, self.lr = torch.nn.Linear(4, 2), lr

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_acc", (self.layer(batch[0]).argmax(1) == batch[1]).float().mean())

        def test_step(self, batch: Any, batch_idx: int) -> None:
            self.log("test_acc", (self.layer(batch[0]).argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    class Data(LightningDataModule):
        def loader(self) -> DataLoader[Any]:
            inputs = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
            return DataLoader(TensorDataset(inputs, (inputs[:, 0] > 0).long()), batch_size=16)

        train_dataloader = val_dataloader = test_dataloader = loader

    return {"model": Model(), "datamodule": Data(), "Model": Model, "Data": Data}


PYTHON_PAGES = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=name)
def test_python_blocks_run_one_after_the_other(
    page: Path,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import lightning.pytorch as lightning

    class Trainer(lightning.Trainer):
        """On the CPU, and for an epoch or two, whatever the page says."""

        def __init__(self, **options: Any) -> None:
            options |= {"accelerator": "cpu", "max_epochs": 2, "enable_progress_bar": False, "log_every_n_steps": 1}
            super().__init__(**options)

    monkeypatch.setattr(lightning, "Trainer", Trainer)
    namespace: dict[str, Any] = {"__name__": "__main__", **an_existing_project()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for line, code in blocks(page, "python"):
            # Empty lines in front, so that a traceback shows the line of the page.
            exec(compile("\n" * line + code, str(page), "exec"), namespace)


def test_readme_example_scores_an_existing_project(project: Path) -> None:
    """The first block is the one that people paste: the score is in the logs, and the record beside them."""
    _, code = blocks(ROOT / "README.md", "python")[0]
    # With a budget that the epochs come near, so that it is the score that stops it.
    code = code.replace("energy_kwh=0.1", "energy_kwh=1e-7").replace("Trainer(", 'Trainer(accelerator="cpu",', 1)
    assert "energy_kwh=1e-7" in code
    assert 'Trainer(accelerator="cpu"' in code
    namespace = an_existing_project()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(code, "README.md", "exec"), namespace)
    trainer = namespace["trainer"]
    (path,) = project.glob("lightning_logs/*/pepr.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["status"] == "finished"
    assert 0 < trainer.current_epoch < trainer.max_epochs == 100
    scores = [epoch["scores"]["pepr_e"] for epoch in record["epochs"]]
    assert all(0 <= score <= epoch["performance"] for score, epoch in zip(scores, record["epochs"], strict=True))
    assert max(scores) == max(scores[:-3])  # three epochs without a better one have ended it


PAGES_WITH_COMMANDS = [page for page in PAGES if any("lightning-pepr " in block for _, block in blocks(page, "bash"))]


@pytest.mark.parametrize("page", PAGES_WITH_COMMANDS, ids=name)
def test_command_lines_are_understood(
    page: Path,
    project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Those that rank are run; of the others, the command and its options are looked up in the help."""
    from lightning_pepr import ModelSpace
    from lightning_pepr.cli import main

    (project / "lightning_logs").symlink_to(project / "runs")
    (project / "results.csv").write_text("dataset,model,performance,energy_kwh,time_s\na,x,0.8,1,10\na,y,0.9,2,30\n")
    ModelSpace.budget(energy_kwh=0.5, time_s=600).save(project / "space.json")
    lines = [line.split("#")[0] for _, block in blocks(page, "bash") for line in block.splitlines()]
    for command, *arguments in [line.split()[1:] for line in lines if line.startswith("lightning-pepr ")]:
        if command == "rank":
            assert main([command, *arguments]) == 0, capsys.readouterr().err
            continue
        with pytest.raises(SystemExit, match="0"):
            main([command, "--help"])
        text = capsys.readouterr().out
        for option in (argument for argument in arguments if argument.startswith("-")):
            assert option in text


PAGES_WITH_CONFIGURATIONS = [page for page in PAGES if any("class_path" in block for _, block in blocks(page, "yaml"))]


@pytest.mark.parametrize("page", PAGES_WITH_CONFIGURATIONS, ids=name)
def test_configurations_are_trained(page: Path, project: Path) -> None:
    from lightning.pytorch.cli import LightningCLI

    from lightning_pepr import ModelSpace

    ModelSpace.budget(energy_kwh=0.5).save(project / "space.json")
    app = an_existing_project()
    quick = ["--trainer.max_epochs=2", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    configurations = [block for _, block in blocks(page, "yaml") if "class_path" in block]
    for configuration in configurations:
        (project / "config.yaml").write_text(configuration)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            LightningCLI(app["Model"], app["Data"], args=["fit", "--config", "config.yaml", *quick])
    records = [json.loads(path.read_text()) for path in project.glob("lightning_logs/*/pepr.json")]
    assert len(records) == len(configurations)
    assert all(record["epochs"][-1]["scores"] for record in records)


def anchor(heading: str) -> str:
    """What GitHub and mkdocs make of a heading."""
    plain = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


@pytest.mark.parametrize("page", MARKDOWN, ids=name)
def test_links_within_the_repository_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for target in targets:
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_relative_to(ROOT), f"{name(page)}: {target} leads out of the repository"
        assert file.exists(), f"{name(page)}: {target} does not exist"
        if fragment and file.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert fragment in map(anchor, headings), f"{name(page)}: {target} has no such heading"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert str(page.relative_to(ROOT / "docs")) in navigation


def test_every_public_name_has_a_reference() -> None:
    import lightning_pepr

    reference = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
    directives = re.findall(r"^::: ([\w.]+)$", reference, flags=re.MULTILINE)
    documented = {directive.rpartition(".")[2] for directive in directives}
    assert set(lightning_pepr.__all__) - documented == set()


def test_the_record_is_described_field_by_field() -> None:
    from lightning_pepr.record import RunRecord

    table = (ROOT / "docs" / "callback.md").read_text(encoding="utf-8").partition("## The record")[2]
    described = set(re.findall(r"`(\w+)`", table))
    assert set(RunRecord("model").to_dict()) - described == set()


def test_citation_names_package_and_paper() -> None:
    import yaml

    import lightning_pepr

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == lightning_pepr.__version__
    paper = citation["references"][0]
    assert paper["title"] in (ROOT / "README.md").read_text(encoding="utf-8").replace("{", "").replace("}", "")
    assert [author["family-names"] for author in paper["authors"]] == ["Selvan", "Pepin", "Igel", "Samuel", "Dam"]


TAKES_A_TABLE = {ROOT / "examples" / "reproduce_paper.py"}  # test_reproduce_paper.py gives it one
TAKES_LONG = {ROOT / "examples" / "pretrained_offline.py"}  # study/test_pretrained_offline.py makes it shorter
TAKES_MONAI = {ROOT / "examples" / "monai_segmentation.py"}  # test_monai_segmentation.py runs it


@pytest.mark.slow
@pytest.mark.parametrize(
    "example", sorted(set((ROOT / "examples").glob("*.py")) - TAKES_A_TABLE - TAKES_LONG - TAKES_MONAI), ids=name
)
def test_examples_run_from_top_to_bottom(example: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(example)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
