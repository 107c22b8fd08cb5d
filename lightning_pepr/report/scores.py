"""The scores that a page shows: what `rank` gives for each resource in each space, of all runs and of each group."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from lightning_pepr.cost import CARBON, ENERGY, RESOURCES, Resource
from lightning_pepr.functional import above_baseline, normalize, pepr
from lightning_pepr.paper.spaces import SETTINGS
from lightning_pepr.ranking import rank
from lightning_pepr.record import Epoch, RunRecord
from lightning_pepr.report.curves import choose_scored, points_of
from lightning_pepr.report.packing import Array, pack, pack_integers, pack_ratios, pack_scores, trim
from lightning_pepr.runs import Runs
from lightning_pepr.runs.checks import sets_space
from lightning_pepr.space import ModelSpace

MOST_SPACES = 20  # recorded ones that a page offers, the most used first

_MOST_RECORDED = 10_000  # runs times spaces, recorded and given
_MOST_POINTS = 1_000_000  # evaluations times views that are scored, less 90 for each run
_METERED = (ENERGY, CARBON)  # what has an error
_ERRORS = [f"{resource.field}_error" for resource in _METERED]
_NEEDED = ["group", "model", "performance", *(r.field for r in RESOURCES), *_ERRORS, "gain", "samples", "boards"]


def offer_spaces(
    given: ModelSpace | None, records: Sequence[RunRecord | None]
) -> tuple[list[dict[str, Any]], dict[str, ModelSpace]]:
    """The spaces to choose from, beside that of the runs themselves: as the page shows them, and by their key."""
    offered = [] if given is None else [("given", "Given", given.source, given)]
    recorded = Counter(ModelSpace.from_dict(record.space) for record in records if record is not None and record.space)
    most = min(MOST_SPACES, max(1, _MOST_RECORDED // max(1, len(records))) - len(offered))
    for index, (space, count) in enumerate(recorded.most_common(most)):
        runs = "a run" if count == 1 else f"{count} runs"
        offered.append((f"recorded-{index}", "Recorded", f"{space.source}, as {runs} used it", space))
    for name, setting in SETTINGS.items():
        label = f"{name}, without {setting.rejected} rows of other runs' energy" if setting.rejected else name
        space = ModelSpace.published(name, clean=bool(setting.rejected))
        offered.append((f"published-{name}", "Published", label, space))
    shown = [
        {
            "key": key,
            "kind": kind,
            "label": label,
            "ranges": {resource.letter: list(space.range(resource)) for resource in space},
            "about": " ".join(filter(None, (f"{space.source}.", space.device, space.note))),
        }
        for key, kind, label, space in offered
    ]
    return shown, {key: space for key, _, _, space in offered}


def score_runs(
    table: Runs,
    same: pl.Series,
    spaces: Mapping[str, ModelSpace],
    baseline: float | None,
    evaluations: Sequence[list[Epoch]],
) -> dict[str, Any]:
    """Score the runs as `rank` does, in their own space and in others, and their evaluations too.

    Gives `all`, the views of all runs in one space, by space and letter, each with the places of its columns; `apart`,
    those of each group by itself, or None if there are no two groups; `arrays`, the columns; and `points`, the runs
    whose evaluations are scored, one after the other, in the columns `path` (R) and `curve` (the score).
    """
    runs = table.select(*_NEEDED, row=pl.int_range(pl.len(), dtype=pl.Int64))
    several = table["group"].n_unique() > 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of mixtures and flat spaces: the page says those once
        views = {
            (apart, key, resource.letter): _view(runs, resource, space, apart, baseline)
            for apart in ((False, True) if several else (False,))
            for key, space in {"own": None, **spaces}.items()
            for resource in RESOURCES
            if (space is None or resource in space) and len(runs.drop_nulls(["performance", resource.field]))
        }
        points = _choose_points(table, views.values(), evaluations)
        arrays: dict[tuple[str, str], int] = {}  # the place of each: views share those that are equal
        packed: dict[bool, dict[str, dict[str, Any]]] = {False: {}, True: {}}
        for (apart, key, letter), view in views.items():
            columns = _columns(view) | _point_columns(view, points, baseline)
            places = {name: arrays.setdefault(pack(values), len(arrays)) for name, values in columns.items()}
            packed[apart].setdefault(key, {})[letter] = {"groups": _groups(view, same), **places}
    return {
        "all": packed[False],
        "apart": packed[True] if several else None,
        "arrays": list(arrays),
        "points": points["run"].unique(maintain_order=True).to_list(),
    }


@dataclass(frozen=True)
class _View:
    """The scores by one resource in one space."""

    resource: Resource
    ranked: pl.DataFrame  # a row for each run that has a score, the best first, group by group
    ranges: dict[str | None, tuple[float, float]]  # of each group; of None where all are together

    def normalize(self, costs: pl.Series, groups: pl.Series) -> Array:
        """R of each cost over the range of its group; NaN where a cost is not known, or cannot be."""
        amounts = costs.to_numpy()
        r = np.full(len(costs), np.nan)
        for group, (low, high) in self.ranges.items():
            here = np.isfinite(amounts) & (amounts >= 0)
            if group is not None:
                here &= (groups == group).fill_null(False).to_numpy()
            r[here] = normalize(amounts[here], low, high)
        return r


def _view(runs: Runs, resource: Resource, space: ModelSpace | None, apart: bool, baseline: float | None) -> _View:
    key, cost = resource.score_key, pl.col(resource.field)
    group = pl.col("group") if apart else pl.lit(None, dtype=pl.String).alias("group")
    ranked = rank(runs, space=space, group="group" if apart else None, by=resource, baseline=baseline)
    ranked = ranked.drop_nulls(["row", key, *(["group"] if apart else [])]).select(  # without the row of the baseline
        group,
        "performance",
        "rank",
        run="row",
        cost=cost,
        error=pl.col(f"{resource.field}_error").fill_null(0.0) if resource in _METERED else pl.lit(0.0),
        r=resource.r_key,
        score=key,
        low=f"{key}_low",
        high=f"{key}_high",
        worst="rank_worst",
        front="pareto",
    )
    ends = (
        runs.filter(sets_space(*(["group"] if apart else [])))
        .group_by(group)
        .agg(low=cost.min(), high=cost.max())
        .drop_nulls(["low", *(["group"] if apart else [])])
    )
    own = {name: (low, high) for name, low, high in ends.iter_rows()}
    return _View(resource, ranked, own if space is None else dict.fromkeys(own, space.range(resource)))


def _columns(view: _View) -> dict[str, Array]:
    """What a view holds of each run, in the order of the runs; `order` are those that have a score, the best first."""
    known = view.ranked.sort("run")
    columns = {
        "order": pack_integers(view.ranked["run"].to_numpy()),
        "r": pack_ratios(known["r"].to_numpy()),
        "front": known["front"].to_numpy().astype("u1"),
    }
    columns |= {name: pack_scores(known[name].to_numpy()) for name in ("score", "low", "high")}
    columns |= {name: pack_integers(known[name].to_numpy()) for name in ("rank", "worst")}
    if (known["error"] > 0).any():
        r, cost, error = known["r"].to_numpy(), known["cost"], known["error"]
        columns["left"] = trim(r - view.normalize((cost - error).clip(0.0), known["group"]), 8)
        columns["right"] = trim(view.normalize(cost + error, known["group"]) - r, 8)
    return columns


def _groups(view: _View, same: pl.Series) -> list[dict[str, Any]]:
    """Of each group its range, and the means of the runs of two models: the first by rank, and the best by P."""
    models = view.ranked.with_columns(same=same.gather(view.ranked["run"]))
    models = models.group_by("group", "same", maintain_order=True).agg(
        pl.col("run").min(), pl.col("score", "performance", "cost").mean()
    )
    best = models.sort("performance", "run", descending=[True, False])
    first, best = (each.unique("group", keep="first", maintain_order=True) for each in (models, best))
    found = first.join(best, on="group", suffix="_best", nulls_equal=True).drop("same", "same_best")
    return [{"range": view.ranges[each["group"]], **each} for each in found.iter_rows(named=True)]


def _choose_points(table: Runs, views: Iterable[_View], evaluations: Sequence[list[Epoch]]) -> pl.DataFrame:
    """The evaluations that are scored: of the runs that are first in any view, as many as a page has room for."""
    views = list(views)
    places = np.full(len(table), len(table))
    for view in views:
        place = view.ranked.select(pl.int_range(pl.len()).over("group")).to_series().to_numpy()
        run = view.ranked["run"].to_numpy()
        places[run] = np.minimum(places[run], place)
    room = max(_MOST_POINTS // 10, _MOST_POINTS - 90 * len(table)) // max(1, len(views))
    points = points_of(evaluations, choose_scored(evaluations, np.argsort(places, kind="stable").tolist(), room))
    at = points["run"]
    return points.with_columns(group=table["group"].gather(at), N=table["params"].gather(at))


def _point_columns(view: _View, points: pl.DataFrame, baseline: float | None) -> dict[str, Array]:
    """R and the score of each evaluation; none where no run has any."""
    if points.is_empty():
        return {}
    r = view.normalize(points[view.resource.letter], points["group"])
    p = points["p"].clip(0.0, 1.0).to_numpy()
    known = np.isfinite(r) & ~np.isnan(p)  # a range may be so small that R is beyond all numbers
    scores = np.full(len(p), np.nan)
    scores[known] = pepr(p[known] if baseline is None else above_baseline(p[known], baseline), r[known])
    return {"path": r.astype("<f4"), "curve": pack_scores(scores)}
