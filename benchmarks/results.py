"""What do the records of a study say? `python -m benchmarks.results FOLDER [--figures DIR]`, as Markdown.

A table of all runs; how performance, energy and score go with the number of parameters; and where there are several
seeds, means with 95 % intervals. Intervals of correlations are bootstrapped over models, not runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl
from scipy import stats

from benchmarks.table import table
from lightning_pepr import ModelSpace, RunRecord, pepr, rank
from lightning_pepr.paper.architectures import architectures

RESAMPLES = 2000


def runs_in(folder: Path) -> tuple[pl.DataFrame, list[RunRecord]]:
    """The finished runs, ranked within their group, with what a study records of each; and all others."""
    ranked = rank(folder, group="group")
    records = {record.run_id: record for record in map(RunRecord.load, folder.rglob("pepr.json"))}
    known = architectures()
    extra = []
    for run_id in ranked["run_id"]:
        record = records[run_id]
        settings, architecture = record.settings, known.get(record.model)
        extra.append(
            {
                "run_id": run_id,
                "px": settings["model"]["image_size"],
                "seed": settings["seed"],
                "full_params": architecture.params if architecture else record.params,
                "type": architecture.kind if architecture else None,
                "efficient": architecture.efficient if architecture else None,
            }
        )
    table = ranked.join(pl.DataFrame(extra), on="run_id").filter(pl.col("status") == "finished")
    return table, [record for record in records.values() if record.status != "finished"]


def all_runs(runs: pl.DataFrame) -> str:
    head = ["model", "type", "efficient", "parameters (M)", "px", "test AUROC", "energy (mWh)", "time (s)"]
    head += ["memory (GB)", "R_E", "PePR-E"]
    rows = [
        [
            run["model"],
            run["type"] or "",
            {True: "yes", False: "", None: ""}[run["efficient"]],
            f"{run['full_params'] / 1e6:.1f}",
            str(run["px"]),
            f"{run['performance']:.3f}",
            f"{run['energy_kwh'] * 1e6:.2f}" if run["energy_kwh"] is not None else "",
            f"{run['time_s']:.1f}",
            f"{run['memory_gb']:.2f}",
            f"{run['r_e']:.3f}" if run["r_e"] is not None else "",
            f"{run['pepr_e']:.3f}" if run["pepr_e"] is not None else "",
        ]
        for run in runs.sort("full_params", "model").iter_rows(named=True)
    ]
    return table(head, rows)


def spearman(x: np.ndarray, y: np.ndarray) -> str:
    """The rank correlation, with its 95 % interval over resampled models."""
    random = np.random.default_rng(0)
    value = stats.spearmanr(x, y).statistic
    resampled = []
    for _ in range(RESAMPLES):
        rows = random.integers(0, len(x), len(x))
        if len(set(y[rows])) > 1 and len(set(x[rows])) > 1:
            resampled.append(stats.spearmanr(x[rows], y[rows]).statistic)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"


def with_size(runs: pl.DataFrame) -> str:
    """How each quantity goes with the number of parameters, over the models of a group."""
    rows = []
    for (group,), of_group in runs.group_by("group", maintain_order=True):
        models = (
            of_group.group_by("model")
            .agg(pl.mean("full_params", "performance", "energy_kwh", "pepr_e", "px"))
            .sort("model")
        )
        for what, some in (("all", models), ("those at 32 px", models.filter(pl.col("px") == 32))):
            if len(some) < 5 or (what != "all" and len(some) == len(models)):
                continue
            some = in_own_space(some)
            size = some["full_params"].to_numpy()
            cells = [spearman(size, some[name].to_numpy()) for name in ("performance", "energy_kwh", "pepr_e")]
            rows.append([group, f"{what} ({len(some)})", *cells])
    return table(["group", "models", "size and AUROC", "size and energy", "size and PePR-E"], rows)


def in_own_space(models: pl.DataFrame) -> pl.DataFrame:
    """Score models over the energies of these models alone."""
    energy = models["energy_kwh"].to_numpy()
    space = ModelSpace({"energy_kwh": (float(energy.min()), float(energy.max()))})
    r = np.asarray(space.normalize(energy, "energy"))
    return models.with_columns(r_e=pl.Series(r), pepr_e=pl.Series(pepr(models["performance"].to_numpy(), r)))


def halves(runs: pl.DataFrame) -> str:
    """Small against large models, and efficient ones against the others: means, with 95 % intervals over models.

    Of the models at 32 px, scored over their own energies: what larger images cost would hide the rest.
    """
    runs = in_own_space(runs.filter(pl.col("px") == 32))
    models = runs.group_by("model").agg(
        pl.mean("full_params", "performance", "energy_kwh", "pepr_e"), pl.first("efficient"), pl.first("type")
    )
    median = float(np.median(models["full_params"].to_numpy()))
    kinds = {
        f"at most {median / 1e6:.1f} M parameters": pl.col("full_params") <= median,
        f"more than {median / 1e6:.1f} M parameters": pl.col("full_params") > median,
        "designed to be efficient": pl.col("efficient"),
        "not so": ~pl.col("efficient"),
        "CNN": pl.col("type") == "CNN",
        "Other": pl.col("type") == "Other",
    }
    rows = []
    for words, which in kinds.items():
        some = models.filter(which)
        rows.append(
            [
                words,
                str(len(some)),
                *(mean(some[name]) for name in ("performance", "pepr_e")),
                mean(some["energy_kwh"] * 1e6, 2),
            ]
        )
    return table(["models at 32 px", "how many", "test AUROC", "PePR-E", "energy (mWh)"], rows)


def mean(values: pl.Series, digits: int = 3) -> str:
    """The mean, and how far its 95 % interval reaches to each side, by Student's t."""
    known = values.drop_nulls().to_numpy()
    if len(known) < 2:
        return f"{known.mean():.{digits}f}" if len(known) else ""
    reach = stats.t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / len(known) ** 0.5
    return f"{known.mean():.{digits}f} ± {reach:.{digits}f}"


def by_seed(runs: pl.DataFrame) -> str:
    """Each model of each group: means over seeds."""
    rows = []
    for (group, model), some in runs.sort("full_params").group_by("group", "model", maintain_order=True):
        size = f"{some['full_params'][0] / 1e6:.1f}"
        cells = [mean(some["performance"]), mean(some["energy_kwh"] * 1e6, 1), mean(some["pepr_e"])]
        rows.append([group, model, size, str(len(some)), *cells])
    return table(["group", "model", "parameters (M)", "seeds", "test AUROC", "energy (mWh)", "PePR-E"], sorted(rows))


def draw(runs: pl.DataFrame, folder: Path, title: str) -> None:
    from lightning_pepr.figures import against_parameters, save_figure, score_profile

    drawn = runs.with_columns(params=pl.col("full_params"))
    if drawn["px"].n_unique() > 1:  # what larger images cost would hide the rest
        drawn = in_own_space(drawn.filter(pl.col("px") == 32))
        title = ", ".join(filter(None, (title, "models that take 32 px")))
    drawn = drawn.drop("pepr_e_low", "pepr_e_high")
    save_figure(against_parameters(drawn, color_by="type", title=title), folder / "parameters.png")
    save_figure(
        score_profile(drawn, color_by="type", performance_label="Test AUROC", title=title), folder / "profile.png"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--figures", type=Path, metavar="DIR", help="draw parameters.png and profile.png there")
    parser.add_argument("--title", default="", help="of the figures")
    chosen = parser.parse_args()
    runs, others = runs_in(chosen.folder)
    print(f"{len(runs)} runs are finished, of {runs['model'].n_unique()} models; {len(others)} are not.\n")
    for record in others:
        print(f"- {record.model}: {record.status}: {record.error}")
    print(with_size(runs), "\n")
    if runs["efficient"].null_count() == 0 and runs["model"].n_unique() > 10:
        print(halves(runs), "\n")
    if runs["seed"].n_unique() > 1:
        print(by_seed(runs), "\n")
    else:
        print(all_runs(runs))
    if chosen.figures is not None:
        chosen.figures.mkdir(parents=True, exist_ok=True)
        draw(runs, chosen.figures, chosen.title)


if __name__ == "__main__":
    main()
