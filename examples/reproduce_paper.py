"""The scores, tables, tests and figures of the PePR paper, from a table in its columns, and what the audit finds in it.

    python examples/reproduce_paper.py results.csv --out paper

The paper's table, results of 131 architectures in eight settings, is in https://github.com/saintslab/PePR. Needs
`[cli]` and `[report]`. The paper's figure 1, publications of world regions, is of other data.
"""

import argparse
from pathlib import Path

import polars as pl
from scipy import stats

from lightning_pepr import figures, rank
from lightning_pepr.auditing import drop_rejected
from lightning_pepr.figures.style import PrintFigure

# For each setting with all training data, its name with 10 % of them. All start from pretrained weights.
SIZES = {"derma_pt": "derma_small", "lidc": "lidc_small", "pneumonia": "pneumonia_small"}
PRETRAINED, FROM_SCRATCH = "derma_pt", "derma"
SCORES = [name for letter in "ectm" for name in (f"r_{letter}", f"pepr_{letter}")]

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("table", type=Path, help="a CSV in the paper's columns, dataset among them")
parser.add_argument("--out", type=Path, default=Path("paper"), help="where figures and scores go (%(default)s)")
arguments = parser.parse_args()


# 1. Every R and PePR: each setting is a model space of its own, from its cheapest model to its most expensive.

try:
    ranking = rank(arguments.table, group="dataset")
    designs = pl.read_csv(arguments.table, columns=["model", "type", "efficient"]).unique("model")
except (FileNotFoundError, ValueError, pl.exceptions.PolarsError) as error:
    parser.error(str(error))
settings = ranking["group"].unique().sort().to_list()
missing = {PRETRAINED, FROM_SCRATCH, *SIZES, *SIZES.values()} - set(settings)
if missing:
    parser.error(f"{arguments.table} has no setting {', '.join(sorted(missing))}; it has {', '.join(settings)}")

designs = designs.with_columns(
    design=pl.when(pl.col("efficient") == 1).then(pl.lit("efficient")).otherwise(pl.lit("other"))
)
ranking = ranking.join(designs, on="model", how="left", maintain_order="left")
arguments.out.mkdir(parents=True, exist_ok=True)
ranking.select("group", "model", "type", "efficient", "performance", "params", *SCORES).write_csv(
    arguments.out / "scores.csv"
)
print(f"{len(ranking)} runs of {ranking['model'].n_unique()} models in {len(settings)} settings")


# 2. In each setting the five best by PePR-E, and the best by P; of equals in P the one with the better PePR-E.

line = "{:2} {:28} {:5} {:>9} {:>8} {:>8} {:>9} {:>8} {:>7} {:>7}"
for setting in settings:
    runs = ranking.filter(group=setting)
    print(f"\n{setting}: the five best by PePR-E, and the best by P")
    print(line.format("", "model", "type", "efficient", "params", "memory", "energy", "time", "P", "PePR-E"))
    best = runs.sort("performance", descending=True, maintain_order=True).head(1)
    for row in pl.concat([runs.head(5), best]).iter_rows(named=True):
        print(
            line.format(
                row["rank"],
                row["model"],
                row["type"],
                "yes" if row["efficient"] else "no",
                f"{row['params'] / 1e6:.1f} M",
                f"{row['memory_gb']:.1f} GB",
                f"{row['energy_kwh'] * 1e3:.1f} Wh",
                f"{row['time_s']:.0f} s",
                f"{row['performance']:.4f}",
                f"{row['pepr_e']:.4f}",
            )
        )


# 3. Does pretraining help, and how much do more training data?
#
# The paper takes the two sets of models for independent samples (Student's t with equal variances). They are the same
# models, so the test for pairs is the one that fits; both are printed. The models are no random sample of all models.


def compare(words: str, one: pl.Series, two: pl.Series) -> str:
    """Print both tests, and give the paper's in a few words."""
    print(f"\n{words}: mean {one.mean():.4f} against {two.mean():.4f}, difference {one.mean() - two.mean():+.4f}")
    tests = {"independent": stats.ttest_ind(one, two), "paired": stats.ttest_rel(one, two)}
    for name, test in tests.items():
        low, high = test.confidence_interval(0.95)
        print(
            f"  {name:12} t = {test.statistic:.3f}, df = {test.df:.0f}, p = {test.pvalue:.2g}, "
            f"95 % interval of the difference {low:+.4f} to {high:+.4f}"
        )
    test = tests["independent"]
    return f"t({test.df:.0f}) = {test.statistic:.2f}, p = {test.pvalue:.1g}"


def performance(*groups: str) -> pl.Series:
    """P of each model, its mean over settings, in the order of the models' names."""
    runs = ranking.filter(pl.col("group").is_in(groups))
    return runs.group_by("model").agg(pl.col("performance").mean()).sort("model")["performance"]


pretraining = {"with": performance(PRETRAINED), "without": performance(FROM_SCRATCH)}
size = {"100 %": performance(*SIZES), "10 %": performance(*SIZES.values())}
on_pretraining = compare(f"With pretraining ({PRETRAINED}) against without ({FROM_SCRATCH})", *pretraining.values())
on_size = compare(f"All training data ({', '.join(SIZES)}) against 10 % of them", *size.values())


# 4. What the audit rejects, and what changes in the ranking by PePR-E when these rows go.

# A check that needs no audit: the power of one board differs little between models, so that PePR-E and PePR-T, whose
# times were measured apart, should put the models of a setting in nearly the same order.

clean = rank(drop_rejected(arguments.table, group="dataset"), group="dataset")
print(f"\nThe audit rejects {len(ranking) - len(clean)} of {len(ranking)} runs. What changes without them:")
line = "{:16} {:>7} {:>4}  {:>8} {:>7}  {:>7} {:>8} {:>7}  {:>5} {:>5}  {:>5} {:>5}  {:17} {:17} {}"
print("(changed, Spearman, Kendall: of the ranks of those left; E~T, N~E: Spearman's of PePR-E with PePR-T and with")
print("parameters; was / is: the place that the first one then had, and that which the first one has then)")
heads = ("", "dropped", "left", "high/kWh", "then", "changed", "Spearman", "Kendall", "E~T", "then", "N~E", "then")
print(line.format(*heads, "first", "first then", "was / is"))
for setting in settings:
    before, after = ranking.filter(group=setting), clean.filter(group=setting)
    left = before.join(after, on="model", suffix="_then", maintain_order="right")
    places = left.select(pl.col("pepr_e", "pepr_e_then").rank("min", descending=True))
    first = before["model"][0]
    print(
        line.format(
            setting,
            len(before) - len(after),
            len(after),
            f"{before['energy_kwh'].max():.4g}",
            f"{after['energy_kwh'].max():.4g}",
            int((places["pepr_e"] != places["pepr_e_then"]).sum()),
            f"{stats.spearmanr(left['pepr_e'], left['pepr_e_then']).statistic:.3f}",
            f"{stats.kendalltau(left['pepr_e'], left['pepr_e_then']).statistic:.3f}",
            f"{stats.spearmanr(before['pepr_e'], before['pepr_t']).statistic:.3f}",
            f"{stats.spearmanr(after['pepr_e'], after['pepr_t']).statistic:.3f}",
            f"{stats.spearmanr(before['params'], before['pepr_e']).statistic:.2f}",
            f"{stats.spearmanr(after['params'], after['pepr_e']).statistic:.2f}",
            first,
            after["model"][0],
            # The place that the new first one had, and the one that the old first one has now.
            f"{left['rank'][0]} / {after.filter(model=first)['rank'][0] if first in after['model'] else 'dropped'}",
        )
    )


# 5. How performance, score and energy go with the parameters, and the figures.


def violins(title: str, groups: dict[str, pl.Series], words: str) -> PrintFigure:
    """Draw how P is spread in groups, with its quartiles, and what a test of the groups gave."""
    figure = PrintFigure("column", 2.4)
    axes = figure.add_subplot()
    axes.violinplot([*groups.values()], quantiles=[[0.25, 0.5, 0.75]] * len(groups), showextrema=False)
    axes.set_xticks(range(1, len(groups) + 1), [f"{name}\nn = {len(values)}" for name, values in groups.items()])
    axes.set_ylabel("Performance P")
    axes.set_title(f"{title}\n{words}", fontsize=8)
    return figure


print()

over_settings = ranking.group_by("model").agg(
    pl.col("type", "design", "params").first(),
    pl.col("performance", "energy_kwh", *SCORES).mean(),
)
for name in ("performance", "pepr_e", "energy_kwh"):
    rho = stats.spearmanr(over_settings["params"], over_settings[name]).statistic
    print(f"Spearman's of parameters and mean {name} over the settings: {rho:.2f}")
drawn = {
    "profile": figures.score_profile(None, width="column"),
    "energy": figures.against_parameters(
        over_settings,
        ["energy_kwh"],
        color_by="design",
        title="Energy, mean of the settings",
        width="column",
    ),
    "performance_and_pepr_e": figures.against_parameters(
        over_settings, ["performance", "pepr_e"], color_by="design", title="Means over the settings"
    ),
    "pepr_c_m_t": figures.against_parameters(
        over_settings, ["pepr_c", "pepr_m", "pepr_t"], color_by="design", title="Means over the settings"
    ),
    "pretraining": violins("Pretraining, on DermaMNIST", pretraining, on_pretraining),
    "training_size": violins("Training data, mean of three sets", size, on_size),
}
for setting in settings:
    drawn[f"profile_{setting}"] = figures.score_profile(ranking.filter(group=setting), color_by="type", title=setting)
for name, figure in drawn.items():
    figures.save_figure(figure, arguments.out / f"{name}.pdf")
print(f"\n{len(drawn)} figures and scores.csv are in {arguments.out}")
