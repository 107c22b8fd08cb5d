"""A ranking for a terminal: the table, and in one sentence what to take from it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any

import polars as pl

from lightning_pepr.cost import CARBON, DATA, ENERGY, MEMORY, PARAMS, RESOURCES, TIME, Resource, three_digits, unit_for
from lightning_pepr.ranking.uncertainty import NO_RUN, NOT_REPLICATED
from lightning_pepr.runs import Runs
from lightning_pepr.utilities.text import open_console, printable, text_table

if TYPE_CHECKING:
    from rich.table import Table

HEADERS = {ENERGY: "energy", CARBON: "CO2e", TIME: "time", MEMORY: "memory", DATA: "samples", PARAMS: "params"}
LEFT = ("group", "model", "replicated", "energy is")
RANK = re.compile(r"rank(_[ectmdn])?")


def print_ranking(ranking: Runs, performance: str = "P", file: IO[str] | None = None) -> None:
    """Print what `rank` returned, with a name for the performance, such as "test AUROC"."""
    open_console("printing a table", file).print(build_table(ranking, performance))


def build_table(ranking: Runs, performance: str = "P") -> Table:
    """The ranking as a table of rich, with the columns that have something in them."""
    columns: dict[str, Iterable[str]] = {}
    ranked_by = _ranked_by(ranking)
    for name, resource in ranked_by.items():
        header = "" if name == "rank" else f"by {resource.letter}"
        columns[header] = [_place(best, worst) for best, worst in ranking.select(name, f"{name}_worst").iter_rows()]
    if ranking["group"].count():
        columns["group"] = ranking["group"].fill_null("")
    columns["model"] = ranking["model"].fill_null("")
    for cost in (PARAMS, None, DATA, ENERGY, CARBON, TIME, MEMORY):
        if cost is None:
            columns[performance] = _decimals(ranking["performance"])
        elif ranking[cost.field].count():
            scale, unit = unit_for(cost, float(ranking[cost.field].max()))  # type: ignore[arg-type]
            header = f"{HEADERS[cost]} / {unit}" if unit else HEADERS[cost]
            columns[header] = [_scaled(value, scale) for value in ranking[cost.field]]
    for resource in RESOURCES:
        key = resource.score_key
        if resource in ranked_by.values() or (resource in (ENERGY, CARBON, TIME, MEMORY) and key in ranking.columns):
            columns[f"PePR-{resource.letter}"] = _decimals(ranking[key])
        if resource in ranked_by.values() and (ranking[f"{key}_low"] < ranking[f"{key}_high"]).any():
            limits = ranking.select(f"{key}_low", f"{key}_high").iter_rows()
            columns[f"PePR-{resource.letter} is in"] = [
                "–" if low is None else f"{low:.3f} … {high:.3f}" for low, high in limits
            ]
    if (ranking["replication"] != NOT_REPLICATED).any():
        columns["replicated"] = ranking["replication"].fill_null("")
    columns["Pareto"] = ["*" if on_front else "" for on_front in ranking["pareto"]]
    if ranking["quality"].count():
        columns["energy is"] = ranking["quality"].fill_null("")
    return text_table(columns, left=LEFT, bold=ranking[next(iter(ranked_by))] == 1)


def footnotes(ranking: Runs, leverage: pl.DataFrame | None = None) -> list[str]:
    """What to say below a ranking: what its intervals hold, and, by `leverage`, on which models it depends."""
    lines = []
    runs = ranking.filter(pl.col("source").ne_missing(NO_RUN))
    unfinished = runs.filter(pl.col("status").is_in(["running", "interrupted", "failed"]))
    if len(unfinished):
        lines.append(
            f"Not finished: {len(unfinished)} of {len(runs)} runs, such as {unfinished['model'][0]} "
            f"({unfinished['status'][0]}). Their P and their costs are those of a part of the run."
        )
    exact = runs.filter((pl.col("quality") == "estimated") & pl.col(f"{ENERGY.field}_error").is_null())
    if len(exact):
        lines.append(
            f"Estimated without a bound: the energy of {len(exact)} of {len(runs)} runs. Intervals and ranks take "
            "it as exact, and it may be off by half."
        )
    resource = _ranked_by(ranking)["rank"]
    if (ranking["rank"] < ranking["rank_worst"]).any():
        lines.append("Ranks such as 2–5: the intervals of the scores leave these places open.")
    bare = ranking["replication"] == NOT_REPLICATED
    if bare.all():
        lines.append(
            "Not replicated: one run of each model, on a number of samples that is not known. How far chance moves "
            "these scores is not known."
        )
    elif bare.any():
        lines.append(f"Not replicated: {bare.sum()} of {len(ranking)} runs; how far chance moves theirs is not known.")
    lines += _free_places(ranking, resource)
    for row in [] if leverage is None else leverage.filter(pl.col("changed") > 0).iter_rows(named=True):
        without_it = "Without" if row["group"] is None else f"{row['group']}: without"
        still = row["first"] == row["first_without"]
        first = f"first is {'still ' * still}{row['first_without']}" + ("" if still else f", not {row['first']}")
        scale, unit = unit_for(resource, max(row["bound"], row["bound_without"]))
        bound, without = (_scaled(row[name], scale) for name in ("bound", "bound_without"))
        lines.append(
            f"{without_it} {row['model']} {row['end']} is {without} instead of {bound} {unit}".rstrip()
            + f"; of the {row['models']} others {row['changed']} then change rank, and {first}."
        )
    return [printable(line) for line in lines]


def recommend(ranking: Runs, chosen_on: Runs, on: str = "validation data") -> str:
    """Say which model to take, and what that saves against the one that performs best.

    `chosen_on` are the same runs, ranked by the performance by which they are chosen: that `on` validation data, so
    that the test data stay unseen by the choice.
    """
    known = chosen_on.drop_nulls(["rank", "performance"])
    if known.is_empty():
        return "No run has both a performance and an energy, so there is nothing to recommend."
    first = known.sort("rank", maintain_order=True).row(0, named=True)
    pick = _row(ranking, first)
    others = first["rank_worst"] - first["rank"]
    rivals = f" As far as the errors tell, {others} other{'s' * (others > 1)} may score higher." if others else ""
    best = _row(ranking, known.sort("performance", descending=True, maintain_order=True).row(0, named=True))
    if pick == best:
        most = max(ranking.iter_rows(named=True), key=lambda run: run["energy_kwh"] or 0.0)
        less = 1 - pick["energy_kwh"] / most["energy_kwh"] if most["energy_kwh"] else 0.0
        saved = f", and takes {less:.0%} less energy than the most expensive, {most['model']}" if pick != most else ""
        return f"Take {pick['model']}: by {on} it performs best and has the best PePR-E{saved}.{rivals}"
    kept = f"{pick['performance'] / best['performance']:.1%}" if best["performance"] else "all"
    share = pick["energy_kwh"] / best["energy_kwh"]
    saved = f"saves {1 - share:.0%}" if share <= 1 else f"costs {share - 1:.0%} more"
    return (
        f"Take {pick['model']}, best in PePR-E by {on}: it keeps {kept} of the performance of {best['model']}, the "
        f"best-performing one ({pick['performance']:.3f} against {best['performance']:.3f}), and {saved} of its energy."
        f"{rivals}"
    )


def _row(ranking: Runs, run: dict[str, Any]) -> dict[str, Any]:
    """The same run in another table."""
    names = ("model", "run_id", "source", "row")
    return next(row for row in ranking.iter_rows(named=True) if all(row[name] == run[name] for name in names))


def _free_places(ranking: Runs, resource: Resource) -> list[str]:
    """Where the free predictor of a baseline would come by the plain score, which does not take the baseline off."""
    free = ranking.filter(pl.col("source").eq_missing(NO_RUN))
    runs = ranking.join(free, on="model", how="anti").with_columns(
        plain=pl.col("performance") / (1 + pl.col(resource.r_key))
    )
    lines = []
    for group, p in free.select("group", "performance").iter_rows():
        scores = runs.filter(pl.col("group").eq_missing(group))["plain"].drop_nulls()
        where = "By" if group is None else f"{group}: by"
        lines.append(
            f"{where} plain PePR-{resource.letter} the free predictor would have rank {1 + (scores > p).sum()} "
            f"of {len(scores) + 1}."
        )
    return lines


def _ranked_by(ranking: Runs) -> dict[str, Resource]:
    """By which resource each column of ranks is; the first of them orders the table."""
    first = next(name for name in ranking.columns if name.endswith("_low")).removesuffix("_low")
    names = [name for name in ranking.columns if RANK.fullmatch(name)]
    return {name: Resource.of(first if name == "rank" else name.removeprefix("rank_")) for name in names}


def _place(best: int | None, worst: int | None) -> str:
    return "" if best is None else f"{best}" if best == worst else f"{best}–{worst}"


def _decimals(values: pl.Series) -> list[str]:
    return ["–" if value is None else f"{round(value, 3) + 0.0:.3f}" for value in values]  # 0 for -0


def _scaled(value: float | None, scale: float) -> str:
    return "–" if value is None else three_digits(value / scale)
