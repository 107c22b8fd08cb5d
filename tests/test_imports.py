"""What importing costs: nothing heavy is loaded before it is used."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import lightning_pepr
from tests.helpers.paths import ROOT

PUBLIC = {
    "Cost",
    "CostBudget",
    "ModelSpace",
    "PePR",
    "PePRCallback",
    "RunRecord",
    "audit",
    "load_runs",
    "normalize",
    "open_meter",
    "pareto_front",
    "pepr",
    "pepr_curve",
    "rank",
}

TORCH_SIDE = {"torch", "lightning", "pytorch_lightning", "torchmetrics", "timm", "torchvision"}
HEAVY = TORCH_SIDE | {
    "codecarbon",
    "jinja2",
    "matplotlib",
    "mlflow",
    "numpy",
    "pandas",
    "polars",
    "psutil",
    "pylidc",
    "pynvml",
    "ray",
    "rich",
    "scipy",
    "sklearn",
    "wandb",
}


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after a statement, beyond those it starts with."""
    code = (
        "import sys, json; before = set(sys.modules)\n"
        f"{statement}\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_package_imports_only_the_standard_library() -> None:
    """An allow-list: what is on none of the two lists must be put on one of them, knowingly."""
    new = modules_after("import lightning_pepr")
    allowed = set(sys.stdlib_module_names) | {"lightning_pepr"}
    assert new <= allowed, f"import lightning_pepr pulls in {sorted(new - allowed)}"
    assert not new & HEAVY


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("functional", HEAVY - {"numpy"}),
        ("cost", HEAVY),
        ("space", HEAVY - {"numpy"}),
        ("carbon", HEAVY),
        ("forecast", HEAVY - {"numpy"}),
        ("record", HEAVY - {"numpy", "psutil"}),
        ("meters", {"lightning", "pytorch_lightning", "torchmetrics", "pandas", "polars"}),
        ("runs", TORCH_SIDE | {"pandas", "matplotlib", "mlflow", "wandb"}),
        ("auditing", TORCH_SIDE | {"pandas", "matplotlib"}),
        ("report.data", TORCH_SIDE | {"pandas", "matplotlib", "jinja2", "mlflow", "wandb", "rich"}),
        ("report.page", TORCH_SIDE | {"pandas", "matplotlib", "jinja2", "mlflow", "wandb", "rich"}),
        ("report.notebook", HEAVY - {"numpy", "polars", "psutil"}),
        ("callbacks._summary", HEAVY - {"numpy"}),
        ("doctor", HEAVY - {"numpy", "psutil"}),
        ("ranking", TORCH_SIDE | {"pandas", "matplotlib"}),
        ("cli", TORCH_SIDE | {"pandas", "matplotlib"}),
        ("cli.study", HEAVY - {"numpy", "psutil"}),
        ("study.ray", HEAVY - {"numpy", "psutil"}),
        ("study.worker", HEAVY - {"numpy", "psutil"}),
        pytest.param(
            "metric",
            {"lightning", "pytorch_lightning", "timm", "pandas", "polars", "codecarbon", "pynvml"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_modules_keep_to_their_side(module: str, forbidden: set[str]) -> None:
    # torchmetrics itself imports some of these where they are installed; that is not ours to answer for.
    theirs = modules_after("import torchmetrics") if module == "metric" else set()
    pulled = modules_after(f"import lightning_pepr.{module}") & (forbidden - theirs)
    assert not pulled, f"import lightning_pepr.{module} pulls in {sorted(pulled)}"


def test_all_is_what_the_design_names_in_order() -> None:
    assert set(lightning_pepr.__all__) == PUBLIC
    assert lightning_pepr.__all__ == sorted(lightning_pepr.__all__)
    assert set(dir(lightning_pepr)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_is_there(name: str) -> None:
    value = getattr(lightning_pepr, name)
    assert value.__doc__
    assert value.__name__ == name


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"module 'lightning_pepr' has no attribute 'PEPR'"):
        lightning_pepr.PEPR
    assert not hasattr(lightning_pepr, "pepr_audit")
