"""How far a score may be off, and which ranks that leaves open."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from lightning_pepr.cost import CARBON, ENERGY, Resource
from lightning_pepr.runs.load import Runs
from lightning_pepr.utilities.statistics import CONFIDENCE, wilson

import polars as pl  # isort: skip, after sources, which says how to install it

NOT_REPLICATED = "not replicated"
NO_RUN = "baseline"
"""The `source` of the row of a baseline, which was metered on no board."""

Score: TypeAlias = Callable[[pl.Expr, pl.Expr], pl.Expr]
"""The score of a cost and a performance."""

_METERED = (ENERGY, CARBON)  # what has an error, and shares the gain of a board's sensor
_SPREAD = "_spread"


def check_errors(runs: Runs) -> None:
    """Refuse errors, gains and sample counts that cannot be.

    Raises:
        ValueError: If an error or a gain is negative, NaN or infinite, or a number of samples less than 1.
    """
    for name in [*(f"{resource.field}_error" for resource in _METERED), "gain", "samples", "val_samples"]:
        least, expected = (
            (1, "a number of samples, 1 or more") if name.endswith("samples") else (0, "a finite bound, 0 or more")
        )
        bad = ((runs[name] < least) | ~runs[name].is_finite()).fill_null(False)
        if bad.any():
            at = int(bad.arg_max() or 0)
            raise ValueError(
                f"{name} of {runs['model'][at]} is {runs[name][at]!r}; expected {expected}, or an empty cell where it "
                "is not known."
            )


def place_models(runs: Runs, resource: Resource, score: Score, within: list[str]) -> pl.DataFrame:
    """Give each model an interval for its score, and the ranks that the intervals leave open.

    The limits of a run's cost are hard; those of its performance hold in 95 % of cases. Its score is then, in at least
    95 %, between that of the worse performance at the dearer cost and that of the better one at the cheaper. The
    score of a model of several runs is their mean, and the limits are the means of the runs' limits. To the part
    of them that is due to the performance, the spread over the runs (Student's t) is added as independent errors are,
    by the root of the sum of squares: the runs share their test data, so that their number makes that part no smaller.

    The gain of a board's sensor multiplies all energies that it measured, which changes no order among them. So models
    whose runs are all on the same boards are compared without it, and others with it.

    Args:
        runs: Runs with the column `_model`, which tells models apart, and that of the resource's score.
        resource: By whose score to rank.
        score: How a score comes from a cost and a performance.
        within: The columns whose values are ranked apart.

    Returns:
        One row for each `_model` that has a score: `mean`, `low` and `high` of the score, `rank` (1 + the number of
        models whose intervals lie wholly above), `best` and `worst` (the first and the last place that the model can
        have if each score is anywhere in its interval; equals share the better place, so that `best` is `rank`), and
        `replication`, which says what the interval comes from.
    """
    known = runs.filter(pl.col(resource.score_key).is_not_null())
    ends = _ends(known, resource, score, within)
    runs_of = known.select("_model", *within, "boards", "samples", pl.col(resource.score_key).alias("mean"), **ends)
    repeated = known["_model"].n_unique() < len(known)
    models = _merge(runs_of, list(ends), within) if repeated else runs_of.with_columns(runs=1)
    models = models.with_columns(_student(models["runs"]) * (models[_SPREAD] if repeated else 0.0))
    apart = "_less_apart" in ends
    for suffix in ("", "_apart") if apart else ("",):
        less, least, more, most = (pl.col(f"_{name}{suffix}") for name in ("less", "least", "more", "most"))
        half = pl.col(_SPREAD)
        models = models.with_columns(
            pl.min_horizontal("mean", (less - (half**2 + (less - least) ** 2).sqrt()).clip(0.0)).alias(f"low{suffix}"),
            pl.max_horizontal("mean", (more + (half**2 + (most - more) ** 2).sqrt()).clip(0.0, 1.0)).alias(
                f"high{suffix}"
            ),
        )
    above, reach = _above("", within), _reach("", within)
    if apart:
        on = [*within, "boards"]
        above = _above("_apart", within) - _above("_apart", on) + _above("", on)
        reach = _reach("_apart", within) - _reach("_apart", on) + _reach("", on)
    # Each model whose interval has a width reaches above its own lower end.
    own = (pl.col("high") > pl.col("low")).cast(pl.Int64)
    best = (1 + above).cast(pl.Int64)
    shown = "_apart" if apart else ""
    return models.select(
        "_model",
        "mean",
        low=pl.col(f"low{shown}"),
        high=pl.col(f"high{shown}"),
        rank=best,
        best=best,
        worst=1 + reach - own,
        replication=_replication(),
    )


def _ends(runs: Runs, resource: Resource, score: Score, within: list[str]) -> dict[str, pl.Expr]:
    """What the score of each run would be at the limits of its cost, and of its performance too."""
    p, cost = pl.col("performance").clip(0.0, 1.0), pl.col(resource.field)
    worse, better = wilson(p, pl.col("samples"))
    off = {"": pl.lit(0.0)}
    if resource in _METERED:
        off[""] = pl.col(f"{resource.field}_error").fill_null(0.0)
        boards = pl.col("boards").filter(pl.col("source").ne_missing(NO_RUN)).n_unique()
        several = (boards.over(within) if within else boards) > 1
        if runs["gain"].count() and runs.select(several).to_series().any():
            off["_apart"] = off[""] + pl.when(several).then(pl.col("gain") * cost).fill_null(0.0)
    ends = {}
    for suffix, error in off.items():
        dearer, cheaper = cost + error, (cost - error).clip(0.0)
        ends[f"_less{suffix}"], ends[f"_more{suffix}"] = score(dearer, p), score(cheaper, p)
        ends[f"_least{suffix}"], ends[f"_most{suffix}"] = score(dearer, worse), score(cheaper, better)
    return ends


def _merge(runs: pl.DataFrame, ends: list[str], within: list[str]) -> pl.DataFrame:
    """One row a model: the means of its runs, and how far they spread."""
    score = pl.col("mean")
    same = score.min() == score.max()
    boards = pl.col("boards")
    return runs.group_by("_model").agg(
        *(pl.col(name).first() for name in within),
        # Runs on different boards share no gain, not even with another such model.
        pl.when(boards.n_unique() == 1).then(boards.first()).otherwise(pl.format("{} apart", pl.col("_model").first())),
        pl.col("samples").min(),
        pl.len().alias("runs"),
        pl.when(same).then(0.0).otherwise(score.std()).alias(_SPREAD),
        *(_mean(pl.col(name)) for name in ("mean", *ends)),
    )


def _mean(values: pl.Expr) -> pl.Expr:
    """The mean, which of equal values is that value: rounding must not tell equal models apart."""
    return values.mean().clip(values.min(), values.max())


def _student(runs: pl.Series) -> pl.Series:
    """The half-width of a mean of so many runs, in standard deviations of one: Student's t at 95 %, over √n."""
    n = runs.to_numpy().astype(np.float64)
    factor = np.zeros(len(n))
    several = n > 1
    if several.any():
        try:
            from scipy.special import stdtrit
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "the interval of a model of several runs needs scipy: pip install 'lightning-pepr[cli]'",
                name=error.name,
            ) from error

        factor[several] = stdtrit(n[several] - 1, (1 + CONFIDENCE) / 2) / np.sqrt(n[several])
    return pl.Series(_SPREAD, factor)


def _above(suffix: str, within: list[str]) -> pl.Expr:
    """How many intervals lie wholly above each one."""
    low, high = pl.col(f"low{suffix}"), pl.col(f"high{suffix}")
    return _over(pl.len().cast(pl.Int64) - low.sort().search_sorted(high, side="right").cast(pl.Int64), within)


def _reach(suffix: str, within: list[str]) -> pl.Expr:
    """How many intervals reach above the lower end of each one."""
    low, high = pl.col(f"low{suffix}"), pl.col(f"high{suffix}")
    return _over(pl.len().cast(pl.Int64) - high.sort().search_sorted(low, side="right").cast(pl.Int64), within)


def _over(expression: pl.Expr, within: list[str]) -> pl.Expr:
    return expression.over(within) if within else expression


def _replication() -> pl.Expr:
    runs, samples = pl.col("runs"), pl.col("samples")
    return (
        pl.when((runs > 1) & samples.is_not_null())
        .then(pl.format("{} runs, {} samples", runs, samples))
        .when(runs > 1)
        .then(pl.format("{} runs", runs))
        .when(samples.is_not_null())
        .then(pl.format("{} samples", samples))
        .otherwise(pl.lit(NOT_REPLICATED))
    )
