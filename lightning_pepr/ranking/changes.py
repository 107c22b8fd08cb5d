"""A table without some of its runs, and what their going changes in its ranking."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from lightning_pepr.cost import RESOURCES, Resource
from lightning_pepr.errors import PePRError
from lightning_pepr.ranking.ranking import rank
from lightning_pepr.runs.checks import rankable
from lightning_pepr.runs.table import Runs
from lightning_pepr.space import ModelSpace
from lightning_pepr.utilities.files import read_plain, write_whole

_CHANGES = {
    **dict.fromkeys(["group", "by"], pl.String),
    **dict.fromkeys(["dropped", "models", "changed"], pl.Int64),  # those that go, have a rank, have another rank
    **dict.fromkeys(["first", "first_after"], pl.String),
    **dict.fromkeys(["high", "high_after"], pl.Float64),
}


def write_kept(paths: Sequence[str | os.PathLike[str]], kept: Runs, out: Path) -> None:
    """Write the runs that are kept as a CSV table: the lines of the one that they are from, else as `load_runs` has."""
    single = Path(paths[0])
    if len(paths) == 1 and single.is_file() and single.suffix.lower() != ".json":
        # As text, so that no number changes its digits.
        table = pl.read_csv(read_plain(single), infer_schema=False)
        table = table.filter(~pl.all_horizontal(pl.all().is_null()))[kept["row"].to_list()]
    else:
        table = kept
    write_whole(out, table.write_csv())


def ranking_changes(before: Runs, after: Runs) -> pl.DataFrame:
    """Find what changes in each group that loses a run; those that `rank` refuses are left out before and after.

    Raises `PePRError` if there is nothing to rank by.
    """
    known = before.filter(rankable()).drop_nulls("performance")
    resource = next((r for r in RESOURCES if known[r.field].count()), None)  # by which to rank
    if resource is None:
        raise PePRError(f"none of the {len(before)} runs has both a performance and a cost by which to rank.")
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what `rank` has to say of the runs it says when they are ranked
        for (group,), runs in before.group_by("group", maintain_order=True):
            kept = after.filter(pl.col("group").eq_missing(pl.lit(group, dtype=pl.String)))
            if len(kept) < len(runs):
                change = _change(runs.filter(rankable()), kept.filter(rankable()), resource)
                rows.append({"group": group, "by": resource.field, "dropped": len(runs) - len(kept), **change})
    return pl.DataFrame(rows, schema=_CHANGES)


def _change(before: Runs, after: Runs, resource: Resource) -> dict[str, object]:
    """Find what changes in one group; nothing where there is nothing to rank."""
    change: dict[str, object] = {"models": 0, "changed": 0}
    for runs, end in ((before, ""), (after, "_after")):
        known = runs.drop_nulls(["performance", resource.field])  # which set the space
        if len(known):
            change |= {f"first{end}": rank(runs, by=resource)["model"][0], f"high{end}": known[resource.field].max()}
    if "first_after" in change:
        own, in_all = (
            rank(after, by=resource, space=space).drop_nulls(["model", "rank"]).unique("model").select("model", "rank")
            for space in (None, ModelSpace.from_runs(before))
        )
        both = own.join(in_all, on="model", suffix="_in_all")
        change |= {"models": len(both), "changed": int((both["rank"] != both["rank_in_all"]).sum())}
    return change
