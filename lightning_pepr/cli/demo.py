"""`lightning-pepr demo`: train, meter and rank some models, and say where everything is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lightning_pepr.utilities.text import say


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lightning-pepr demo`."""
    parser.add_argument("--out", type=Path, default=Path("pepr-demo"), metavar="DIR", help="where to (%(default)s)")


def run(options: argparse.Namespace) -> int:
    """Train the models of the demo and print their ranking; returns the exit status 0."""
    from lightning_pepr.study.demo import FIGURE, demo

    out: Path = options.out
    print_demo(demo(out))
    say(f"The figure            {out / FIGURE}")
    say(f"Records               {out}/*/version_*/pepr.json")
    say(f"TensorBoard           tensorboard --logdir {out}")
    say(f"CSV logs              {out}/*/version_*/metrics.csv")
    say(f"Rank them again       lightning-pepr rank {out}")
    say(f"A page of them        lightning-pepr report {out} -o {out / 'report.html'}")
    return 0


def print_demo(runs: Sequence[Path]) -> None:
    """Print the ranking of the demo's runs, the model to take, and what the figures mean."""
    import polars as pl

    from lightning_pepr.ranking import rank
    from lightning_pepr.record import RunRecord
    from lightning_pepr.report.table import print_ranking, recommend
    from lightning_pepr.runs.load import load_runs
    from lightning_pepr.study.demo import CARBON_INTENSITY

    table = load_runs(list(runs))
    metered = table["energy_kwh"].null_count() == 0
    ranking = rank(table, by="energy" if metered else "time")
    print_ranking(ranking, performance="test AUROC")
    if metered:
        # Chosen on validation data: the test data show how good the choice was.
        say(recommend(ranking, rank(table.with_columns(performance=pl.col("val_performance")))))
        energies = [RunRecord.load(folder).costs["energy_kwh"] for folder in runs]
        worst = max((e.error / e.value for e in energies if e.value and e.error is not None), default=0.0)
        say(
            f"Energy is {' and '.join(sorted(set(ranking['quality'].drop_nulls())))}, ±{worst:.0%}; "
            f"carbon is that at {CARBON_INTENSITY:g} g CO2e per kWh. R is normalised over these {len(table)} runs."
        )
    else:
        say(
            f"Energy could not be measured here (`lightning-pepr doctor` says why), so time ranks the models. R is "
            f"normalised over these {len(table)} runs."
        )
    say("The models see outlines that radiologists drew, whose area alone tells much: they are no diagnostic models.\n")
