"""Data that do not change, and each kind of figure drawn of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from lightning_pepr import Cost, ModelSpace, pepr_curve
from lightning_pepr.figures import against_parameters, cost_by_stage, forecast_intervals, pepr_curves, score_profile
from lightning_pepr.figures.style import Width
from lightning_pepr.record import Epoch, RunRecord, Stage

BASELINE = Path(__file__).parent / "baseline"


DPI = 60


FONT: Any = {"font.family": "DejaVu Sans", "text.hinting": "none"}  # it comes with matplotlib


EIGHT: dict[str, list[Any]] = {
    "model": [
        "dla46_c",
        "mobilenetv2_050",
        "pvt_v2_b0",
        "convnext_atto",
        "mobilevitv2_050",
        "ghostnet_100",
        "resnet18d",
        "dla34",
    ],
    "performance": [0.796, 0.744, 0.862, 0.860, 0.840, 0.82, 0.845, 0.852],
    "r_e": [0.41, 0.0, 0.45, 0.2, 0.35, 0.62, 0.5, 1.0],
    "params": [1.0e6, 0.7e6, 3.4e6, 3.4e6, 1.1e6, 3.9e6, 11.2e6, 15.2e6],
}


SPACE = ModelSpace({"energy_kwh": (0.00012, 0.00055)})


LONG = "A title that is a good deal longer than a column of a page of two columns is wide, and so has to be broken"


def crowd(n: int = 131, highest: float = 1.0) -> dict[str, list[Any]]:
    rng = np.random.default_rng(0)
    r = rng.beta(1, 6, n)
    return {
        "model": [f"a_rather_long_model_name_{i}" for i in range(n)],
        "performance": list(rng.uniform(0.55, 0.88, n)),
        "r_e": list(r / r.max() * highest),
        "params": list(10 ** rng.uniform(6, 8.1, n)),
    }


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_visible() and text.get_text()]


def with_errors() -> dict[str, list[Any]]:
    """The eight with an energy, its error, and the samples of P."""
    energy = [0.00012 + 0.00043 * r for r in EIGHT["r_e"]]
    error = [0.05 * kwh for kwh in energy]
    kinds = ["CNN", "CNN", "Transformer", "CNN", "Hybrid", "CNN", "CNN", None]
    return {**EIGHT, "energy_kwh": energy, "energy_kwh_error": error, "samples": [400] * 8, "type": kinds}


CURVES = {
    name: pepr_curve(p, kwh, ModelSpace.budget(energy_kwh=0.2))
    for name, p, kwh in [
        ("convnext_atto", [0.5, 0.6, 0.7, 0.72, 0.75, 0.76], [0.02, 0.04, 0.06, 0.08, 0.1, 0.12]),
        ("resnet18d", [0.6, 0.75, 0.78, 0.79, 0.8, 0.81], [0.03, 0.07, 0.1, 0.15, 0.2, 0.26]),
        (
            "a_model_whose_name_is_long_indeed_" * 2,
            [0.2, 0.3, 0.5, 0.6, 0.7, 0.71],
            [0.01, 0.03, 0.05, 0.07, 0.09, 0.1],
        ),
    ]
}


SPENT = [float(kwh) for kwh in np.cumsum([0.018, *(0.01 + 0.0005 * math.sin(7.0 * n) for n in range(19))])]


def records() -> list[RunRecord]:
    """Three runs with stages and epochs, and one whose energy was not measured."""
    space = ModelSpace.budget(energy_kwh=0.2)
    runs = []
    for name, wh in (("convnext_atto", 30), ("resnet18d", 50), ("resnet18d", 90)):
        run = RunRecord(name, monitor="val_acc", space=space.to_dict(), carbon={"g_per_kwh": 150.0, "pue": 1.2})
        shares = {"train": 0.75, "validate": 0.2, "other": 0.05, "test": 0.1}
        run.stages = {stage: Stage(round(wh * share * 3.6e9), round(6e10 * share)) for stage, share in shares.items()}
        run.epochs = [Epoch(n, n, 0.5 + 0.04 * n, Cost(energy_kwh=wh * (n + 1) / 8000)) for n in range(8)]
        runs.append(run)
    runs.append(RunRecord("unmetered", stages={"train": Stage(None, 10**10)}))
    return runs


def the_pictures() -> dict[str, Callable[[Width], Figure]]:
    """Each kind of figure, of data that do not change."""
    crowded = crowd() | {"type": ["CNN" if i % 3 else "Other" for i in range(131)]}
    crowded |= {"pepr_e": [p / (1 + r) for p, r in zip(crowded["performance"], crowded["r_e"], strict=True)]}
    crowded |= {"energy_kwh": [0.001 + 0.2 * r for r in crowded["r_e"]]}
    return {
        "profile": lambda width: score_profile(EIGHT, space=SPACE, title=LONG, width=width),
        "profile-errors": lambda width: score_profile(with_errors(), color_by="type", width=width),
        "profile-crowd": lambda width: score_profile(crowded, color_by="type", title=LONG, width=width),
        "profile-lines": lambda width: score_profile(None, width=width),
        "parameters": lambda width: against_parameters(crowded, color_by="type", title=LONG, width=width),
        "parameters-cost": lambda width: against_parameters(crowded, ["energy_kwh"], width=width),
        "curves": lambda width: pepr_curves(CURVES, title=LONG, width=width),
        "stages": lambda width: cost_by_stage(records(), title=LONG, width=width),
        "intervals": lambda width: forecast_intervals(SPENT, 30, title=LONG, width=width),
    }


PICTURES = the_pictures()


def draw_for_comparison(picture: str, path: Path) -> None:
    with matplotlib.rc_context(FONT):
        PICTURES[picture]("page" if picture.startswith("profile") else "column").savefig(path, dpi=DPI)


def renderer_of(figure: Figure) -> Any:
    canvas: Any = figure.canvas
    return canvas.get_renderer()


def axes_of(figure: Figure) -> list[Any]:
    """The axes; matplotlib's own types know their lines and collections as bases only."""
    return list(figure.axes)
