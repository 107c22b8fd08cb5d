"""How far a score may be off, and which ranks that leaves open."""

from __future__ import annotations

import numpy as np
import polars as pl

from lightning_pepr.cost import CARBON, ENERGY, Resource
from lightning_pepr.ranking.scores import Score
from lightning_pepr.runs.checks import is_lower_bound
from lightning_pepr.runs.table import Runs
from lightning_pepr.utilities.imports import require
from lightning_pepr.utilities.statistics import CONFIDENCE, wilson

NOT_REPLICATED = "not replicated"
NO_RUN = "baseline"
"""The `source` of the row of a baseline, which was metered on no board."""


def place_models(runs: Runs, resource: Resource, score: Score) -> pl.DataFrame:
    """Give each model an interval for its score, and the ranks that the intervals leave open.

    The limits of a run's cost are hard; those of its performance hold in 95 % of cases. A model of several runs has the
    means of their scores and of their limits, and their spread (Student's t) is added to the part of the performance by
    the root of the sum of squares: the runs share their test data, so that their number makes that part no smaller.

    The gain of a board's sensor multiplies all energies that it measured, which changes no order among them. So models
    whose runs are all on the same boards are compared without it, and others with it.
    """
    known = runs.filter(pl.col(resource.score_key).is_not_null())
    ends = _ends(known, resource, score)
    models = known.select(
        "_model", "_space", "model", "boards", "samples", mean=pl.col(resource.score_key), runs=pl.lit(1), **ends
    )
    if known["_model"].n_unique() < len(known):
        models = _merge(models, list(ends))
    half = _student(models["runs"]) * models["_spread"] if "_spread" in models.columns else pl.lit(0.0)
    suffixes = ("", "_apart") if "_less_apart" in ends else ("",)
    for suffix in suffixes:
        less, least, more, most = (pl.col(f"_{name}{suffix}") for name in ("less", "least", "more", "most"))
        low = (less - (half**2 + (less - least) ** 2).sqrt()).clip(0.0)
        high = (more + (half**2 + (most - more) ** 2).sqrt()).clip(0.0, 1.0)
        models = models.with_columns(
            pl.min_horizontal("mean", low).alias(f"low{suffix}"), pl.max_horizontal("mean", high).alias(f"high{suffix}")
        )
    above, reach = _above("low", "high", suffixes), _above("high", "low", suffixes)
    # Each model whose interval has a width reaches above its own lower end.
    own = (pl.col("high") > pl.col("low")).cast(pl.Int64)
    several = pl.when(pl.col("runs") > 1).then(pl.format("{} runs", "runs"))
    known_by = pl.concat_str(several, pl.format("{} samples", "samples"), separator=", ", ignore_nulls=True)
    replication = pl.when(known_by == "").then(pl.lit(NOT_REPLICATED)).otherwise(known_by)
    limits = {end: f"{end}{suffixes[-1]}" for end in ("low", "high")}
    ranks = {"rank": 1 + above, "worst": 1 + reach - own}
    return models.select("_model", "_space", "model", "mean", **limits, **ranks, replication=replication)


def _ends(runs: Runs, resource: Resource, score: Score) -> dict[str, pl.Expr]:
    """Find what the score of each run would be at the limits of its cost, and of its performance too."""
    cost_field = resource.field
    p, cost = pl.col("performance").clip(0.0, 1.0), pl.col(cost_field)
    worse, better = wilson(p, pl.col("samples"))
    errors = {"": pl.lit(0.0)}
    if resource in (ENERGY, CARBON):  # which have an error, and share the gain of a board's sensor
        errors[""] = pl.col(f"{resource.field}_error").fill_null(0.0)
        several = pl.col("boards").filter(pl.col("source").ne_missing(NO_RUN)).n_unique().over("_space") > 1
        if runs["gain"].count() and runs.select(several).to_series().any():
            errors["_apart"] = errors[""] + pl.when(several).then(pl.col("gain") * cost).fill_null(0.0)
    ends = {}
    for suffix, error in errors.items():
        high, low = cost + error, (cost - error).clip(0.0)
        ends[f"_more{suffix}"], ends[f"_most{suffix}"] = score(low, p), score(low, better)
        for end, performance in (("_less", p), ("_least", worse)):  # there is no end to what a run may have spent
            ends[f"{end}{suffix}"] = pl.when(is_lower_bound(cost_field)).then(0.0).otherwise(score(high, performance))
    return ends


def _merge(runs: pl.DataFrame, ends: list[str]) -> pl.DataFrame:
    """Make one row a model: the means of its runs, and how far they spread."""
    score, boards = pl.col("mean"), pl.col("boards")
    return runs.group_by("_model").agg(
        pl.col("_space", "model").first(),
        # Runs on different boards share no gain, not even with another such model.
        pl.when(boards.n_unique() == 1).then(boards.first()).otherwise(pl.format("{} apart", pl.col("_model").first())),
        pl.col("samples").min(),
        pl.len().alias("runs"),
        pl.when(score.min() == score.max()).then(0.0).otherwise(score.std()).alias("_spread"),
        # The mean of equal values is that value: rounding must not tell equal models apart.
        *(pl.col(name).mean().clip(pl.col(name).min(), pl.col(name).max()) for name in ("mean", *ends)),
    )


def _student(runs: pl.Series) -> pl.Series:
    """The half-width of a mean of so many runs, in standard deviations of one: Student's t at 95 %, over √n."""
    n = runs.to_numpy().astype(np.float64)
    factor = np.zeros(len(n))
    several = n > 1
    stdtrit = require("scipy.special", "cli", "the interval of a model of several runs").stdtrit
    factor[several] = stdtrit(n[several] - 1, (1 + CONFIDENCE) / 2) / np.sqrt(n[several])
    return pl.Series(factor)


def _above(ends: str, limits: str, suffixes: tuple[str, ...]) -> pl.Expr:
    """Count the models of the space of which one end is above the other end of each one.

    Models on the same boards are compared without the gain of their sensors.
    """

    def count(suffix: str, *within: str) -> pl.Expr:
        ordered, limit = pl.col(f"{ends}{suffix}").sort(), pl.col(f"{limits}{suffix}")
        return (pl.len() - ordered.search_sorted(limit, side="right")).cast(pl.Int64).over("_space", *within)

    if len(suffixes) == 1:
        return count("")
    return count("_apart") - count("_apart", "boards") + count("", "boards")
