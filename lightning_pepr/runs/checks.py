"""What the values of runs can be, and what does not compare."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import polars as pl

from lightning_pepr.errors import PePRError
from lightning_pepr.functional import PERFORMANCE_RANGE
from lightning_pepr.runs.table import COSTS, ERRORS, PERFORMANCES, SAMPLES, Runs

_EXPECTED = {
    **dict.fromkeys(COSTS, "a finite amount that is not negative, or an empty cell where it was not measured"),
    **dict.fromkeys(PERFORMANCES, "a number in [0, 1] where higher is better (divide percentages by 100)"),
    **dict.fromkeys([*ERRORS, "gain"], "a finite bound, 0 or more, or an empty cell where it is not known"),
    **dict.fromkeys(SAMPLES, "a number of samples, 1 or more, or an empty cell where it is not known"),
}


def can_be(name: str) -> pl.Expr:
    """Whether what a column of costs, performances, errors or counts holds can be true; null where it holds nothing."""
    value = pl.col(name)
    if name in PERFORMANCES:
        return value.is_between(*PERFORMANCE_RANGE)
    return value.is_finite() & (value >= (1 if name in SAMPLES else 0))


def sets_space(*within: str) -> pl.Expr:
    """Whether a run counts for low and high of its space, which is of the runs that are equal `within` columns.

    A run without a performance is no point of comparison: it counts only where no other of the space has one.
    """
    known = can_be("performance").fill_null(False)
    return known | ~(known.any().over(*within) if within else known.any())


def warn_of_unscored(runs: Runs, within: Sequence[str] = (), stacklevel: int = 3) -> None:
    """Warn of runs with a cost that do not set the space of the others, since they have no performance."""
    unscored = runs.filter(~sets_space(*within) & pl.any_horizontal(pl.col(COSTS).is_not_null()))
    if len(unscored):
        warnings.warn(
            f"{len(unscored)} of the {len(runs)} runs have no performance (such as {unscored['model'][0]}): they have "
            "no score, and their costs do not set low and high of the space.",
            stacklevel=stacklevel,
        )


def is_lower_bound(field: str) -> pl.Expr:
    """Whether something of a run's cost was lost, so that the truth is larger."""
    return pl.col("lower_bound").fill_null("").str.split(", ").list.contains(field)


def warn_of_lower_bounds(runs: Runs, fields: Sequence[str], stacklevel: int = 3) -> None:
    """Warn of costs of which something was lost: how much less a score may be is not known then."""
    for field in fields:
        lost = runs.filter(is_lower_bound(field) & pl.col(field).is_not_null())
        if len(lost):
            warnings.warn(
                f"{field} of {len(lost)} of the {len(runs)} runs (such as {lost['model'][0]}) is a lower bound: their "
                "scores may be less than what is shown, and so may low and high of their space be. The record says "
                "what was lost.",
                stacklevel=stacklevel,
            )


def rankable() -> pl.Expr:
    """Whether `rank` takes the costs and performances of a run."""
    return pl.all_horizontal(can_be(name).fill_null(True) for name in (*COSTS, *PERFORMANCES))


def energy_kind() -> pl.Expr:
    """How a run got its energy: "measured" or "estimated"; null where that is not known."""
    kinds = {"counter": "measured", "integrated": "measured", "estimated": "estimated"}
    known = pl.col("quality").replace_strict(kinds, default=None, return_dtype=pl.String)
    return pl.when(pl.col("energy_kwh").is_not_null()).then(known)


def check_runs(runs: Runs, scored: bool = True) -> None:
    """Refuse a table with values that cannot be true, or with nothing to score if its runs are to be scored."""
    for name in _EXPECTED if scored else (*COSTS, *PERFORMANCES):
        bad = runs.select((~can_be(name)).fill_null(False)).to_series()
        if bad.any():
            run = runs.row(int(bad.arg_max() or 0), named=True)
            row = "" if run["row"] is None else f"row {run['row']} of "
            place = f" ({row}{run['source'] or 'the table'})" if row or run["source"] else ""
            raise PePRError(f"{name} of {run['model']}{place} is {run[name]!r}; expected {_EXPECTED[name]}.")
    if scored and len(runs) and runs["performance"].null_count() == len(runs):
        where = ", ".join(runs["source"].drop_nulls().unique(maintain_order=True).head(3)) or "the table"
        raise PePRError(
            f"none of the {len(runs)} runs in {where} has a performance, so there is nothing to score. Add a column "
            "`performance` to the table (CodeCarbon's emissions.csv has none), or name the one that holds it: "
            "columns={'performance': 'accuracy'}, on the command line --column performance=accuracy."
        )


def warn_of_mixtures(runs: Runs, within: Sequence[str] = ()) -> None:
    """Warn if costs that do not compare are put into one space; runs that differ `within` columns are in several.

    What is not known mixes with nothing.
    """
    space = pl.struct(within) if within else pl.lit(0)
    kinds = runs.select("model", "device", _space=space, energy=energy_kind())
    for name, group, text in (
        ("energy", "quality", "energy is {}; an estimate may be off by half, and R takes the two for alike"),
        ("device", "device", "the runs are of different devices, {}; R then compares devices as well as models"),
    ):
        found = kinds.drop_nulls(name).group_by("_space", name).agg(pl.len(), pl.col("model").first())
        alike = pl.col(name).str.split(", ").list.sort().list.join(", ")  # a record has its devices in any order
        mixed = found.with_columns(alike).filter(pl.col(name).n_unique().over("_space") > 1)
        if mixed.is_empty():
            continue
        counts = mixed.group_by(name).agg(pl.col("len").sum(), pl.col("model").sort().first()).sort(name)
        shown = [f"{kind} in {count} (such as {model})" for kind, count, model in counts.head(4).rows()]
        shown += [f"and {len(counts) - 4} more"] * (len(counts) > 4)
        warnings.warn(
            f"{text.format(', '.join(shown))}. Rank such runs apart (group={group!r}), or leave one kind out.",
            stacklevel=3,
        )
