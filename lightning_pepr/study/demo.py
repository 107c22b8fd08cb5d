"""The demo: some of the paper's architectures on the nodule outlines, trained, metered, and drawn."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_pepr.cost import ENERGY, TIME
from lightning_pepr.record import RunRecord
from lightning_pepr.study.progress import StudyProgress
from lightning_pepr.study.runs import Model, Run
from lightning_pepr.study.settings import Settings
from lightning_pepr.study.words import outcome
from lightning_pepr.utilities.imports import is_installed

if TYPE_CHECKING:
    from lightning_pepr.study.data.images import ImageData

DEMO_MODELS: Mapping[str, float] = {
    "dla46_c": 6.6,
    "mobilevitv2_050": 8.4,
    "pvt_v2_b0": 8.8,
    "convnext_atto": 8.7,
    "ghostnet_100": 9.5,
    "ese_vovnet19b_dw": 13.5,
    "resnet18d": 17.0,
}
"""Seven of the paper's architectures, of seven families, from 1 to 12 million parameters; for each the CPU seconds of
an epoch on one core, from which the time left is computed."""

IMAGE_SIZE = 32
CARBON_INTENSITY = 151.0
"""In g CO2e per kWh: Denmark's grid, as in the paper. It is the same for all models, so PePR-C equals PePR-E."""

FIGURE = "pepr.png"


def demo(
    out: Path,
    *,
    models: Sequence[str] = tuple(DEMO_MODELS),
    epochs: int = 2,
    data: ImageData | None = None,
    accelerator: str = "auto",
) -> list[Path]:
    """Train models on the nodule outlines one after the other, and draw what they reached against what it cost.

    Returns the folders of the finished runs. Ctrl-C ends the demo early and keeps the models that are finished.
    """
    needed = ("matplotlib", "PIL", "polars", "pylidc", "rich", "tensorboard", "timm")
    missing = [name for name in needed if not is_installed(name)]
    if missing:
        raise ModuleNotFoundError(
            f"the demo needs {', '.join(missing)}: pip install 'lightning-pepr[all]'", name=missing[0]
        )
    # Threads that wait for each other should sleep: on small images and a busy machine, spinning made training five
    # times as slow, and an energy that is estimated from CPU time larger. Has an effect only before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    settings = Settings("lidc", IMAGE_SIZE, epochs, 64, accelerator=accelerator, carbon_intensity=CARBON_INTENSITY)
    finished: list[Path] = []
    with StudyProgress(models, [DEMO_MODELS.get(name, 10.0) for name in models]) as progress:
        try:
            from lightning_pepr.study.data.nodules import NoduleData
            from lightning_pepr.study.training import train

            data = data or NoduleData(IMAGE_SIZE, settings.batch_size)
            data.prepare_data()  # now, so that drawing is not counted as a cost of the first model
            data.setup("fit")
            for number, name in enumerate(models):
                progress.begin(number)
                run = Run(settings, Model(name, name, IMAGE_SIZE))
                finished.append(train(run, data, out, on_progress=progress.update))
                progress.say(outcome(name, RunRecord.load(finished[-1])))
        except KeyboardInterrupt:
            if not finished:
                raise
            progress.say(f"Stopped; {len(finished)} of {len(models)} models are finished and kept.")
    draw(finished, out / FIGURE)
    return finished


def draw(runs: Sequence[Path], path: Path) -> None:
    """Draw test AUROC against R for runs of the demo; best performance and best PePR are those on validation data."""
    import polars as pl

    from lightning_pepr.figures import save_score_profile
    from lightning_pepr.ranking import rank
    from lightning_pepr.runs.load import load_runs
    from lightning_pepr.space import ModelSpace

    table = load_runs(list(runs))
    by = ENERGY if table[ENERGY.field].count() else TIME  # where nothing meters energy, time is still known
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="low and high of .* are equal")  # Ctrl-C after the first model
        ranking = rank(table, by=by)
        chosen = rank(table.with_columns(performance=pl.col("val_performance")), by=by)
    save_score_profile(
        ranking,
        path,
        by,
        space=ModelSpace.from_runs(table),
        best=chosen.sort("performance", descending=True, maintain_order=True)["model"][0],
        pick=chosen["model"][0],
        chosen_on="validation",
        performance_label="Test AUROC",
        title=f"Lung nodule outlines: {len(ranking)} models trained from scratch",
    )
